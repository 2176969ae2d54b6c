// Package flac parses and writes FLAC streams (RFC 9639): metadata blocks and frames.
//
// No frame depends on another. A frame is a header with a CRC-8, one subframe per channel, padding
// to a whole byte, and a CRC-16 over all of it. Its length is written nowhere: a frame ends where
// its CRC-16 comes out right and the header of the next one, by number and CRC-8, begins.
//
// The package knows nothing of spans.
package flac

import "earshot/redact/internal/bits"

// Header is a frame header (RFC 9639, section 9.1).
type Header struct {
	Variable bool // the number counts samples, not frames
	Block    int  // samples per channel
	Assign   int  // channel assignment: 0 to 7 independent, 8 to 10 stereo with a difference
	Number   int64
	Len      int // bytes, CRC-8 included

	rateCode, bitsCode byte
	rateExtra          []byte
}

// Channels is the number of channels.
func (h Header) Channels() int {
	if h.Assign >= 8 {
		return 2
	}
	return h.Assign + 1
}

// Bits is the bit depth, 0 if STREAMINFO tells.
func (h Header) Bits() int { return [8]int{0, 8, 12, -1, 16, 20, 24, 32}[h.bitsCode] }

// Rate is the sample rate in Hz, 0 if STREAMINFO tells.
func (h Header) Rate() int {
	switch {
	case h.rateCode < 12:
		return [12]int{0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000}[h.rateCode]
	case h.rateCode == 12:
		return 1000 * int(h.rateExtra[0])
	case h.rateCode == 13:
		return int(h.rateExtra[0])<<8 | int(h.rateExtra[1])
	}
	return 10 * (int(h.rateExtra[0])<<8 | int(h.rateExtra[1]))
}

// ParseHeader reads the header at the start of b, checking its CRC-8.
func ParseHeader(b []byte) (h Header, ok bool) {
	if len(b) < 6 || b[0] != 0xFF || b[1]&0xFE != 0xF8 || b[3]&1 != 0 {
		return h, false
	}
	h.Variable = b[1]&1 == 1
	h.rateCode, h.Assign, h.bitsCode = b[2]&15, int(b[3]>>4), b[3]>>1&7
	code := b[2] >> 4
	if h.rateCode == 15 || h.Assign > 10 || h.bitsCode == 3 || code == 0 {
		return h, false
	}
	n := 4
	var used int
	if h.Number, used = number(b[n:]); used == 0 {
		return h, false
	}
	n += used
	if len(b) < n+5 {
		b = append(append(make([]byte, 0, n+5), b...), make([]byte, 5)...)[:n+5]
	}
	switch {
	case code == 1:
		h.Block = 192
	case code < 6:
		h.Block = 576 << (code - 2)
	case code == 6:
		h.Block = int(b[n]) + 1
		n++
	case code == 7:
		h.Block = int(b[n])<<8 + int(b[n+1]) + 1
		n += 2
	default:
		h.Block = 256 << (code - 8)
	}
	switch h.rateCode {
	case 12:
		h.rateExtra = []byte{b[n]}
	case 13, 14:
		h.rateExtra = []byte{b[n], b[n+1]}
	}
	n += len(h.rateExtra)
	h.Len = n + 1
	return h, crc8(b[:n]) == b[n]
}

// number reads a number in the code of UTF-8, extended to 36 bits.
func number(b []byte) (v int64, n int) {
	lead := b[0]
	switch {
	case lead < 0x80:
		return int64(lead), 1
	case lead < 0xC0 || lead == 0xFF:
		return 0, 0
	}
	for n = 1; lead&(0x80>>n) != 0; n++ {
	}
	v = int64(lead & (0x7F >> n))
	if len(b) < n {
		return 0, 0
	}
	for _, c := range b[1:n] {
		if c&0xC0 != 0x80 {
			return 0, 0
		}
		v = v<<6 | int64(c&0x3F)
	}
	return v, n
}

func appendNumber(b []byte, v int64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	n := 2
	for n < 7 && v >= 1<<(5*n+1) {
		n++
	}
	b = append(b, byte(uint(0xFF00)>>n)|byte(v>>(6*(n-1))))
	for i := n - 2; i >= 0; i-- {
		b = append(b, 0x80|byte(v>>(6*i))&0x3F)
	}
	return b
}

