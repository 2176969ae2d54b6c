// Package ogg reads and writes Ogg streams (RFC 3533): pages with a checksum, and the packets that
// lie in them. A packet is laced into segments of up to 255 bytes and may go on in the next page.
//
// Only one logical stream at a time is read; several may follow each other (chaining). The package
// knows nothing of what the packets hold.
package ogg

import (
	"encoding/binary"
	"errors"
	"io"

	"earshot/redact/internal/opaque"
)

// Flags of a page.
const (
	Continued = 1
	First     = 2
	Last      = 4
)

// Packet is one packet and what its page says.
type Packet struct {
	Data    []byte // valid until the next call
	Offset  int64  // of the page on which it ends
	Serial  uint32
	Granule int64 // of that page; -1 where the packet is not the last that ends on it
	First   bool  // on the first page of a logical stream
	Last    bool  // the last packet on the last page of a logical stream
}

// MaxPacket is the longest packet that is read or written: it fits into one page.
const MaxPacket = 255 * 254

// Reader reads packets one after another.
type Reader struct {
	src      io.ReaderAt
	size, at int64
	page     []byte
	segments []byte
	body     []byte
	flags    byte
	granule  int64
	serial   uint32
	number   uint32
	open     bool // within a logical stream
	started  bool
	part     []byte
	pageAt   int64
	// Junk is the number of bytes behind the last page.
	Junk int64
}

// NewReader reads the file from its first byte.
func NewReader(src io.ReaderAt, size int64) *Reader { return &Reader{src: src, size: size} }

// Next is the next packet; io.EOF after the last. A file that is not whole is [opaque.Error].
func (r *Reader) Next() (Packet, error) {
	r.part = r.part[:0]
	for {
		if len(r.segments) == 0 {
			if err := r.nextPage(); err != nil {
				if errors.Is(err, io.EOF) && len(r.part) > 0 {
					return Packet{}, opaque.At(r.size, "the file ends within a packet")
				}
				return Packet{}, err
			}
			continue
		}
		n := int(r.segments[0])
		r.segments = r.segments[1:]
		r.part = append(r.part, r.body[:n]...)
		r.body = r.body[n:]
		if len(r.part) > MaxPacket {
			return Packet{}, opaque.At(r.pageAt, "a packet of more than %d bytes", MaxPacket)
		}
		if n == 255 {
			continue
		}
		p := Packet{Data: r.part, Offset: r.pageAt, Serial: r.serial, Granule: -1, First: r.flags&First != 0}
		if !ends(r.segments) {
			if r.granule < 0 {
				return Packet{}, opaque.At(r.pageAt, "a page on which a packet ends, without a granule position")
			}
			p.Granule = r.granule
			p.Last = r.flags&Last != 0
		}
		return p, nil
	}
}

// ends reports whether another packet ends within the segments.
func ends(segments []byte) bool {
	for _, n := range segments {
		if n < 255 {
			return true
		}
	}
	return false
}

func (r *Reader) nextPage() error {
	if r.at == r.size {
		return io.EOF
	}
	r.pageAt = r.at
	buf, err := r.read(27 + 255)
	if err != nil {
		return err
	}
	if len(buf) < 27 || string(buf[:5]) != "OggS\x00" {
		if r.started && !r.open {
			r.Junk = r.size - r.at
			r.at = r.size
			return io.EOF
		}
		return opaque.At(r.at, "no page where one should be")
	}
	count := int(buf[26])
	n := 27 + count
	if len(buf) < n {
		return opaque.At(r.at, "the file ends within a page")
	}
	for _, s := range buf[27:n] {
		n += int(s)
	}
	if buf, err = r.read(n); err != nil {
		return err
	}
	if len(buf) < n {
		return opaque.At(r.at, "the file ends within a page")
	}
	r.segments = buf[27 : 27+count]
	page := buf[:n]
	want := binary.LittleEndian.Uint32(page[22:])
	clear(page[22:26])
	if Checksum(page) != want {
		return opaque.At(r.at, "the checksum of a page is wrong")
	}
	r.body = page[27+count:]
	r.at += int64(n)
	return r.accept(page)
}

