// Package riff reads and writes the chunk structure of WAVE files: RIFF, RIFX (big-endian), RF64
// and BW64 (64-bit sizes in a ds64 chunk; EBU Tech 3306, ITU-R BS.2088).
//
// A file is a 12-byte header and a row of chunks, each with a 4-byte name, a 4-byte length and,
// where the length is odd, a pad byte. Lengths lie often: recorders that were never stopped leave
// 0 or 0xFFFFFFFF, cut files claim more than there is. [Parse] checks every length against the
// bytes that remain and never allocates by a claimed length.
//
// The package knows formats and chunks. It knows nothing of spans.
package riff

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"earshot/redact/internal/opaque"
)

const (
	maxChunks = 4096
	maxFmt    = 1024 // bytes of a fmt chunk that are looked at
	unset32   = 0xFFFFFFFF
)

// Chunk is one chunk of the file. Size is what is really there, without the pad byte.
type Chunk struct {
	ID           string
	List         string // type of a LIST chunk, such as INFO
	Offset, Size int64  // of the payload
}

// Wave is a parsed WAVE file.
type Wave struct {
	Form   string // RIFF, RIFX, RF64 or BW64
	Order  binary.ByteOrder
	Format Format
	// FmtSize is the length of the fmt chunk as it stands in the file.
	FmtSize int64
	Fact    int64 // sample frames as the fact chunk says, -1 without one
	Data    Chunk // Size is the length of the sound, partial blocks included
	Other   []Chunk
	PadByte byte  // the pad byte after data, 0 where there is none
	Tail    int64 // bytes after the last chunk
}

type parser struct {
	src     io.ReaderAt
	size    int64
	w       *Wave
	ds64    int64 // length of data according to ds64, -1 without
	sawFmt  bool
	sawData bool
}

// Parse walks the chunks of the file. Errors of src come back as they are, everything else as
// [opaque.Error].
func Parse(src io.ReaderAt, size int64) (*Wave, error) {
	p := &parser{src: src, size: size, w: &Wave{Fact: -1}, ds64: -1}
	if err := p.form(); err != nil {
		return nil, err
	}
	at := int64(12)
	for n := 0; size-at >= 8; n++ {
		if n == maxChunks {
			return nil, opaque.At(at, "more than %d chunks", maxChunks)
		}
		next, err := p.chunk(at)
		if err != nil {
			return nil, err
		}
		at = next
	}
	p.w.Tail = max(0, size-at)
	switch {
	case !p.sawFmt:
		return nil, opaque.At(at, "no fmt chunk")
	case !p.sawData:
		return nil, opaque.At(at, "no data chunk")
	}
	return p.w, nil
}

func (p *parser) form() error {
	head, err := p.bytes(0, 12)
	if err != nil {
		return err
	}
	p.w.Form, p.w.Order = string(head[:4]), binary.LittleEndian
	switch p.w.Form {
	case "RIFX":
		p.w.Order = binary.BigEndian
	case "RIFF", "RF64", "BW64":
	default:
		return opaque.At(0, "not a RIFF, RIFX, RF64 or BW64 file")
	}
	if string(head[8:]) != "WAVE" {
		return opaque.At(8, "the form type is not WAVE")
	}
	return nil
}

// chunk reads the chunk whose header is at offset at, and returns where the next one begins.
func (p *parser) chunk(at int64) (int64, error) {
	head, err := p.bytes(at, 8)
	if err != nil {
		return 0, err
	}
	c := Chunk{ID: string(head[:4]), Offset: at + 8, Size: int64(p.w.Order.Uint32(head[4:]))}
	left := p.size - c.Offset
	if c.ID == "data" {
		return p.data(c, left)
	}
	if c.Size > left {
		if !p.sawData {
			return 0, opaque.At(at, "a chunk before the sound claims %d bytes, %d remain", c.Size, left)
		}
		c.Size = left // metadata behind the sound: dropped whatever it is
	}
	switch c.ID {
	case "fmt ":
		err = p.format(c)
	case "fact":
		err = p.fact(c)
	case "ds64":
		err = p.sizes(c)
	case "LIST":
		if c.Size >= 4 {
			kind, err := p.bytes(c.Offset, 4)
			if err != nil {
				return 0, err
			}
			c.List = strings.TrimRight(string(kind), " ")
		}
		if c.List == "wavl" {
			return 0, opaque.At(at, "sound in a wavl list")
		}
		p.w.Other = append(p.w.Other, c)
	default:
		p.w.Other = append(p.w.Other, c)
	}
	return min(p.size, c.Offset+c.Size+c.Size&1), err
}

