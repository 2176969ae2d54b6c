package pcm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// window reads a file through a buffer that follows the reader.
type window struct {
	src  io.ReaderAt
	size int64
	buf  []byte
	off  int64 // of buf[0]
}

const windowLen = 64 << 10

// at gives n bytes from off, fewer only where the file ends. They hold until the next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off < 0 || off >= w.size {
		return nil, nil
	}
	n = int(min(int64(n), w.size-off))
	if off >= w.off && off+int64(n) <= w.off+int64(len(w.buf)) {
		return w.buf[off-w.off:][:n], nil
	}
	want := int(min(int64(max(n, windowLen)), w.size-off))
	if cap(w.buf) < want {
		w.buf = make([]byte, want)
	}
	w.buf, w.off = w.buf[:want], off
	got, err := w.src.ReadAt(w.buf, off)
	if got < want {
		w.buf = w.buf[:0]
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("reading the recording at byte %d: %w", off, err)
	}
	return w.buf[:n], nil
}

// header is an MPEG audio frame header that makes sense (ISO/IEC 11172-3, 2.4.2.3; 13818-3).
type header struct {
	version, layer     int // version 0 is MPEG-2.5, 2 MPEG-2, 3 MPEG-1
	crc, padded        bool
	index, rateIndex   int
	mode, extension    int
	rate, kbps, frames int // frames: samples of a channel
	raw                [4]byte
}

func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < 4 || b[0] != 0xFF || b[1]&0xE0 != 0xE0 {
		return h, false
	}
	copy(h.raw[:], b)
	h.version, h.layer = int(b[1]>>3&3), 4-int(b[1]>>1&3)
	h.crc, h.padded = b[1]&1 == 0, b[2]&2 != 0
	h.index, h.rateIndex = int(b[2]>>4), int(b[2]>>2&3)
	h.mode, h.extension = int(b[3]>>6), int(b[3]>>4&3)
	if h.version == 1 || h.layer == 4 || h.index == 15 || h.rateIndex == 3 {
		return h, false
	}
	h.rate = [3]int{44100, 48000, 32000}[h.rateIndex]
	h.frames = 1152
	h.kbps = [15]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}[h.index]
	if h.version != 3 {
		h.rate /= 2
		h.frames = 576
		h.kbps = [15]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}[h.index]
	}
	if h.version == 0 {
		h.rate /= 2
	}
	return h, true
}

func (h header) channels() int {
	if h.mode == 3 {
		return 1
	}
	return 2
}

// side is the length of the side information, lead what comes before the slot.
func (h header) side() int {
	switch {
	case h.version == 3 && h.mode != 3:
		return 32
	case h.version == 3 || h.mode != 3:
		return 17
	}
	return 9
}

func (h header) lead() int {
	if h.crc {
		return 6 + h.side()
	}
	return 4 + h.side()
}

// size is the frame's length; free is that of a free format frame without padding.
func (h header) size(free int) int {
	n := free
	if h.index != 0 {
		n = h.frames / 8 * 1000 * h.kbps / h.rate
	}
	if h.padded {
		n++
	}
	return n
}

// alike reports whether both may stand in one stream.
func (h header) alike(o header) bool {
	return h.version == o.version && h.layer == o.layer && h.rateIndex == o.rateIndex &&
		(h.mode == 3) == (o.mode == 3) && (h.index == 0) == (o.index == 0)
}

// mpegFrame is a layer III frame in the file.
type mpegFrame struct {
	header
	at   int64
	size int
}

// walker finds the frames of a stream.
type walker struct {
	w    *window
	like header
	free int
	at   int64
	junk int64
}

// newWalker finds the first frame, from which on three are alike.
func newWalker(w *window, at int64) (*walker, error) {
	for end := min(w.size, at+windowLen); at < end; at++ {
		b, err := w.at(at, 4)
		if err != nil {
			return nil, err
		}
		h, ok := parseHeader(b)
		if !ok {
			continue
		}
		m := &walker{w: w, like: h, at: at}
		if h.layer != 3 { // its frames are of other lengths, and nothing else of it is of interest
			return m, nil
		}
		if h.index == 0 {
			if m.free, err = m.freeSize(at); err != nil {
				return nil, err
			}
			if m.free == 0 {
				continue
			}
		}
		if sure, err := m.follows(at, 2); err != nil || sure {
			return m, err
		}
	}
	return nil, unheard("no coding that is known here")
}

// freeSize is the distance of free format frames, 0 if it cannot be told.
func (m *walker) freeSize(at int64) (int, error) {
	b, err := m.w.at(at, 3*8192)
	if err != nil {
		return 0, err
	}
	for n := m.like.lead(); n < 8192 && n+4 <= len(b); n++ {
		next, ok := parseHeader(b[n:])
		if !ok || !next.alike(m.like) {
			continue
		}
		free := n
		if m.like.padded {
			free--
		}
		third := n + next.size(free)
		if third+4 > len(b) {
			continue
		}
		if h, ok := parseHeader(b[third:]); ok && h.alike(m.like) {
			return free, nil
		}
	}
	return 0, nil
}

