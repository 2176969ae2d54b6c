package redact

import (
	"errors"
	"fmt"
	"io"

	"earshot"
	"earshot/redact/internal/opaque"
)

// ErrOpaque means that the recording cannot be redacted safely. The caller should delete it or
// leave it to a person, never keep it as if it had been redacted. Every such error is an
// [*OpaqueError] with the byte offset and the reason.
var ErrOpaque = opaque.Err

// OpaqueError says where in the file, and why, redaction was refused.
type OpaqueError = opaque.Error

// Edit is what to erase and what to put in its place.
type Edit struct {
	// Spans in any order; they may overlap, reach [earshot.ToEnd], or lie beyond the end, where
	// there is nothing to erase. An empty edit still strips metadata.
	Spans earshot.Spans
	Fill  earshot.Fill // empty means earshot.FillSilence
}

func (e Edit) normalized() (Edit, error) {
	for _, span := range e.Spans {
		if !span.Valid() {
			return e, fmt.Errorf("span %s: the end must come after the start, and neither may be negative", span)
		}
	}
	e.Spans = e.Spans.Merge()
	switch e.Fill {
	case "":
		e.Fill = earshot.FillSilence
	case earshot.FillSilence, earshot.FillTone, earshot.FillCut:
	default:
		return e, fmt.Errorf("fill %q: want silence, tone or cut", e.Fill)
	}
	return e, nil
}

// Codec is one coding: WAV, MP3, FLAC or Ogg Opus. It keeps no state and may be used at once by
// any number of goroutines.
type Codec interface {
	Coding() earshot.Coding
	// Sniff reports whether a file that begins so (after leading ID3v2 tags) may be of this coding.
	Sniff(head []byte) bool
	// Redact writes the redacted file to dst as it goes: on error, dst holds rubbish to be thrown
	// away. A stream that cannot be redacted safely is an [*OpaqueError].
	Redact(dst io.Writer, src io.ReaderAt, size int64, e Edit) (Report, error)
	// Inspect describes the file and lists what it would leak.
	Inspect(src io.ReaderAt, size int64) (Info, error)
	// verify proves that dst is src redacted as the report says.
	verify(src io.ReaderAt, srcSize int64, dst io.ReaderAt, dstSize int64, r Report) error
}

// codecs in the order in which they are asked; the first has the plainest signature.
func codecs() []Codec { return []Codec{wavCodec{}, flacCodec{}, opusCodec{}, mp3Codec{}} }

// sniffLen is how much of a file's beginning is looked at to tell its coding.
const sniffLen = 64 << 10

// Sniff tells the coding from a file's first bytes (64 KiB are plenty). Where a long ID3v2 tag
// comes first, use [For].
func Sniff(head []byte) (Codec, bool) {
	for {
		n := id3v2Len(head)
		if n == 0 || n >= int64(len(head)) {
			break
		}
		head = head[n:]
	}
	for _, c := range codecs() {
		if c.Sniff(head) {
			return c, true
		}
	}
	return nil, false
}

// For tells the coding of a file from its content, looking behind ID3v2 tags of any length. An
// unknown coding is [ErrOpaque].
func For(src io.ReaderAt, size int64) (Codec, error) {
	var offset int64
	for tags := 0; ; tags++ {
		head, err := readHead(src, offset, size, sniffLen)
		if err != nil {
			return nil, fmt.Errorf("reading the first bytes: %w", err)
		}
		if n := id3v2Len(head); n > 0 && tags < 16 && offset+n < size {
			offset += n
			continue
		}
		if c, ok := Sniff(head); ok {
			return c, nil
		}
		return nil, opaque.At(offset, "not a WAV, MP3, FLAC or Ogg Opus file")
	}
}

// id3v2Len is the length in bytes of the ID3v2 tag at the start of head, 0 if there is none.
// The size field has 7 bits per byte (ID3v2.4, section 3.1).
func id3v2Len(head []byte) int64 {
	if len(head) < 10 || string(head[:3]) != "ID3" || head[3] == 0xFF || head[4] == 0xFF {
		return 0
	}
	var n int64
	for _, b := range head[6:10] {
		if b&0x80 != 0 {
			return 0
		}
		n = n<<7 | int64(b)
	}
	n += 10
	if head[3] >= 4 && head[5]&0x10 != 0 {
		n += 10 // footer
	}
	return n
}

// Redact picks the codec by content and writes the redacted file to dst.
func Redact(dst io.Writer, src io.ReaderAt, size int64, e Edit) (Report, error) {
	e, err := e.normalized()
	if err != nil {
		return Report{}, err
	}
	c, err := For(src, size)
	if err != nil {
		return Report{}, err
	}
	r, err := c.Redact(dst, src, size, e)
	if err != nil {
		return Report{}, fmt.Errorf("redacting %s: %w", c.Coding(), err)
	}
	r.Heard = new(Hearing)
	return r, nil
}

// Inspect tells what a file is and what it would leak besides its sound.
func Inspect(src io.ReaderAt, size int64) (Info, error) {
	c, err := For(src, size)
	if err != nil {
		return Info{}, err
	}
	info, err := c.Inspect(src, size)
	if err != nil {
		return Info{}, fmt.Errorf("inspecting %s: %w", c.Coding(), err)
	}
	return info, nil
}

// readHead reads up to n bytes at offset; fewer only where the file ends.
func readHead(src io.ReaderAt, offset, size int64, n int) ([]byte, error) {
	buf := make([]byte, max(0, min(int64(n), size-offset)))
	got, err := src.ReadAt(buf, offset)
	if got == len(buf) {
		return buf, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}
