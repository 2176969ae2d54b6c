package flac

import (
	"bytes"
	"errors"
	"io"

	"earshot/redact/internal/opaque"
)

// StreamInfo is what STREAMINFO says (RFC 9639, section 8.2).
type StreamInfo struct {
	MinBlock, MaxBlock   int
	Rate, Channels, Bits int
	Samples              int64
}

// ParseStreamInfo reads the 34 bytes of the block.
func ParseStreamInfo(b []byte) StreamInfo {
	return StreamInfo{
		MinBlock: int(b[0])<<8 | int(b[1]), MaxBlock: int(b[2])<<8 | int(b[3]),
		Rate:     int(b[10])<<12 | int(b[11])<<4 | int(b[12])>>4,
		Channels: int(b[12]>>1&7) + 1, Bits: int(b[12]&1)<<4 + int(b[13]>>4) + 1,
		Samples: int64(b[13]&15)<<32 | int64(b[14])<<24 | int64(b[15])<<16 | int64(b[16])<<8 | int64(b[17]),
	}
}

// Bytes is the block without its header. Frame sizes and MD5 are zero, which means unknown: both
// would describe the sound that is gone.
func (s StreamInfo) Bytes() []byte {
	b := make([]byte, 34)
	b[0], b[1], b[2], b[3] = byte(s.MinBlock>>8), byte(s.MinBlock), byte(s.MaxBlock>>8), byte(s.MaxBlock)
	b[10], b[11] = byte(s.Rate>>12), byte(s.Rate>>4)
	b[12] = byte(s.Rate<<4) | byte(s.Channels-1)<<1 | byte((s.Bits-1)>>4)
	n := s.Samples
	if n >= 1<<36 {
		n = 0
	}
	b[13] = byte((s.Bits-1)<<4) | byte(n>>32)
	b[14], b[15], b[16], b[17] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return b
}

// Block is a metadata block other than STREAMINFO.
type Block struct {
	Type int
	Size int64
}

// Frame is one frame: its length in bytes and its samples per channel.
type Frame struct{ Size, Block int32 }

// File is a scanned native FLAC file.
type File struct {
	Info     StreamInfo
	Told     bool // STREAMINFO told frame sizes or an MD5
	Meta     []Block
	Before   int64 // bytes before "fLaC"
	Start    int64 // offset of the first frame
	Frames   []Frame
	Variable bool
	Samples  int64
	Tail     int64 // bytes behind the last frame
}

const (
	maxMeta  = 1000
	maxFrame = 65536*8*4 + 1024
)

type scanner struct {
	src  io.ReaderAt
	size int64
	buf  []byte
	base int64
	f    *File
}

// Scan reads metadata and finds all frames of a file whose "fLaC" stands at offset start. Errors
// of src come back as they are, everything else as [opaque.Error].
func Scan(src io.ReaderAt, size, start int64) (*File, error) {
	c := &scanner{src: src, size: size, f: &File{Before: start}}
	at, err := c.metadata(start)
	if err != nil {
		return nil, err
	}
	c.f.Start = at
	if err := c.frames(at); err != nil {
		return nil, err
	}
	return c.f, nil
}

func (c *scanner) metadata(at int64) (int64, error) {
	if b, err := c.see(at, 4); err != nil {
		return 0, err
	} else if len(b) < 4 || string(b[:4]) != "fLaC" {
		return 0, opaque.At(at, "no fLaC marker")
	}
	found := false
	at += 4
	for n, last := 0, false; !last; n++ {
		b, err := c.see(at, 42)
		if err != nil {
			return 0, err
		}
		if len(b) < 4 || n == maxMeta {
			return 0, opaque.At(at, "the metadata do not end")
		}
		last = b[0]&0x80 != 0
		kind, size := int(b[0]&0x7F), int64(b[1])<<16|int64(b[2])<<8|int64(b[3])
		if kind == 127 || size > c.size-at-4 {
			return 0, opaque.At(at, "a metadata block of type %d claims %d bytes, %d remain", kind, size, c.size-at-4)
		}
		switch {
		case kind != 0:
			c.f.Meta = append(c.f.Meta, Block{kind, size})
		case found || size != 34 || len(b) < 38:
			return 0, opaque.At(at, "a STREAMINFO block too many or of %d bytes", size)
		default:
			found = true
			c.f.Info = ParseStreamInfo(b[4:38])
			c.f.Told = told(b[4:38])
		}
		at += 4 + size
	}
	return at, c.f.Info.usable(at)
}

