package voice_test

import (
	"testing"
	"time"

	"earshot"
	"earshot/voice"
)

// The speech that is the wake word itself is not its command, though it reaches a little beyond the word.
func TestTheWakeWordIsNotItsOwnCommand(t *testing.T) {
	at := func(from, to int) earshot.Span {
		return earshot.Span{Start: time.Duration(from) * time.Millisecond, End: time.Duration(to) * time.Millisecond}
	}
	word := voice.Wake{Word: "alexa", Span: at(3280, 4140), Erase: at(2940, 4360), Score: 1, Verdict: voice.Found}
	for name, c := range map[string]struct {
		speech earshot.Spans
		want   int
	}{
		"commandBehindAPause":   {earshot.Spans{at(520, 2140), at(3430, 4190), at(5660, 7430), at(7600, 8930), at(11000, 12000)}, 8930},
		"commandInOneBreath":    {earshot.Spans{at(3430, 5000), at(5600, 6000)}, 6000},
		"theWordAlone":          {earshot.Spans{at(3430, 4190)}, 0},
		"speechLongAfter":       {earshot.Spans{at(3430, 4190), at(8000, 9000)}, 0},
		"speechBeforehandAlone": {earshot.Spans{at(0, 2000)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := voice.Heard{Length: time.Minute, Speech: c.speech}
			h.Join([]voice.Wake{word})
			if want := time.Duration(c.want) * time.Millisecond; h.CommandEnd != want {
				t.Errorf("the command ends at %s, want %s", h.CommandEnd, want)
			}
		})
	}
}
