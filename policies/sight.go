package policies

import (
	"math"
	"time"

	"earshot"
)

// scalar is the value of a fact that is one thing. A time is seconds and nanoseconds since 1970, a
// duration nanoseconds, a bool 0 or 1.
type scalar struct {
	i int64
	n int32
	f float64
	s string
}

// heard is what is known of one kind of listening.
type heard struct {
	kind        earshot.Kind
	standing    standing // pending: nobody listened yet; absent: listening came to nothing
	why         string   // for absent
	found       bool
	placed      bool         // every finding has a believable span
	first, last earshot.Span // the findings that begin first and end last
	word        string       // of the first
	likeness    float64      // score of the first
	score       float64      // of the whole recording
	commandEnd  time.Duration
	findings    []earshot.Finding // may hold some of other kinds
}

// sight is the facts as a policy sees them, prepared once for all rules.
type sight struct {
	f                   *earshot.Facts
	wake, child, speech heard
}

func (s *sight) look(f *earshot.Facts) {
	s.f = f
	s.wake.look(f, earshot.KindWake)
	s.child.look(f, earshot.KindChild)
	s.speech.look(f, earshot.KindSpeech)
}

func (h *heard) look(f *earshot.Facts, kind earshot.Kind) {
	h.kind = kind
	l, ok := f.Heard[kind]
	if !ok {
		h.standing = pending
		if why, deaf := f.Deaf[kind]; deaf {
			h.standing, h.why = absent, why
		}
		return
	}
	h.standing, h.placed = present, true
	h.score, h.commandEnd, h.findings = l.Score, l.CommandEnd, l.Findings
	for i := range l.Findings {
		x := &l.Findings[i]
		if x.Kind != kind && x.Kind != "" {
			continue
		}
		h.placed = h.placed && x.Span.Valid()
		if !h.found || x.Span.Start < h.first.Start {
			h.first, h.word, h.likeness = x.Span, x.Word, x.Score
		}
		if !h.found || x.Span.End > h.last.End {
			h.last = x.Span
		}
		h.found = true
	}
}

// believable leaves out the dates that clocks show when nobody has set them: before 2000 and after
// 9000 nothing is said of when something was.
func believable(t time.Time) bool {
	const from, to = 946684800, 221845392000 // the first seconds of 2000 and 9000
	s := t.Unix()
	return s >= from && s < to
}

// get gives a fact of one value. Lists and maps have their own ways: [sight.standingOf] speaks of
// all facts.
func (s *sight) get(x fact) (scalar, standing) {
	switch {
	case x >= subjectKnown:
		return s.subject(x)
	case x >= wakeListened:
		return s.sound(x)
	}
	r := &s.f.Recording
	switch x {
	case recordingBucket:
		return text(r.ID.Bucket, absent)
	case recordingKey:
		return text(r.ID.Key, absent)
	case recordingSize:
		return scalar{i: r.Size}, present
	case recordingCoding:
		return text(string(r.Coding), absent)
	case recordingSubject:
		return text(string(r.Subject), s.head())
	case recordingDevice:
		return text(r.Device, s.head())
	case recordingLocale:
		return text(r.Locale, s.head())
	case recordingSource:
		return text(r.Source, s.head())
	case recordingCaptured:
		return instant(r.CapturedAt, s.head())
	case recordingStored:
		return instant(r.StoredAt, absent)
	case recordingLength:
		return length(s.f.Length, s.head())
	case recordingOrphan:
		if s.f.Orphan != nil {
			return truth(*s.f.Orphan), present
		}
		return scalar{}, absent
	case recordingLabels:
		if !s.f.HeadKnown {
			return scalar{}, pending
		}
	}
	return scalar{}, present
}

// head is how a fact stands that the object's own metadata may still tell.
func (s *sight) head() standing {
	if s.f.HeadKnown {
		return absent
	}
	return pending
}

func (s *sight) sound(x fact) (scalar, standing) {
	switch x {
	case wakeListened, wakeFound, wakeStart, wakeEnd:
		return s.wake.get(x - wakeListened)
	case speechListened, speechFound, speechStart, speechEnd:
		return s.speech.get(x - speechListened)
	case childListened:
		return s.child.get(0)
	case wakeWord:
		if s.wake.standing == present && s.wake.found {
			return text(s.wake.word, absent)
		}
		return scalar{}, max(s.wake.standing, absent)
	case wakeScore:
		if s.wake.found {
			return share(s.wake.likeness, s.wake.standing)
		}
		return share(s.wake.score, s.wake.standing)
	case childProbability:
		return share(s.child.score, s.child.standing)
	case childPooled:
		return s.pooled()
	case childDeclared:
		return s.declared()
	case childSegments:
		if s.child.standing != present || !s.child.placed || !s.child.found && s.child.score >= 0.5 {
			return scalar{}, max(s.child.standing, absent)
		}
		return scalar{}, present
	case speechCommandEnd:
		return s.commandEnd()
	}
	return scalar{}, absent
}

