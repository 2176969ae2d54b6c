package redact

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"earshot/redact/internal/bits"
)

// mp3Walk walks the frames of a file for the proof, with tables and arithmetic of its own.
type mp3Walk struct {
	r        *bufio.Reader
	left     int64
	strict   bool   // the file must be frames from the first byte to the last
	like     []byte // header that all frames are like
	layer    int
	rate     int64
	perFrame int64 // samples
	side     int   // bytes of side information
	backBits int   // width of main_data_begin
	unit     int   // free format: frame length without padding
	synced   bool
	n        int64  // frames seen
	info     []byte // the info frame, if there was one
	sawFirst bool
	fixed    bool
	index    byte
	memory   []byte // main data, the last of it
	end      int64  // bytes of main data seen
	slotLen  int    // of the last frame
	frame    []byte
}

// mp3Unit is one frame; lead is valid until the next call of next.
type mp3Unit struct {
	lead             []byte // header, CRC, side information
	slot, back, bits int
}

const mp3Sight = 3*8000 + 100

func newMP3Walk(f io.ReaderAt, size int64, like []byte, strict bool) *mp3Walk {
	w := &mp3Walk{
		r: bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 64<<10), left: size, strict: strict,
		like: bytes.Clone(like), fixed: true, layer: 4 - int(like[1]>>1&3), backBits: 9, perFrame: 1152,
	}
	lsf, mono := like[1]>>3&3 != 3, like[3]>>6 == 3
	w.rate = []int64{44100, 48000, 32000, 1}[like[2]>>2&3]
	switch like[1] >> 3 & 3 {
	case 2:
		w.rate /= 2
	case 0:
		w.rate /= 4
	}
	if w.layer == 1 {
		w.perFrame = 384
	}
	if w.layer == 3 {
		switch {
		case lsf && mono:
			w.side = 9
		case lsf || mono:
			w.side = 17
		default:
			w.side = 32
		}
		if lsf {
			w.backBits, w.perFrame = 8, 576
		}
	}
	return w
}

// alike compares version, layer, sample rate, being mono, and being free format.
func (w *mp3Walk) alike(b []byte) bool {
	return len(b) >= 4 && b[0] == 0xFF && b[1]&0xFE == w.like[1]&0xFE && b[2]&0x0C == w.like[2]&0x0C &&
		b[2]>>4 != 15 && (b[2]>>4 == 0) == (w.like[2]>>4 == 0) && (b[3]>>6 == 3) == (w.like[3]>>6 == 3)
}

// length of the frame that begins with b, in bytes.
func (w *mp3Walk) length(b []byte) int {
	pad := int(b[2] >> 1 & 1)
	i := int(b[2] >> 4)
	if i == 0 {
		if w.unit == 0 {
			w.unit = w.findUnit(b)
		}
		if w.layer == 1 {
			pad *= 4
		}
		if w.unit == 0 {
			return 0
		}
		return w.unit + pad
	}
	first := w.like[1]>>3&3 == 3
	var kbps int
	switch {
	case w.layer == 1 && first:
		kbps = 32 * i
	case w.layer == 1:
		kbps = []int{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256}[i]
	case !first:
		kbps = []int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}[i]
	case w.layer == 2:
		kbps = []int{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384}[i]
	default:
		kbps = []int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}[i]
	}
	if w.layer == 1 {
		return 4 * (12*kbps*1000/int(w.rate) + pad)
	}
	return int(w.perFrame)/8*kbps*1000/int(w.rate) + pad
}

// findUnit is the distance at which free-format headers repeat, without padding.
func (w *mp3Walk) findUnit(b []byte) int {
	step := 1
	if w.layer == 1 {
		step = 4
	}
	for d := w.leadOf(b) + 1; d+4 <= len(b) && d <= 8000; d++ {
		if !w.alike(b[d:]) {
			continue
		}
		unit := d - step*int(b[2]>>1&1)
		two := d + unit + step*int(b[d+2]>>1&1)
		if two+4 > len(b) {
			return 0
		}
		if w.alike(b[two:]) {
			return unit
		}
	}
	return 0
}

func (w *mp3Walk) leadOf(b []byte) int { return 4 + w.side + 2*int(1-b[1]&1) }

// next is the next frame of sound; false at the end of the file.
func (w *mp3Walk) next() (mp3Unit, bool, error) {
	for {
		b, err := w.r.Peek(int(min(mp3Sight, w.left)))
		if err != nil && !errors.Is(err, io.EOF) {
			return mp3Unit{}, false, fmt.Errorf("reading frames: %w", err)
		}
		if len(b) == 0 {
			return mp3Unit{}, false, nil
		}
		if n := w.here(b); n > 0 {
			if unit, sound := w.take(b[:n]); sound {
				return unit, true, nil
			}
			continue
		}
		if w.strict {
			return mp3Unit{}, false, unproved("bytes that belong to no frame, %d before the end", w.left)
		}
		w.synced = false
		w.drop(w.foreign(b))
	}
}

