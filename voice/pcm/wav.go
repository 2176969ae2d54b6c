package pcm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// The format tags of WAV (mmreg.h).
const (
	tagPCM        = 1
	tagMSADPCM    = 2
	tagFloat      = 3
	tagALaw       = 6
	tagMuLaw      = 7
	tagIMA        = 0x11
	tagExtensible = 0xFFFE
)

// mostChunks is how many chunks are looked through for the sound.
const mostChunks = 4096

// wav is what the chunks say.
type wav struct {
	order                            binary.ByteOrder
	tag, channels, rate, block, bits int
	samplesPerBlock                  int
	coefficients                     [][2]int
	at, length                       int64 // of the data
	absurd                           int64 // how many floats that were read are no sound
}

// openWAV reads RIFF, RIFX (big-endian), RF64 and BW64 files (Microsoft RIFF MCI; EBU Tech 3306).
func openWAV(src io.ReaderAt, size int64) (*source, error) {
	w, err := readChunks(src, size)
	if err != nil {
		return nil, err
	}
	decode, frame, err := w.decoder()
	if err != nil {
		return nil, err
	}
	data := io.NewSectionReader(src, w.at, w.length)
	buf := make([]byte, max(1, 16384/frame)*frame)
	most := w.length / int64(frame) * int64(w.channels) / 100 // of all floats: a click at the begin is no scale
	return &source{rate: w.rate, channels: w.channels, samples: w.length / int64(frame) * w.inFrame(), read: func() ([]float32, error) {
		n, err := io.ReadFull(data, buf)
		if w.absurd > most {
			return nil, unheard("floats of which more than 1 in 100 lie beyond %d times full scale", mostFloat)
		}
		if n == 0 || n < frame && w.tag != tagIMA && w.tag != tagMSADPCM {
			return nil, io.EOF
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("reading the recording: %w", err)
		}
		return decode(buf[:n]), nil
	}}, nil
}

func readChunks(src io.ReaderAt, size int64) (wav, error) {
	w := wav{order: binary.LittleEndian}
	var form [4]byte
	if _, err := src.ReadAt(form[:], 0); err != nil {
		return w, fmt.Errorf("reading the recording: %w", err)
	}
	if string(form[:]) == "RIFX" {
		w.order = binary.BigEndian
	}
	seen := false
	var long int64 // from ds64
	for at, chunks := int64(12), 0; at+8 <= size; chunks++ {
		if chunks == mostChunks {
			return w, unheard("more than %d chunks", mostChunks)
		}
		var h [8]byte
		if _, err := src.ReadAt(h[:], at); err != nil {
			return w, fmt.Errorf("reading the recording: %w", err)
		}
		n := int64(w.order.Uint32(h[4:]))
		body := at + 8
		switch string(h[:4]) {
		case "ds64":
			var b [16]byte
			if _, err := src.ReadAt(b[:], body); err != nil {
				return w, unheard("a short ds64 chunk")
			}
			long = int64(binary.LittleEndian.Uint64(b[8:]) & math.MaxInt64)
		case "fmt ":
			if n < 16 || n > 65536 || body+n > size {
				return w, unheard("a fmt chunk of %d bytes", n)
			}
			b := make([]byte, n)
			if _, err := src.ReadAt(b, body); err != nil {
				return w, fmt.Errorf("reading the recording: %w", err)
			}
			w.format(b)
			seen = true
		case "data":
			if !seen {
				return w, unheard("data before the format")
			}
			if n == 0xFFFFFFFF && long > 0 {
				n = long
			}
			if n > size-body || n == 0 && !chunkAt(src, body) { // a recorder that was cut off
				n = size - body
			}
			w.at, w.length = body, n
			return w, nil
		}
		at = body + n + n&1
	}
	return w, unheard("a WAV file without data")
}

