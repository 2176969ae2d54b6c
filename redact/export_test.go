package redact

import (
	"bytes"
	"encoding/binary"
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
			e.blank(b, k-from, to-from)
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

// HearOpus is the decode check alone, of kept packets and what stands behind them.
func HearOpus(head []byte, in, out, blanks [][]byte) (Hearing, error) {
	var h Hearing
	e := newOpusEar(&h, head)
	for i := range in {
		if err := e.kept(in[i], out[i]); err != nil {
			return h, err
		}
	}
	e.gone()
	for _, b := range blanks {
		e.blank(b)
	}
	return h, e.end()
}

// OpusPackets lists the packets of a file, headers first.
func OpusPackets(b []byte) (packets [][]byte) {
	w := &oggWalk{f: bytes.NewReader(b), size: int64(len(b))}
	for {
		u, err := w.next()
		if err != nil || u == nil {
			return packets
		}
		packets = append(packets, u.data)
	}
}

// SumPages makes the checksums of a damaged Ogg file right.
func SumPages(b []byte) {
	for at := 0; at+27 <= len(b) && string(b[at:at+4]) == "OggS"; {
		n := 27 + int(b[at+26])
		for _, v := range b[at+27 : min(len(b), at+n)] {
			n += int(v)
		}
		if at+n > len(b) {
			return
		}
		w := oggWalk{page: b[at : at+n]}
		binary.LittleEndian.PutUint32(b[at+22:], w.sum())
		at += n
	}
}