// get gives listened, found, start or end of a listening.
func (h *heard) get(field fact) (scalar, standing) {
	switch {
	case h.standing == pending:
		return scalar{}, pending
	case h.standing == absent:
		return scalar{}, absent
	case field == 0:
		return truth(true), present
	case field == 1:
		return truth(h.found), present
	case !h.found || !h.placed:
		return scalar{}, absent
	case field == 2:
		return scalar{i: int64(h.first.Start)}, present
	}
	return scalar{i: int64(h.end())}, present
}

// end is where the kind of sound ends: for the wake word the first one counts, as for its start;
// speech reaches to the last.
func (h *heard) end() time.Duration {
	if h.kind == earshot.KindSpeech {
		return h.last.End
	}
	return h.first.End
}

// pooled is the figure of the recording's session. What the recording itself has to say comes first: while
// it may still be listened to, the others do not speak for it. If it cannot be judged, they do.
func (s *sight) pooled() (scalar, standing) {
	switch p := s.f.Pooled; {
	case s.child.standing == pending || p == nil:
		return scalar{}, pending
	case p.Of <= 0:
		return scalar{}, absent
	default:
		return share(p.Probability, present)
	}
}

// declared says whether the subject was declared a child: declaredMinor, or an age below 13. An
// operator with another line compares subject.declaredAge.
func (s *sight) declared() (scalar, standing) {
	sub := s.f.Subject
	switch {
	case sub == nil && !s.f.HeadKnown && s.f.Recording.Subject == "":
		return scalar{}, pending
	case sub == nil || sub.DeclaredMinor == nil && sub.DeclaredAge == nil:
		return scalar{}, absent
	}
	return truth(sub.DeclaredMinor != nil && *sub.DeclaredMinor || sub.DeclaredAge != nil && *sub.DeclaredAge < 13), present
}

// commandEnd is where the spoken command ends: as said with the wake word, else with the speech.
func (s *sight) commandEnd() (scalar, standing) {
	for _, h := range [...]*heard{&s.wake, &s.speech} {
		switch {
		case h.standing == pending:
			return scalar{}, pending
		case h.standing == present && h.commandEnd > 0:
			return scalar{i: int64(h.commandEnd)}, present
		}
	}
	return scalar{}, absent
}

func (s *sight) subject(x fact) (scalar, standing) {
	sub := s.f.Subject
	if sub == nil {
		switch {
		case !s.f.HeadKnown && s.f.Recording.Subject == "":
			return scalar{}, pending
		case x == subjectKnown:
			return truth(false), present
		}
		return scalar{}, absent
	}
	switch x {
	case subjectKnown:
		return truth(true), present
	case subjectDeclaredMinor:
		if sub.DeclaredMinor == nil {
			return scalar{}, absent
		}
		return truth(*sub.DeclaredMinor), present
	case subjectDeclaredAge:
		if sub.DeclaredAge == nil || *sub.DeclaredAge < 0 {
			return scalar{}, absent
		}
		return scalar{i: int64(*sub.DeclaredAge)}, present
	case subjectLastActive:
		return instant(sub.LastActive, absent)
	case subjectAutoDelete:
		return length(sub.AutoDelete, absent)
	case subjectDontSave:
		return truth(sub.DontSave), present
	case subjectNoHumanReview:
		return truth(sub.NoHumanReview), present
	}
	return scalar{}, present // consents
}

// consents reports whether a purpose is in force.
func (s *sight) consents(purpose string) bool {
	for i := range s.f.Subject.Consents {
		c := &s.f.Subject.Consents[i]
		if c.Purpose == purpose && c.WithdrawnAt.IsZero() {
			return true
		}
	}
	return false
}

func text(s string, otherwise standing) (scalar, standing) {
	if s == "" {
		return scalar{}, otherwise
	}
	return scalar{s: s}, present
}

func instant(t time.Time, otherwise standing) (scalar, standing) {
	switch {
	case t.IsZero():
		return scalar{}, otherwise
	case !believable(t):
		return scalar{}, absent
	}
	return scalar{i: t.Unix(), n: int32(t.Nanosecond())}, present
}

func length(d time.Duration, otherwise standing) (scalar, standing) {
	if d <= 0 {
		return scalar{}, otherwise
	}
	return scalar{i: int64(d)}, present
}

func share(x float64, st standing) (scalar, standing) {
	if st == present && (math.IsNaN(x) || x < 0 || x > 1) {
		st = absent
	}
	return scalar{f: x}, st
}

func truth(b bool) scalar {
	if b {
		return scalar{i: 1}
	}
	return scalar{}
}