// read gives the next n bytes, fewer where the file ends.
func (r *Reader) read(n int) ([]byte, error) {
	if cap(r.page) < n {
		r.page = make([]byte, 2*n)
	}
	buf := r.page[:min(int64(n), r.size-r.at)]
	if got, err := r.src.ReadAt(buf, r.at); got < len(buf) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}

// accept checks that the page follows the one before.
func (r *Reader) accept(page []byte) error {
	flags, serial := page[5], binary.LittleEndian.Uint32(page[14:])
	number := binary.LittleEndian.Uint32(page[18:])
	first := flags&First != 0
	switch {
	case first && r.open:
		return opaque.At(r.pageAt, "a second logical stream at the same time: multiplexed Ogg is not redacted")
	case !first && !r.open:
		return opaque.At(r.pageAt, "a page of no logical stream")
	case !first && serial != r.serial:
		return opaque.At(r.pageAt, "a page of another logical stream")
	case !first && number != r.number+1:
		return opaque.At(r.pageAt, "page %d after page %d", number, r.number)
	case (flags&Continued != 0) != (len(r.part) > 0):
		return opaque.At(r.pageAt, "a packet begins or goes on where it should not")
	}
	r.started = true
	r.open = flags&Last == 0
	r.flags, r.serial, r.number = flags, serial, number
	r.granule = int64(binary.LittleEndian.Uint64(page[6:]))
	return nil
}

// Writer writes packets, each whole within a page.
type Writer struct {
	dst    io.Writer
	serial uint32
	number uint32
	lacing []byte
	body   []byte
	end    int64 // granule position after the last packet added
	page   []byte
}

// NewWriter begins a logical stream.
func NewWriter(dst io.Writer, serial uint32) *Writer { return &Writer{dst: dst, serial: serial} }

// Add puts a packet, after which the granule position is end, into the current page, or into a new
// one where it does not fit.
func (w *Writer) Add(packet []byte, end int64) error {
	need := len(packet)/255 + 1
	if len(w.lacing)+need > 255 {
		if err := w.Flush(false); err != nil {
			return err
		}
	}
	for range need - 1 {
		w.lacing = append(w.lacing, 255)
	}
	w.lacing = append(w.lacing, byte(len(packet)%255))
	w.body = append(w.body, packet...)
	w.end = end
	return nil
}

// Flush writes the current page. The last page of a stream is written even if it is empty.
func (w *Writer) Flush(last bool) error {
	if len(w.lacing) == 0 && !last {
		return nil
	}
	flags := byte(0)
	if w.number == 0 {
		flags |= First
	}
	if last {
		flags |= Last
	}
	p := append(w.page[:0], "OggS\x00"...)
	p = append(p, flags)
	p = binary.LittleEndian.AppendUint64(p, uint64(w.end))
	p = binary.LittleEndian.AppendUint32(p, w.serial)
	p = binary.LittleEndian.AppendUint32(p, w.number)
	p = append(p, 0, 0, 0, 0, byte(len(w.lacing)))
	p = append(append(p, w.lacing...), w.body...)
	binary.LittleEndian.PutUint32(p[22:], Checksum(p))
	w.page, w.lacing, w.body = p, w.lacing[:0], w.body[:0]
	w.number++
	_, err := w.dst.Write(p)
	return err
}

// SetEnd overrules the granule position of the page being gathered: the end of the last packet may
// be trimmed.
func (w *Writer) SetEnd(end int64) { w.end = end }

// tables serve four bytes at a time: table n is that of a byte with n bytes behind it.
var tables = func() (t [4][256]uint32) {
	for i := range 256 {
		c := uint32(i) << 24
		for range 8 {
			c = c<<1 ^ 0x04C11DB7*(c>>31)
		}
		t[0][i] = c
	}
	for n := 1; n < 4; n++ {
		for i, c := range t[n-1] {
			t[n][i] = c<<8 ^ t[0][c>>24]
		}
	}
	return t
}()

// Checksum is the CRC of a page whose checksum field is zero.
func Checksum(b []byte) uint32 {
	c, t := uint32(0), &tables
	for ; len(b) >= 4; b = b[4:] {
		c ^= binary.BigEndian.Uint32(b)
		c = t[3][c>>24] ^ t[2][byte(c>>16)] ^ t[1][byte(c>>8)] ^ t[0][byte(c)]
	}
	for _, v := range b {
		c = c<<8 ^ t[0][byte(c>>24)^v]
	}
	return c
}
