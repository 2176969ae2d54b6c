package events_test

import (
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"earshot"
	"earshot/events"
)

// endless writes rows until size bytes are out.
func endless(size int) io.Reader {
	r, w := io.Pipe()
	go func() {
		for n, i := 0, 0; n < size; i++ {
			k, err := fmt.Fprintf(w, `{"at":%q,"who":"s-%d","model":"m-%d","x":%d}`+"\n", now.Add(-time.Duration(i%5_000_000)*time.Second).Format(time.RFC3339), i%100_000, i, i)
			if n += k; err != nil {
				return
			}
		}
		w.Close()
	}()
	return r
}

// TestMemoryDoesNotGrowWithTheLog rewrites a log of millions of different people and values.
func TestMemoryDoesNotGrowWithTheLog(t *testing.T) {
	size := 100 << 20
	if testing.Short() {
		size = 20 << 20
	}
	e := events.Edit{Shape: jsonl, Key: key, Erased: func(s earshot.SubjectID) bool { return s[len(s)-1] == '7' }, RowEdit: earshot.RowEdit{
		AsOf: now, Rules: []earshot.RowRule{{Name: "a", After: 20 * day, Delete: true}, {Name: "b", Hash: []string{"model"}}, {Name: "c", Coarsen: earshot.ToHour}},
	}}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := events.Rewrite(io.Discard, endless(size), e)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 64<<20 {
		t.Errorf("the heap grew by %d MB over %d rows", grown>>20, r.Rows)
	}
	if r.BytesIn < int64(size) || len(r.Subjects) != events.MaxSubjects {
		t.Errorf("%+v", r)
	}
}

func BenchmarkSurvey(b *testing.B) {
	for name, e := range map[string]events.Edit{
		"age":        {Shape: jsonl, RowEdit: earshot.RowEdit{AsOf: now, Rules: []earshot.RowRule{{Name: "a", After: 30 * day, Delete: true}}}},
		"everything": everything(jsonl),
	} {
		b.Run(name, func(b *testing.B) {
			const size = 8 << 20
			b.SetBytes(size)
			for b.Loop() {
				if _, err := events.Survey(endless(size), e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
