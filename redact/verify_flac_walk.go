package redact

import (
	"bytes"
	"fmt"
	"io"
)

// flacWalk walks the blocks of a FLAC file for the proof.
type flacWalk struct {
	f        io.ReaderAt
	size, at int64
	rate     int64
	channels int
	depth    int
	total    int64 // samples, as STREAMINFO says
	samples  int64 // seen
	blocks   int64 // seen
	window   []byte
	base     int64
	packets  *oggWalk // for Ogg
	strict   bool
}

// flacHead is a block's header.
type flacHead struct {
	variable bool
	number   int64
	block    int64
	assign   int
	size     int // bytes
}

// open reads the metadata. strict is for outputs: STREAMINFO and nothing else, with no MD5.
func (w *flacWalk) open(strict bool) error {
	w.strict = strict
	if b, err := w.see(4); err != nil {
		return err
	} else if bytes.HasPrefix(b, []byte("OggS")) {
		return w.openOgg()
	}
	for {
		b, err := w.see(10)
		if err != nil {
			return err
		}
		n := id3v2Len(b)
		if n == 0 || n > w.size-w.at {
			break
		}
		if w.at += n; strict {
			return unproved("a tag before the sound")
		}
	}
	b, err := w.see(4)
	if err != nil || !bytes.HasPrefix(b, []byte("fLaC")) {
		return unproved("no fLaC marker: %v", err)
	}
	w.at += 4
	for last := false; !last; {
		b, err := w.see(38)
		if err != nil {
			return err
		}
		if len(b) < 4 {
			return unproved("the metadata do not end")
		}
		last = b[0] >= 0x80
		n := int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3])
		if b[0]&0x7F == 0 && len(b) >= 38 && n == 34 {
			if err := w.streamInfo(b[4:38]); err != nil {
				return err
			}
		}
		if strict && (b == nil || !last || n != 34) {
			return unproved("metadata besides STREAMINFO")
		}
		w.at += 4 + n
	}
	if w.rate == 0 {
		return unproved("no STREAMINFO")
	}
	return nil
}

func (w *flacWalk) streamInfo(b []byte) error {
	w.rate = int64(b[10])<<12 | int64(b[11])<<4 | int64(b[12])>>4
	w.channels = int(b[12]>>1&7) + 1
	w.depth = int(b[12]&1)<<4 | int(b[13]>>4) + 1
	w.total = int64(b[13]&15)<<32 | int64(b[14])<<24 | int64(b[15])<<16 | int64(b[16])<<8 | int64(b[17])
	if w.strict && (!allZero(b[4:10]) || !allZero(b[18:34])) {
		return unproved("STREAMINFO tells frame sizes or an MD5")
	}
	return nil
}

// openOgg reads the header packets of FLAC in Ogg. An output has a first packet of 51 bytes and a
// comment that names nobody.
func (w *flacWalk) openOgg() error {
	w.packets = &oggWalk{f: w.f, size: w.size, strict: w.strict}
	u, err := w.packets.next()
	if err != nil || u == nil || len(u.data) != 51 || string(u.data[:5]) != "\x7FFLAC" {
		return unproved("no FLAC header in Ogg: %v", err)
	}
	if err := w.streamInfo(u.data[17:]); err != nil {
		return err
	}
	if w.strict && string(u.data[5:17]) != "\x01\x00\x00\x01fLaC\x00\x00\x00\x22" {
		return unproved("a header in Ogg that says something else")
	}
	for last := false; !last; {
		u, err := w.packets.next()
		if err != nil || u == nil || len(u.data) < 4 {
			return unproved("the metadata do not end: %v", err)
		}
		last = u.data[0] >= 0x80
		if w.strict && string(u.data) != "\x84\x00\x00\x0F\x07\x00\x00\x00earshot\x00\x00\x00\x00" {
			return unproved("metadata that say something")
		}
	}
	return nil
}

// nextPacket is next for Ogg.
func (w *flacWalk) nextPacket() ([]byte, flacHead, error) {
	u, err := w.packets.next()
	if err != nil || u == nil {
		return nil, flacHead{}, err
	}
	h, ok := flacHeader(u.data)
	want := w.blocks
	if h.variable {
		want = w.samples
	}
	if !ok || h.number != want || len(u.data) < h.size+3 || flacCRC16(u.data) != 0 {
		return nil, h, unproved("packet %d is not the block that it should be", w.blocks)
	}
	w.samples += h.block
	w.blocks++
	if w.strict && u.ends && u.granule != w.samples {
		return nil, h, unproved("granule position %d, want %d", u.granule, w.samples)
	}
	return u.data, h, nil
}