// Append writes the header with its CRC-8.
func (h Header) Append(b []byte) []byte {
	start := len(b)
	sync := byte(0xF8)
	if h.Variable {
		sync |= 1
	}
	code, extra := h.blockCode()
	b = append(b, 0xFF, sync, code<<4|h.rateCode, byte(h.Assign)<<4|h.bitsCode<<1)
	b = appendNumber(b, h.Number)
	b = append(append(b, extra...), h.rateExtra...)
	return append(b, crc8(b[start:]))
}

func (h Header) blockCode() (byte, []byte) {
	if h.Block == 192 {
		return 1, nil
	}
	for code := byte(2); code < 6; code++ {
		if h.Block == 576<<(code-2) {
			return code, nil
		}
	}
	for code := byte(8); code < 16; code++ {
		if h.Block == 256<<(code-8) {
			return code, nil
		}
	}
	if h.Block <= 256 {
		return 6, []byte{byte(h.Block - 1)}
	}
	return 7, []byte{byte((h.Block - 1) >> 8), byte(h.Block - 1)}
}

// Zero is a frame of digital silence under header h, made independent in its channels.
func Zero(h Header, depth int) []byte {
	h.Assign = h.Channels() - 1
	b := h.Append(nil)
	n := h.Channels() * (8 + depth) // a constant subframe: 8 bits of header, one sample
	return seal(append(b, make([]byte, (n+7)/8)...))
}

// Verbatim is a frame that holds the samples of each channel as they are.
func Verbatim(h Header, depth int, samples [][]int32) []byte {
	h.Assign, h.Block = len(samples)-1, len(samples[0])
	b := h.Append(nil)
	at := 8 * len(b)
	b = append(b, make([]byte, (len(samples)*(8+depth*h.Block)+7)/8)...)
	for _, channel := range samples {
		bits.Put(b, at, 8, 2)
		at += 8
		for _, v := range channel {
			putSample(b, at, depth, uint32(v))
			at += depth
		}
	}
	return seal(b)
}

// putSample writes n bits to zeroed bytes.
func putSample(b []byte, at, n int, v uint32) {
	v <<= 32 - uint(n)
	wide := uint64(v) << 8 >> uint(at&7) // 40 bits
	for i := at >> 3; wide != 0 && i < len(b); i++ {
		b[i] |= byte(wide >> 32)
		wide = wide << 8 & 0xFFFFFFFFFF
	}
}

// Move is the frame under another header with the same block and channels.
func Move(frame []byte, old, h Header) []byte {
	return seal(append(h.Append(nil), frame[old.Len:len(frame)-2]...))
}

func seal(b []byte) []byte {
	crc := CRC16(0, b)
	return append(b, byte(crc>>8), byte(crc))
}

var crc8Table = func() (t [256]byte) {
	for i := range 256 {
		c := byte(i)
		for range 8 {
			c = c<<1 ^ 0x07*(c>>7)
		}
		t[i] = c
	}
	return t
}()

func crc8(b []byte) byte {
	var c byte
	for _, v := range b {
		c = crc8Table[c^v]
	}
	return c
}

var crc16Table = func() (t [8][256]uint16) {
	for i := range 256 {
		c := uint16(i) << 8
		for range 8 {
			c = c<<1 ^ 0x8005*(c>>15)
		}
		t[0][i] = c
	}
	for i := range 256 {
		for n := 1; n < 8; n++ {
			t[n][i] = t[n-1][i]<<8 ^ t[0][t[n-1][i]>>8]
		}
	}
	return t
}()

// CRC16 continues the checksum of frames: polynomial 0x8005, initial value 0.
func CRC16(c uint16, b []byte) uint16 {
	t := &crc16Table
	for ; len(b) >= 8; b = b[8:] {
		c = t[7][b[0]^byte(c>>8)] ^ t[6][b[1]^byte(c)] ^ t[5][b[2]] ^ t[4][b[3]] ^
			t[3][b[4]] ^ t[2][b[5]] ^ t[1][b[6]] ^ t[0][b[7]]
	}
	for _, v := range b {
		c = c<<8 ^ t[0][byte(c>>8)^v]
	}
	return c
}