func (p *parser) format(c Chunk) (err error) {
	if p.sawFmt {
		return opaque.At(c.Offset, "second fmt chunk")
	}
	raw, err := p.bytes(c.Offset, min(c.Size, maxFmt))
	if err != nil {
		return err
	}
	p.sawFmt, p.w.FmtSize = true, c.Size
	p.w.Format, err = parseFormat(raw, p.w.Order, c.Offset)
	return err
}

func (p *parser) fact(c Chunk) error {
	if c.Size < 4 {
		return nil
	}
	raw, err := p.bytes(c.Offset, 4)
	if err != nil {
		return err
	}
	p.w.Fact = int64(p.w.Order.Uint32(raw))
	if c.Size > 4 {
		p.w.Other = append(p.w.Other, Chunk{ID: "fact", Offset: c.Offset + 4, Size: c.Size - 4})
	}
	return nil
}

func (p *parser) sizes(c Chunk) error {
	if p.w.Form != "RF64" && p.w.Form != "BW64" || p.ds64 >= 0 {
		p.w.Other = append(p.w.Other, c)
		return nil
	}
	if c.Size < 24 {
		return opaque.At(c.Offset, "ds64 chunk of %d bytes", c.Size)
	}
	raw, err := p.bytes(c.Offset, 24)
	if err != nil {
		return err
	}
	n := p.w.Order.Uint64(raw[8:])
	if n > 1<<62 {
		n = 1 << 62
	}
	p.ds64 = int64(n)
	if c.Size > 28 {
		p.w.Other = append(p.w.Other, Chunk{ID: "ds64", Offset: c.Offset + 28, Size: c.Size - 28})
	}
	return nil
}

// data settles how long the sound is. A length of 0, of 0xFFFFFFFF, or beyond the end of the file
// means that the sound runs to the end of the file; only a 0 that is followed by a faultless row
// of chunks is believed.
func (p *parser) data(c Chunk, left int64) (int64, error) {
	if p.sawData {
		return 0, opaque.At(c.Offset-8, "second data chunk")
	}
	if !p.sawFmt {
		return 0, opaque.At(c.Offset-8, "the sound comes before its format")
	}
	p.sawData = true
	if c.Size == unset32 && p.ds64 >= 0 {
		c.Size = p.ds64
	}
	if c.Size == 0 && !p.chunksFrom(c.Offset) || c.Size > left {
		c.Size = left
	}
	p.w.Data = c
	if c.Size&1 == 1 && c.Size < left {
		pad, err := p.bytes(c.Offset+c.Size, 1)
		if err != nil {
			return 0, err
		}
		p.w.PadByte = pad[0]
	}
	return min(p.size, c.Offset+c.Size+c.Size&1), nil
}

// chunksFrom reports whether the bytes from at to the end of the file are whole chunks.
func (p *parser) chunksFrom(at int64) bool {
	for n := 0; n < maxChunks && at < p.size; n++ {
		head, err := p.bytes(at, 8)
		if err != nil {
			return false
		}
		for _, b := range head[:4] {
			if b < 0x20 || b > 0x7E {
				return false
			}
		}
		size := int64(p.w.Order.Uint32(head[4:]))
		if string(head[:4]) == "data" || size > p.size-at-8 {
			return false
		}
		at += 8 + size + size&1
	}
	return at >= p.size
}

func (p *parser) bytes(offset, n int64) ([]byte, error) {
	if n > p.size-offset {
		return nil, opaque.At(offset, "the file ends within a header")
	}
	buf := make([]byte, n)
	got, err := p.src.ReadAt(buf, offset)
	if got == len(buf) {
		return buf, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}