// chunkAt reports whether the name of a chunk stands there.
func chunkAt(src io.ReaderAt, at int64) bool {
	var b [8]byte
	if _, err := src.ReadAt(b[:], at); err != nil {
		return false
	}
	for _, c := range b[:4] {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

func (w *wav) format(b []byte) {
	u16 := func(i int) int { return int(w.order.Uint16(b[i:])) }
	w.tag, w.channels, w.rate, w.block, w.bits = u16(0), u16(2), int(w.order.Uint32(b[4:])), u16(12), u16(14)
	if w.tag == tagExtensible && len(b) >= 40 {
		if w.tag = u16(24); w.tag == 0 { // the first field of the GUID has 4 bytes
			w.tag = u16(26)
		}
	}
	if (w.tag == tagIMA || w.tag == tagMSADPCM) && len(b) >= 20 {
		w.samplesPerBlock = u16(18)
	}
	if w.tag == tagMSADPCM && len(b) >= 22 {
		for i, n := 0, u16(20); i < n && 22+4*i+4 <= len(b); i++ {
			w.coefficients = append(w.coefficients, [2]int{int(int16(u16(22 + 4*i))), int(int16(u16(24 + 4*i)))})
		}
	}
}

// contradiction refuses a header whose bits do not fit its bytes: read by either, the sound would be noise, in
// which nothing is found. 24 bits in 4 bytes are usual.
func (w *wav) contradiction() error {
	width, ok := w.block/w.channels, w.block%w.channels == 0
	switch w.tag {
	case tagPCM:
		ok = ok && w.bits > 0 && (width == (w.bits+7)/8 || width == 4 && w.bits == 24)
	case tagFloat:
		ok = ok && w.bits == 8*width
	case tagALaw, tagMuLaw:
		ok = ok && width == 1 && w.bits == 8
	default:
		return nil
	}
	if !ok {
		return unheard("a header that says %d bits of %d channels in blocks of %d bytes", w.bits, w.channels, w.block)
	}
	return nil
}

// decoder gives the function that decodes whole frames (or blocks), and the bytes of one.
func (w *wav) decoder() (func([]byte) []float32, int, error) {
	if w.channels < 1 || w.channels > 64 || w.block < 1 {
		return nil, 0, unheard("%d channels in blocks of %d bytes", w.channels, w.block)
	}
	width := w.block / w.channels
	if err := w.contradiction(); err != nil {
		return nil, 0, err
	}
	var out []float32
	each := func(f func([]byte) float32) func([]byte) []float32 {
		return func(b []byte) []float32 {
			out = out[:0]
			for i := 0; i+w.block <= len(b); i += w.block {
				for c := range w.channels {
					out = append(out, f(b[i+c*width:]))
				}
			}
			return out
		}
	}
	switch {
	case w.tag == tagPCM && width == 1:
		return each(func(b []byte) float32 { return (float32(b[0]) - 128) / 128 }), w.block, nil
	case w.tag == tagPCM && width == 2:
		return each(func(b []byte) float32 { return float32(int16(w.order.Uint16(b))) / 32768 }), w.block, nil
	case w.tag == tagPCM && width <= 8:
		return each(func(b []byte) float32 { return w.integer(b[:width]) }), w.block, nil
	case w.tag == tagFloat && width == 4:
		return each(func(b []byte) float32 { return w.sane(math.Float32frombits(w.order.Uint32(b))) }), w.block, nil
	case w.tag == tagFloat && width == 8:
		return each(func(b []byte) float32 { return w.sane(float32(math.Float64frombits(w.order.Uint64(b)))) }), w.block, nil
	case w.tag == tagALaw && width == 1:
		return each(func(b []byte) float32 { return aLaw(b[0]) }), w.block, nil
	case w.tag == tagMuLaw && width == 1:
		return each(func(b []byte) float32 { return muLaw(b[0]) }), w.block, nil
	case (w.tag == tagIMA || w.tag == tagMSADPCM) && w.order == binary.ByteOrder(binary.BigEndian):
		return nil, 0, unheard("ADPCM in RIFX, of whose byte order writers think differently")
	case w.tag == tagIMA && w.bits == 4 && w.block >= 4*w.channels:
		return w.blocks(w.ima), w.block, nil
	case w.tag == tagMSADPCM && w.bits == 4 && w.block >= 7*w.channels && w.channels <= 2 && len(w.coefficients) > 0:
		return w.blocks(w.ms), w.block, nil
	}
	return nil, 0, unheard("WAV format %#x with %d bits in %d bytes", w.tag, w.bits, width)
}

// inFrame is how many samples of a channel stand in a frame, or at most in a block of ADPCM.
func (w *wav) inFrame() int64 {
	hold := 1
	switch w.tag {
	case tagIMA:
		hold += 2 * (w.block - 4*w.channels) / w.channels
	case tagMSADPCM:
		hold += 2*(w.block-7*w.channels)/w.channels + 1
	default:
		return 1
	}
	if w.samplesPerBlock > 0 {
		hold = min(hold, w.samplesPerBlock)
	}
	return int64(hold)
}

// integer is a sample of any width: containers are filled from the top.
func (w *wav) integer(b []byte) float32 {
	v := uint64(0)
	for i := range b {
		if w.order == binary.ByteOrder(binary.BigEndian) {
			v = v<<8 | uint64(b[i])
		} else {
			v |= uint64(b[i]) << (8 * i)
		}
	}
	return float32(float64(int64(v<<(64-8*len(b)))) / (1 << 63))
}

// mostFloat is the loudest float that is taken for sound, in full scales.
const mostFloat = 8

// sane keeps figures that are none, and absurd ones, from spreading through the filter, and counts them: floats
// in the scale of integers are no sound.
func (w *wav) sane(v float32) float32 {
	if v >= -mostFloat && v <= mostFloat {
		return v
	}
	w.absurd++
	if v != v {
		return 0
	}
	return max(-mostFloat, min(mostFloat, v))
}

// aLaw and muLaw expand a byte (ITU-T G.711).
func aLaw(b byte) float32 {
	b ^= 0x55
	exp, man := int(b>>4&7), int(b&15)
	v := man<<4 + 8
	if exp > 0 {
		v = (v + 0x100) << (exp - 1)
	}
	if b&0x80 == 0 {
		v = -v
	}
	return float32(v) / 32768
}

func muLaw(b byte) float32 {
	b = ^b
	v := (int(b&15)<<3+0x84)<<(b>>4&7) - 0x84
	if b&0x80 != 0 {
		v = -v
	}
	return float32(v) / 32768
}