// next is the next block and its header; nil at the end, where an ID3v1 tag may stand.
func (w *flacWalk) next() ([]byte, flacHead, error) {
	if w.packets != nil {
		return w.nextPacket()
	}
	b, err := w.see(1 << 16)
	if err != nil || len(b) == 0 || len(b) == 128 && string(b[:3]) == "TAG" {
		return nil, flacHead{}, err
	}
	h, ok := flacHeader(b)
	if !ok {
		return nil, h, unproved("no block where one should be, %d bytes before the end", len(b))
	}
	want := w.blocks
	if h.variable {
		want = w.samples
	}
	if h.number != want {
		return nil, h, unproved("block number %d, want %d", h.number, want)
	}
	for {
		n := w.end(b, h)
		if n == 0 && int64(len(b)) < w.size-w.at && len(b) < 1<<22 {
			if b, err = w.see(2 * len(b)); err != nil {
				return nil, h, err
			}
			continue
		}
		if n == 0 {
			return nil, h, unproved("the end of block %d is not found", w.blocks)
		}
		w.at += int64(n)
		w.samples += h.block
		w.blocks++
		return b[:n], h, nil
	}
}

// end is the length of the block at the start of b: up to the next header, or to the end of the
// file or of what comes before a tag, where the checksum comes out as zero.
func (w *flacWalk) end(b []byte, h flacHead) int {
	next := h.number + 1
	if h.variable {
		next = h.number + h.block
	}
	for p := h.size + 2; p < len(b); p++ {
		i := bytes.IndexByte(b[p:], 0xFF)
		if i < 0 {
			break
		}
		p += i
		if o, ok := flacHeader(b[p:]); ok && o.number == next && o.variable == h.variable && flacCRC16(b[:p]) == 0 {
			return p
		}
	}
	if int64(len(b)) < w.size-w.at {
		return 0
	}
	for _, tail := range []int{0, 128} {
		if n := len(b) - tail; n > h.size && flacCRC16(b[:n]) == 0 {
			return n
		}
	}
	return 0
}

// see gives at least n bytes from the current position on, fewer only where the file ends.
func (w *flacWalk) see(n int) ([]byte, error) {
	n = int(max(0, min(int64(n), w.size-w.at)))
	if off := w.at - w.base; off >= 0 && off+int64(n) <= int64(len(w.window)) {
		return w.window[off:], nil
	}
	w.window, w.base = make([]byte, min(max(int64(n), 1<<18), w.size-w.at)), w.at
	if got, err := w.f.ReadAt(w.window, w.at); got < len(w.window) {
		return nil, fmt.Errorf("reading blocks: %w", err)
	}
	return w.window, nil
}

func flacHeader(b []byte) (h flacHead, ok bool) {
	if len(b) < 7 || b[0] != 0xFF || b[1] != 0xF8 && b[1] != 0xF9 {
		return h, false
	}
	h.variable, h.assign = b[1] == 0xF9, int(b[3]>>4)
	at := 5
	switch lead := b[4]; {
	case lead < 0x80:
		h.number = int64(lead)
	case lead < 0xC0 || lead == 0xFF:
		return h, false
	default:
		mask := byte(0x40)
		for h.number = int64(lead); lead&mask != 0; mask >>= 1 {
			if at >= len(b) || b[at]>>6 != 2 {
				return h, false
			}
			h.number = h.number<<6 | int64(b[at]&0x3F)
			at++
		}
		count := at - 5 // bytes behind the first, which holds 6 - count bits of the number
		h.number &= 1<<(6*count+6-count) - 1
	}
	if len(b) < at+5 {
		return h, false
	}
	switch code := b[2] >> 4; {
	case code == 0:
		return h, false
	case code == 1:
		h.block = 192
	case code < 6:
		h.block = 144 << code
	case code == 6:
		h.block = int64(b[at]) + 1
		at++
	case code == 7:
		h.block = int64(b[at])<<8 + int64(b[at+1]) + 1
		at += 2
	default:
		h.block = 1 << code
	}
	switch b[2] & 15 {
	case 12:
		at++
	case 13, 14:
		at += 2
	case 15:
		return h, false
	}
	h.size = at + 1
	return h, flacCRC8(b[:at]) == b[at]
}

func flacCRC8(b []byte) byte {
	c := byte(0)
	for _, v := range b {
		c ^= v
		for range 8 {
			if c&0x80 != 0 {
				c = c<<1 ^ 7
			} else {
				c <<= 1
			}
		}
	}
	return c
}

// flacTables serve the checksum of a block in the proof, eight bytes at a time: table n is that of a byte with n
// bytes behind it.
var flacTables = func() (t [8][256]uint16) {
	for i := range 256 {
		c := uint16(i) << 8
		for range 8 {
			top := c >> 15
			c <<= 1
			if top == 1 {
				c ^= 0x8005
			}
		}
		t[0][i] = c
	}
	for n := 1; n < 8; n++ {
		for i := range 256 {
			t[n][i] = t[n-1][i]<<8 ^ t[0][t[n-1][i]>>8]
		}
	}
	return t
}()

func flacCRC16(b []byte) uint16 {
	t := &flacTables
	c := uint16(0)
	for ; len(b) >= 8; b = b[8:] {
		c = t[7][b[0]^byte(c>>8)] ^ t[6][b[1]^byte(c)] ^ t[5][b[2]] ^ t[4][b[3]] ^
			t[3][b[4]] ^ t[2][b[5]] ^ t[1][b[6]] ^ t[0][b[7]]
	}
	for _, v := range b {
		c = c<<8 ^ t[0][byte(c>>8)^v]
	}
	return c
}