func (c *scanner) frames(at int64) error {
	f := c.f
	for at < c.size {
		b, err := c.see(at, 32)
		if err != nil {
			return err
		}
		h, ok := ParseHeader(b)
		if !ok && len(f.Frames) > 0 {
			break
		}
		if !ok {
			return opaque.At(at, "no frame where the first should be")
		}
		if err := c.f.accept(h, at); err != nil {
			return err
		}
		size, err := c.length(at, h)
		if err != nil {
			return err
		}
		f.Frames = append(f.Frames, Frame{int32(size), int32(h.Block)})
		f.Samples += int64(h.Block)
		at += size
	}
	if f.Tail = c.size - at; f.Tail > 0 {
		if b, err := c.see(at, 16); err != nil {
			return err
		} else if !bytes.HasPrefix(b, []byte("TAG")) && !bytes.HasPrefix(b, []byte("APETAGEX")) && !bytes.HasPrefix(b, []byte("ID3")) && !bytes.HasPrefix(b, []byte("LYRICSBEGIN")) {
			return opaque.At(at, "bytes that belong to no frame")
		}
	}
	return nil
}

// accept checks a header against STREAMINFO and the frames before.
func (f *File) accept(h Header, at int64) error {
	if len(f.Frames) == 0 {
		f.Variable = h.Variable
	}
	want := int64(len(f.Frames))
	if h.Variable {
		want = f.Samples
	}
	switch {
	case h.Variable != f.Variable:
		return opaque.At(at, "fixed and variable block sizes in one stream")
	case h.Number != want:
		return opaque.At(at, "frame number %d, want %d", h.Number, want)
	case h.Channels() != f.Info.Channels,
		h.Rate() != 0 && h.Rate() != f.Info.Rate,
		h.Bits() != 0 && h.Bits() != f.Info.Bits:
		return opaque.At(at, "a frame of %d channels, %d Hz, %d bits, unlike STREAMINFO", h.Channels(), h.Rate(), h.Bits())
	}
	if n := len(f.Frames); n > 0 && !f.Variable && f.Frames[n-1].Block != f.Frames[0].Block {
		return opaque.At(at, "a short block that is not the last")
	}
	return nil
}

// usable checks what STREAMINFO says; at is where it stands.
func (s StreamInfo) usable(at int64) error {
	if s.Rate == 0 || s.Bits < 4 || s.Bits > 24 {
		return opaque.At(at, "STREAMINFO is missing or says %d Hz, %d bits", s.Rate, s.Bits)
	}
	return nil
}

// SetInfo takes the 34 bytes of STREAMINFO of a stream that is not in a native file.
func (f *File) SetInfo(b []byte, at int64) error {
	f.Info = ParseStreamInfo(b)
	f.Told = told(b)
	return f.Info.usable(at)
}

func told(b []byte) bool {
	return len(bytes.Trim(b[4:10], "\x00")) > 0 || len(bytes.Trim(b[18:34], "\x00")) > 0
}

// AddFrame takes the next frame, which b holds wholly and alone.
func (f *File) AddFrame(b []byte, at int64) error {
	h, ok := ParseHeader(b)
	if !ok || len(b) < h.Len+3 || CRC16(0, b) != 0 {
		return opaque.At(at, "a packet that is no frame, or a checksum that is wrong")
	}
	if err := f.accept(h, at); err != nil {
		return err
	}
	f.Variable = h.Variable
	f.Frames = append(f.Frames, Frame{int32(len(b)), int32(h.Block)})
	f.Samples += int64(h.Block)
	return nil
}

// length finds the end of the frame at offset at.
func (c *scanner) length(at int64, h Header) (int64, error) {
	b, err := c.see(at, 64<<10)
	if err != nil {
		return 0, err
	}
	next := h.Number + 1
	if h.Variable {
		next = h.Number + int64(h.Block)
	}
	crc, done := uint16(0), 0
	for from := h.Len + 2; ; {
		i := bytes.IndexByte(b[min(from, len(b)):], 0xFF)
		if i < 0 || from+i+32 > len(b) {
			whole := int64(len(b)) == c.size-at
			if !whole && len(b) < maxFrame {
				if b, err = c.see(at, 2*len(b)); err != nil {
					return 0, err
				}
				continue
			}
			if i < 0 {
				break
			}
		}
		p := from + i
		if n, ok := ParseHeader(b[p:]); ok && n.Variable == h.Variable && n.Number == next {
			crc, done = CRC16(crc, b[done:p]), p
			if crc == 0 {
				return int64(p), nil
			}
		}
		from = p + 1
	}
	if int64(len(b)) == c.size-at && CRC16(crc, b[done:]) == 0 {
		return int64(len(b)), nil
	}
	if _, size, err := Decode(b, h, c.f.Info.Bits); err == nil && CRC16(0, b[:size]) == 0 {
		return int64(size), nil
	}
	return 0, opaque.At(at, "a frame whose end or checksum is not right")
}

// see gives at least n bytes from at on, fewer only where the file ends.
func (c *scanner) see(at int64, n int) ([]byte, error) {
	n = int(min(int64(n), c.size-at))
	off := at - c.base
	if off >= 0 && off+int64(n) <= int64(len(c.buf)) {
		return c.buf[off:], nil
	}
	want := int(min(int64(max(n, 256<<10)), c.size-at))
	if cap(c.buf) < want {
		c.buf = make([]byte, want)
	}
	c.buf, c.base = c.buf[:want], at
	got, err := c.src.ReadAt(c.buf, at)
	if got < want {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return c.buf, nil
}
