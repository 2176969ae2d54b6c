package pcm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"earshot"
)

// Rate is the sampling rate of what is decoded, in hertz.
const Rate = 16000

// ErrUnheard says that the sound cannot be had rightly. The reason stands before it.
var ErrUnheard = errors.New("not listened to")

func unheard(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, ErrUnheard)...)
}

// source is sound as a decoder gives it, in blocks of interleaved samples from -1 to 1.
type source struct {
	rate, channels int
	// samples of each channel, as headers tell them before anything is decoded; 0 where they do not.
	samples int64
	// count, if set, tells them by a walk over the packets, which ends where there are more than most.
	count func(most int64) (int64, error)
	// read gives the next block, io.EOF behind the last. The block is the source's own.
	read func() ([]float32, error)
}

// Decode decodes a recording and hands it to sink in blocks of samples at [Rate]; a block is valid
// until sink returns. It ends with sink's error, ctx's, or [ErrUnheard].
func Decode(ctx context.Context, src io.ReaderAt, size int64, sink func([]float32) error) (err error) {
	defer noPanic(&err)
	s, err := open(src, size)
	if err != nil {
		return err
	}
	return s.decode(ctx, sink)
}

// noPanic makes an error of a panic: decoders that are not ours meet bytes that strangers made.
func noPanic(err *error) {
	if r := recover(); r != nil {
		*err = unheard("the decoder panics")
	}
}

func (s *source) decode(ctx context.Context, sink func([]float32) error) error {
	r := newResampler(s.rate, Rate)
	var mono []float32
	var apart, together float64 // the power of the channels, and that of their mean
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		block, err := s.read()
		if errors.Is(err, io.EOF) {
			if apart > 1e-2 && together < apart/1000 {
				return unheard("the channels are each other's inverse: nothing is left of them together")
			}
			return sink(r.flush())
		}
		if err != nil {
			return err
		}
		mono = mix(mono[:0], block, s.channels)
		if s.channels > 1 {
			apart, together = apart+power(block)/float64(s.channels), together+power(mono)
		}
		if out := r.push(mono); len(out) > 0 {
			if err := sink(out); err != nil {
				return err
			}
		}
	}
}

// errEnough ends a decoding that has given what was asked for.
var errEnough = errors.New("enough")

// All decodes a recording of at most `most` from the first sample on. A longer one is [ErrUnheard]:
// half an answer would be taken for a whole one. It is given up by what headers say of its length, and
// otherwise before any of it is kept.
func All(ctx context.Context, src io.ReaderAt, size int64, most time.Duration) (out []float32, err error) {
	defer noPanic(&err)
	limit := int64(most / (time.Second / Rate))
	tooLong := unheard("longer than %s", most)
	s, err := open(src, size)
	if err != nil {
		return nil, err
	}
	samples := s.samples
	if s.count != nil {
		if samples, err = s.count((limit/Rate + 1) * int64(s.rate)); err != nil {
			return nil, err
		}
	}
	long := samples / int64(s.rate) * Rate // in whole seconds, so that nothing overflows
	if samples == 0 {
		err := s.decode(ctx, func(b []float32) error {
			if long += int64(len(b)); long > limit {
				return tooLong
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if s, err = open(src, size); err != nil {
			return nil, err
		}
	}
	if long > limit {
		return nil, tooLong
	}
	out = make([]float32, 0, min(limit, long+Rate)) // a slice that grows takes several times as much
	err = s.decode(ctx, func(b []float32) error {
		if int64(len(out)+len(b)) > limit {
			return tooLong
		}
		out = append(out, b...)
		return nil
	})
	return out, err
}

// Part decodes the span only; what comes before it is decoded and dropped, what comes behind is not
// decoded.
func Part(ctx context.Context, src io.ReaderAt, size int64, span earshot.Span) ([]float32, error) {
	from, to := int(span.Start*Rate/time.Second), int(span.End*Rate/time.Second)
	var out []float32
	at := 0
	err := Decode(ctx, src, size, func(b []float32) error {
		lo, hi := max(0, from-at), min(len(b), to-at)
		if lo < hi {
			out = append(out, b[lo:hi]...)
		}
		if at += len(b); at >= to {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return out, err
}

func power(b []float32) (sum float64) {
	for _, v := range b {
		sum += float64(v) * float64(v)
	}
	return sum
}

func mix(out, block []float32, channels int) []float32 {
	if channels == 1 {
		return append(out, block...)
	}
	scale := 1 / float32(channels)
	for i := 0; i+channels <= len(block); i += channels {
		var sum float32
		for _, v := range block[i : i+channels] {
			sum += v
		}
		out = append(out, sum*scale)
	}
	return out
}

// open opens what can be listened to.
func open(src io.ReaderAt, size int64) (*source, error) {
	s, err := openCoding(src, size)
	if err == nil && (s.rate < 2000 || s.rate > 768000 || s.channels < 1 || s.channels > 64) {
		err = unheard("%d Hz and %d channels", s.rate, s.channels)
	}
	return s, err
}

// openCoding tells the coding by its first bytes, as package redact does.
func openCoding(src io.ReaderAt, size int64) (*source, error) {
	head := make([]byte, min(size, 4096))
	if n, err := src.ReadAt(head, 0); n < len(head) && err != nil {
		return nil, fmt.Errorf("reading the recording: %w", err)
	}
	switch {
	case len(head) >= 12 && (bytes.HasPrefix(head, []byte("RIFF")) || bytes.HasPrefix(head, []byte("RIFX")) || bytes.HasPrefix(head, []byte("RF64")) || bytes.HasPrefix(head, []byte("BW64"))) && string(head[8:12]) == "WAVE":
		return openWAV(src, size)
	case bytes.HasPrefix(head, []byte("fLaC")):
		return openFLAC(io.NewSectionReader(src, 0, size))
	case bytes.HasPrefix(head, []byte("OggS")):
		return openOgg(src, size)
	}
	start, err := skipID3(src, size)
	if err != nil {
		return nil, err
	}
	if start > 0 {
		n, err := src.ReadAt(head, start)
		if n < 4 {
			return nil, unheard("nothing behind the tag (%v)", err)
		}
		if bytes.HasPrefix(head, []byte("fLaC")) {
			return openFLAC(io.NewSectionReader(src, start, size-start))
		}
	}
	return openMP3(src, size, start)
}

// skipID3 is where the sound begins behind ID3v2 tags.
func skipID3(src io.ReaderAt, size int64) (int64, error) {
	var at int64
	for range 4 {
		var h [10]byte
		if n, _ := src.ReadAt(h[:], at); n < len(h) || string(h[:3]) != "ID3" || (h[6]|h[7]|h[8]|h[9])&0x80 != 0 {
			break
		}
		at += 10 + int64(h[6])<<21 + int64(h[7])<<14 + int64(h[8])<<7 + int64(h[9])
		if h[5]&0x10 != 0 {
			at += 10 // footer
		}
		if at >= size {
			return 0, unheard("the tag is longer than the file")
		}
	}
	return at, nil
}
