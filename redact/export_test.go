package redact

import (
	"bytes"
	"errors"
)

// VerifyMP3Deaf is the re-parse alone.
func VerifyMP3Deaf(src, dst []byte, r Report) error {
	return proveMP3(bytes.NewReader(src), int64(len(src)), bytes.NewReader(dst), int64(len(dst)), r, false)
}

// HearMP3 is the decode check alone: frames [from, to) of the input were replaced, or so it is said,
// by as many of the output. Nothing is compared but what go-mp3 hears.
func HearMP3(src, dst []byte, from, to int64, tone bool) (Hearing, error) {
	var h Hearing
	in := newMP3Walk(bytes.NewReader(src), int64(len(src)), dst[:4], false)
	out := newMP3Walk(bytes.NewReader(dst), int64(len(dst)), dst[:4], true)
	e := newMP3Ear(&h, in, out, tone)
	for k := int64(0); ; k++ {
		a, ok, err := in.next()
		b, okB, errB := out.next()
		if err := errors.Join(err, errB); err != nil || !ok || !okB {
			return h, errors.Join(err, e.begin())
		}
		switch {
		case k >= from && k < to:
			e.blank(b)
			if k == to-1 {
				err = e.end()
			}
		default:
			err = e.kept(a, b, from > k && from-k <= e.reach())
		}
		if err != nil {
			return h, err
		}
	}
}

// MP3Frames calls f for each frame of sound with its place in the file.
func MP3Frames(b []byte, f func(k int64, at, lead, slot int)) error {
	w := newMP3Walk(bytes.NewReader(b), int64(len(b)), b[:4], true)
	for {
		u, ok, err := w.next()
		if err != nil || !ok {
			return err
		}
		n := len(u.lead) + u.slot
		f(w.n-1, len(b)-int(w.left)-n, len(u.lead), u.slot)
	}
}