// follows reports whether n frames that are alike follow the one at at, or the stream ends before.
func (m *walker) follows(at int64, n int) (bool, error) {
	for i := 0; ; i++ {
		b, err := m.w.at(at, 8)
		if err != nil {
			return false, err
		}
		if i > 0 && m.end(at, b) {
			return true, nil
		}
		h, ok := parseHeader(b)
		if !ok || !h.alike(m.like) || h.size(m.free) < h.lead() {
			return false, nil
		}
		if at+int64(h.size(m.free)) > m.w.size {
			return i > 0, nil
		}
		if i == n {
			return true, nil
		}
		at += int64(h.size(m.free))
	}
}

// end reports whether there are no more frames from at on: the end of the file, or tags.
func (m *walker) end(at int64, b []byte) bool {
	switch {
	case len(b) < 4:
		return true
	case string(b[:3]) == "TAG" && m.w.size-at <= 128+227:
		return true
	}
	return len(b) >= 8 && (string(b[:8]) == "APETAGEX" || string(b[:8]) == "LYRICSBE")
}

// next gives the next frame that is whole; ok is false behind the last.
func (m *walker) next() (f mpegFrame, ok bool, err error) {
	for from := m.at; ; {
		b, err := m.w.at(m.at, 10)
		if err != nil || m.end(m.at, b) {
			return f, false, err
		}
		if n := tagLen(b); n > 0 {
			m.at += n
			from = m.at
			continue
		}
		h, good := parseHeader(b)
		switch {
		case good && h.alike(m.like):
			f = mpegFrame{header: h, at: m.at, size: h.size(m.free)}
			if m.at+int64(f.size) > m.w.size && m.at == from {
				return f, false, nil // cut short
			}
			sure := m.at == from
			if !sure { // behind junk a header alone proves nothing
				if sure, err = m.follows(m.at, 1); err != nil {
					return f, false, err
				}
			}
			if sure && f.size >= h.lead() {
				m.at += int64(f.size)
				return f, true, nil
			}
		case good && h.index != 0:
			other := walker{w: m.w, like: h}
			if turns, err := other.follows(m.at, 3); err != nil || turns {
				if err == nil {
					err = unheard("MPEG whose format changes on the way")
				}
				return f, false, err
			}
		}
		m.at++
		m.junk++
	}
}

// tagLen is the length of the ID3v2 tag at the start of b, 0 if there is none (ID3v2.4, 3.1: 7 bits a
// byte).
func tagLen(b []byte) int64 {
	if len(b) < 10 || string(b[:3]) != "ID3" || (b[6]|b[7]|b[8]|b[9])&0x80 != 0 {
		return 0
	}
	n := 10 + int64(b[6])<<21 + int64(b[7])<<14 + int64(b[8])<<7 + int64(b[9])
	if b[5]&0x10 != 0 {
		n += 10 // footer
	}
	return n
}

// info is what the Xing or Info frame says that matters for time.
type info struct {
	frames         int64 // -1 if it does not say
	gapless        bool
	delay, padding int
}

// parseInfo reads a frame; ok is false for one of sound.
func parseInfo(b []byte, h header) (f info, ok bool) {
	if len(b) >= 40 && string(b[36:40]) == "VBRI" {
		return info{frames: -1}, true
	}
	for _, at := range []int{4 + h.side(), h.lead()} {
		if at+8 > len(b) || string(b[at:at+4]) != "Xing" && string(b[at:at+4]) != "Info" {
			continue
		}
		f.frames = -1
		end := at + 8
		flags := binary.BigEndian.Uint32(b[at+4:])
		for i, n := range []int{4, 4, 100, 4} {
			if flags>>i&1 == 0 {
				continue
			}
			if i == 0 && end+4 <= len(b) {
				f.frames = int64(binary.BigEndian.Uint32(b[end:]))
			}
			end += n
		}
		if end+24 <= len(b) {
			switch string(b[end : end+4]) {
			case "LAME", "Lavf", "Lavc": // whose delays players honour, and package redact does
				d := b[end+21:]
				f.gapless, f.delay, f.padding = true, int(d[0])<<4|int(d[1])>>4, int(d[1]&15)<<8|int(d[2])
			}
		}
		return f, true
	}
	return f, false
}

// sideInfo is what of a frame's side information matters for laying it out anew.
type sideInfo struct {
	back  int  // main_data_begin
	bits  int  // of main data
	mixed bool // blocks
	wild  bool // values that make no sense
}

func parseSide(b []byte, h header) (s sideInfo) {
	r := bitReader{b: b}
	granules, channels := 1, h.channels()
	if h.version == 3 {
		granules = 2
		s.back = r.take(9)
		r.at += 7 - 2*channels + 4*channels // private bits, 5 or 3, and scfsi
	} else {
		s.back = r.take(8)
		r.at += channels
	}
	for range granules * channels {
		s.bits += r.take(12)
		s.wild = s.wild || r.take(9) > 288 // big_values
		r.at += 12                         // global_gain, scalefac_compress
		if h.version != 3 {
			r.at += 5
		}
		if r.take(1) == 1 { // window switching
			block, mixed := r.take(2), r.take(1)
			s.wild = s.wild || block == 0
			s.mixed = s.mixed || mixed == 1 && block == 2
			r.at += 19
		} else {
			r.at += 22
		}
		if h.version == 3 {
			r.at++
		}
		r.at += 2
	}
	return s
}

type bitReader struct {
	b  []byte
	at int
}

func (r *bitReader) take(n int) (v int) {
	for range n {
		v <<= 1
		if r.at>>3 < len(r.b) {
			v |= int(r.b[r.at>>3]>>(7-r.at&7)) & 1
		}
		r.at++
	}
	return v
}
