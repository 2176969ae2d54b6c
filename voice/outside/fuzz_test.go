package outside_test

import (
	"testing"
	"time"

	"earshot/voice/outside"
)

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"word":"a","start_ms":1,"end_ms":2,"score":0.5}` + "\n" + `{"done":true}`))
	f.Add([]byte(`{"done":false}` + "\n" + `{"done":true}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := outside.Parse(text, time.Second)
		for _, w := range got {
			if err != nil || !w.Span.Valid() || w.Span.End > time.Second || w.Word == "" || w.Score < 0 || w.Score > 1 {
				t.Errorf("%+v, %v", w, err)
			}
		}
	})
}
