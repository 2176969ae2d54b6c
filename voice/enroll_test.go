package voice

import "testing"

// Recordings that follow one another are often of one speaker: they stay together.
func TestStretchesOfSpeechAreKeptApart(t *testing.T) {
	for n, want := range map[int][2]int{10: {10, 10}, 20: {16, 4}, 250: {200, 50}, 1250: {1000, 250}} {
		speech := make([][]float32, n)
		for i := range speech {
			speech[i] = make([]float32, i)
		}
		learn, check := apart(speech)
		if len(learn) != want[0] || len(check) != want[1] {
			t.Errorf("%d recordings: %d and %d", n, len(learn), len(check))
		}
		breaks := 0
		for i := range check {
			if i > 0 && len(check[i]) != len(check[i-1])+1 {
				breaks++
			}
		}
		if breaks > 5 {
			t.Errorf("%d recordings: %d breaks", n, breaks)
		}
	}
}
