package redact

import (
	"encoding/binary"
	"fmt"
	"io"
)

// oggWalk walks the packets of an Ogg file for the proof.
type oggWalk struct {
	f        io.ReaderAt
	size, at int64
	strict   bool // every byte must belong to a page, and every packet to one page
	page     []byte
	lacing   []byte
	body     []byte
	serial   uint32
	number   uint32
	open     bool
	table    *[4][256]uint32
}

// oggUnit is a packet. ends says that it is the last that ends on its page, whose granule position
// is then told.
type oggUnit struct {
	data              []byte
	first, last, ends bool
	granule           int64
}

// next is the next packet, nil at the end of the file.
func (w *oggWalk) next() (*oggUnit, error) {
	var part []byte
	for begun := false; ; {
		if len(w.lacing) == 0 {
			more, err := w.turn(begun)
			if err != nil {
				return nil, err
			}
			if !more {
				if begun {
					return nil, unproved("the file ends within a packet")
				}
				return nil, nil
			}
			continue
		}
		begun = true
		n := int(w.lacing[0])
		w.lacing = w.lacing[1:]
		part = append(part, w.body[:n]...)
		w.body = w.body[n:]
		if n == 255 {
			continue
		}
		u := &oggUnit{data: part, first: w.page[5]&2 != 0, granule: int64(binary.LittleEndian.Uint64(w.page[6:])), ends: true}
		for _, v := range w.lacing {
			u.ends = u.ends && v == 255
		}
		u.last = u.ends && w.page[5]&4 != 0
		return u, nil
	}
}

// turn reads the next page.
func (w *oggWalk) turn(within bool) (bool, error) {
	if w.at == w.size {
		if w.open && w.strict {
			return false, unproved("the last page is missing")
		}
		return false, nil
	}
	head, err := exactly(w.f, w.at, min(27, w.size-w.at), w.size)
	if err != nil {
		return false, fmt.Errorf("reading a page: %w", err)
	}
	if len(head) < 27 || string(head[:5]) != "OggS\x00" {
		if w.strict || w.open {
			return false, unproved("no page where one should be")
		}
		w.at = w.size
		return false, nil
	}
	lacing, err := exactly(w.f, w.at+27, int64(head[26]), w.size)
	if err != nil {
		return false, fmt.Errorf("reading a page: %w", err)
	}
	n := int64(0)
	for _, v := range lacing {
		n += int64(v)
	}
	if w.page, err = exactly(w.f, w.at, 27+int64(len(lacing))+n, w.size); err != nil {
		return false, fmt.Errorf("reading a page: %w", err)
	}
	w.lacing, w.body = lacing, w.page[27+len(lacing):]
	w.at += int64(len(w.page))
	if w.sum() != binary.LittleEndian.Uint32(head[22:]) {
		return false, unproved("the checksum of a page is wrong")
	}
	serial, number := binary.LittleEndian.Uint32(head[14:]), binary.LittleEndian.Uint32(head[18:])
	first := head[5]&2 != 0
	switch {
	case first == w.open, !first && (serial != w.serial || number != w.number+1), (head[5]&1 != 0) != within:
		return false, unproved("a page out of order")
	case w.strict && (head[5]&^6 != 0 || first && number != 0 || len(lacing) > 0 && lacing[len(lacing)-1] == 255):
		return false, unproved("a page of unusual make")
	}
	w.serial, w.number, w.open = serial, number, head[5]&4 == 0
	return true, nil
}

// sum is the page's checksum, its own field being taken as zero. Four bytes at a time: table n is
// that of a byte with n bytes behind it.
func (w *oggWalk) sum() uint32 {
	if w.table == nil {
		w.table = new([4][256]uint32)
		for i := range 256 {
			c := uint32(i) << 24
			for range 8 {
				top := c >> 31
				c <<= 1
				if top == 1 {
					c ^= 0x04C11DB7
				}
			}
			w.table[0][i] = c
		}
		for n := 1; n < 4; n++ {
			for i, c := range w.table[n-1] {
				w.table[n][i] = c<<8 ^ w.table[0][c>>24]
			}
		}
	}
	c, t := uint32(0), w.table
	for i, v := range w.page[:27] {
		if i >= 22 && i < 26 {
			v = 0
		}
		c = c<<8 ^ t[0][byte(c>>24)^v]
	}
	b := w.page[27:]
	for ; len(b) >= 4; b = b[4:] {
		c ^= binary.BigEndian.Uint32(b)
		c = t[3][c>>24] ^ t[2][byte(c>>16)] ^ t[1][byte(c>>8)] ^ t[0][byte(c)]
	}
	for _, v := range b {
		c = c<<8 ^ t[0][byte(c>>24)^v]
	}
	return c
}

// oggStarts are the offsets at which the streams of a chain begin, and the end of the file. A file
// that is not Ogg is one stream.
func oggStarts(f io.ReaderAt, size int64) ([]int64, error) {
	starts := []int64{0}
	w := &oggWalk{f: f, size: size}
	if head, err := exactly(f, 0, min(4, size), size); err != nil || string(head) != "OggS" {
		return append(starts, size), err
	}
	for more, within := true, false; more; {
		var err error
		at := w.at
		if n := len(w.lacing); n > 0 {
			within = w.lacing[n-1] == 255
		}
		if more, err = w.turn(within); err != nil {
			return nil, err
		}
		if more && w.page[5]&2 != 0 && at > 0 {
			starts = append(starts, at)
		}
	}
	return append(starts, size), nil
}
