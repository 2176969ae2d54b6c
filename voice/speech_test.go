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

// A short word in a long, quiet recording is speech where it is, and nowhere else, wherever it lies: were the
// loudness of speech judged by a share of the frames, those of a short word would be too few.
func TestAShortWordInALongRecordingIsSpeech(t *testing.T) {
	l, clip, place := listener(t), sample(t, "clip-25.wav"), wordOf(t, "clip-25.wav")
	for _, word := range []time.Duration{200 * time.Millisecond, 320 * time.Millisecond, 450 * time.Millisecond, place.Len()} {
		sound := clip[place.Start*voice.Rate/time.Second:][:word*voice.Rate/time.Second]
		for _, length := range []time.Duration{5 * time.Second, 15 * time.Second, 30 * time.Second, 60 * time.Second, 110 * time.Second} {
			for _, share := range []time.Duration{1, 5, 9} { // tenths of the recording before the word
				at := (length - word) * share / 10
				pcm := noise(length.Seconds(), 1e-3)
				for i, v := range sound {
					pcm[int(at*voice.Rate/time.Second)+i] += v
				}
				speech := hear(t, l, pcm).Speech
				const near = 200 * time.Millisecond
				if len(speech) != 1 || (speech[0].Start-at).Abs() > near || (speech[0].End-at-word).Abs() > near {
					t.Errorf("%s of speech at %s of %s: heard at %s", word, at, length, speech)
				}
			}
		}
	}
}

// A door that slams does not deafen to speech that is quieter by far.
func TestABangDoesNotDeafen(t *testing.T) {
	l, clip := listener(t), sample(t, "clip-25.wav")
	pcm, bang := noise(30, 1e-3), noise(0.4, 0.4)
	at := 10 * voice.Rate
	for i, v := range clip {
		pcm[at+i] += v / 60
	}
	quiet := hear(t, l, pcm)
	for i, v := range bang {
		pcm[25*voice.Rate+i] += v
	}
	loud := hear(t, l, pcm)
	for _, s := range quiet.Speech {
		if !loud.Speech.Overlaps(s.Start, s.End) {
			t.Errorf("speech at %s without the bang, at %s with it", quiet.Speech, loud.Speech)
		}
	}
	if len(quiet.Speech) == 0 {
		t.Error("this test has to be built anew: no speech")
	}
}

// Whoever says a wake word speaks: where no speech is heard there, nothing is known of the voice.
func TestAWordWithoutSpeechIsNoAdult(t *testing.T) {
	span := func(from, to int) earshot.Span {
		return earshot.Span{Start: time.Duration(from) * time.Second, End: time.Duration(to) * time.Second}
	}
	adult := voice.Voice{Known: true, Protective: voice.Adult, Evidential: voice.Adult}
	for name, c := range map[string]struct {
		speech  earshot.Spans
		voice   voice.Voice
		verdict voice.Verdict // of the wake word at 1 to 2 s; none if empty
		known   bool
	}{
		"nobodySpeaks":        {nil, voice.Voice{}, "", true},
		"aWordAlone":          {nil, voice.Voice{}, voice.Found, false},
		"anUncertainWord":     {nil, voice.Voice{}, voice.Uncertain, true},
		"aWordInSpeech":       {earshot.Spans{span(1, 3)}, adult, voice.Found, true},
		"aWordOutsideSpeech":  {earshot.Spans{span(5, 9)}, adult, voice.Found, false},
		"tooLittleVoice":      {earshot.Spans{span(1, 3)}, voice.Voice{}, voice.Found, false},
		"speechWithoutAWord":  {earshot.Spans{span(5, 9)}, adult, "", true},
		"uncertainAndUnheard": {earshot.Spans{span(5, 9)}, adult, voice.Uncertain, true},
	} {
		h := voice.Heard{Length: 10 * time.Second, Speech: c.speech, Voice: c.voice}
		if c.verdict != "" {
			h.Wakes = []voice.Wake{{Word: "alexa", Span: span(1, 2), Erase: span(1, 2), Score: 1, Verdict: c.verdict}}
		}
		known := false
		for _, l := range h.Listenings(time.Time{}, voice.Reading{}) {
			known = known || l.Kind == earshot.KindChild
		}
		if known != c.known {
			t.Errorf("%s: whether a child speaks is known: %t, want %t", name, known, c.known)
		}
	}
}