// here is the length of the frame at the start of b, 0 if there is none to be trusted.
func (w *mp3Walk) here(b []byte) int {
	if !w.alike(b) {
		return 0
	}
	unit := w.unit
	n := w.length(b)
	ok := n >= w.leadOf(b) && n <= len(b) && n <= 8000
	if ok && !w.strict && !w.synced {
		want := 1
		if !w.sawFirst {
			want = 2
		}
		ok = w.confirmed(b[n:], want)
	}
	if !ok {
		if !w.sawFirst {
			w.unit = unit
		}
		return 0
	}
	return n
}

func (w *mp3Walk) confirmed(b []byte, want int) bool {
	for ; want > 0; want-- {
		if len(b) < 4 {
			return true
		}
		if !w.alike(b) {
			return w.foreign(b) > 1 || len(b) >= 3 && string(b[:3]) == "TAG" || len(b) >= 11 && string(b[:11]) == "LYRICSBEGIN"
		}
		n := w.length(b)
		if n < w.leadOf(b) {
			return false
		}
		if n >= len(b) {
			return true
		}
		b = b[n:]
	}
	return true
}

// foreign is how many bytes to pass over where no frame begins.
func (w *mp3Walk) foreign(b []byte) int64 {
	n := int64(1)
	if len(b) >= 10 && string(b[:3]) == "ID3" {
		n = id3v2Len(b)
	}
	if len(b) >= 32 && string(b[:8]) == "APETAGEX" {
		n = 32
		if b[23]&0x20 != 0 {
			n += int64(b[12]) | int64(b[13])<<8 | int64(b[14])<<16 | int64(b[15])<<24
		}
	}
	if n < 1 || n > w.left {
		n = 1
	}
	return n
}

func (w *mp3Walk) drop(n int64) {
	for n > 0 {
		k, err := w.r.Discard(int(min(n, 1<<20)))
		n -= int64(k)
		w.left -= int64(k)
		if err != nil {
			w.left = 0
			return
		}
	}
}

// take consumes the frame b. The first of a file may be an info frame, which is no sound.
func (w *mp3Walk) take(b []byte) (mp3Unit, bool) {
	w.frame = append(w.frame[:0], b...)
	b = w.frame
	w.synced = true
	w.drop(int64(len(b)))
	lead := w.leadOf(b)
	if w.n == 0 && w.info == nil && w.layer == 3 {
		if len(b) >= 40 && string(b[36:40]) == "VBRI" && !w.strict {
			return mp3Unit{}, false
		}
		for _, at := range []int{4 + w.side, lead} {
			if at+8 <= len(b) && (string(b[at:at+4]) == "Xing" || string(b[at:at+4]) == "Info") {
				w.info = bytes.Clone(b)
				return mp3Unit{}, false
			}
		}
	}
	if !w.sawFirst {
		w.index = b[2] >> 4
	}
	w.sawFirst = true
	w.fixed = w.fixed && b[2]>>4 == w.index
	w.n++
	u := mp3Unit{lead: b[:lead], slot: len(b) - lead, bits: 8 * (len(b) - lead)}
	if w.layer == 3 {
		u.back = int(bits.Get(b[lead-w.side:], 0, w.backBits))
		u.bits = w.mainBits(b[lead-w.side : lead])
	}
	if keep := 20000; len(w.memory) > keep {
		w.memory = w.memory[:copy(w.memory, w.memory[len(w.memory)-keep/2:])]
	}
	w.memory = append(w.memory, b[lead:]...)
	w.end += int64(u.slot)
	w.slotLen = u.slot
	return u, true
}

// mainBits adds up part2_3_length, the first 12 bits of each granule's and channel's block, which
// fill the side information up to its last bit.
func (w *mp3Walk) mainBits(side []byte) int {
	blocks, size := 2, 59
	if w.backBits == 8 {
		blocks, size = 1, 63
	}
	if w.like[3]>>6 != 3 {
		blocks *= 2
	}
	sum := 0
	for i := 1; i <= blocks; i++ {
		sum += int(bits.Get(side, 8*len(side)-i*size, 12))
	}
	return sum
}

// main is the main data from byte at on, as far as it is remembered.
func (w *mp3Walk) main(at int64) []byte {
	from := int64(len(w.memory)) - (w.end - at)
	if from < 0 || from > int64(len(w.memory)) {
		return nil
	}
	return w.memory[from:]
}
