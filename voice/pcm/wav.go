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

// wav is what the chunks say.
type wav struct {
	tag, channels, rate, block, bits int
	samplesPerBlock                  int
	coefficients                     [][2]int
	at, length                       int64 // of the data
}

// openWAV reads RIFF, RF64 and BW64 files (Microsoft RIFF MCI; EBU Tech 3306).
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
	return &source{rate: w.rate, channels: w.channels, read: func() ([]float32, error) {
		n, err := io.ReadFull(data, buf)
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
	var w wav
	seen := false
	var long int64 // from ds64
	for at := int64(12); at+8 <= size; {
		var h [8]byte
		if _, err := src.ReadAt(h[:], at); err != nil {
			return w, fmt.Errorf("reading the recording: %w", err)
		}
		n := int64(binary.LittleEndian.Uint32(h[4:]))
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
			if n == 0 || n > size-body { // a recorder that was cut off
				n = size - body
			}
			w.at, w.length = body, n
			return w, nil
		}
		at = body + n + n&1
	}
	return w, unheard("a WAV file without data")
}

func (w *wav) format(b []byte) {
	u16 := func(i int) int { return int(binary.LittleEndian.Uint16(b[i:])) }
	w.tag, w.channels, w.rate, w.block, w.bits = u16(0), u16(2), int(binary.LittleEndian.Uint32(b[4:])), u16(12), u16(14)
	if w.tag == tagExtensible && len(b) >= 40 {
		w.tag = u16(24)
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

// decoder gives the function that decodes whole frames (or blocks), and the bytes of one.
func (w *wav) decoder() (func([]byte) []float32, int, error) {
	if w.channels < 1 || w.channels > 64 || w.block < 1 {
		return nil, 0, unheard("%d channels in blocks of %d bytes", w.channels, w.block)
	}
	width := w.block / w.channels
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
	le := binary.LittleEndian
	switch {
	case w.tag == tagPCM && width == 1:
		return each(func(b []byte) float32 { return (float32(b[0]) - 128) / 128 }), w.block, nil
	case w.tag == tagPCM && width == 2:
		return each(func(b []byte) float32 { return float32(int16(le.Uint16(b))) / 32768 }), w.block, nil
	case w.tag == tagPCM && width == 3:
		return each(func(b []byte) float32 {
			return float32(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
		}), w.block, nil
	case w.tag == tagPCM && width == 4:
		return each(func(b []byte) float32 { return float32(int32(le.Uint32(b))) / (1 << 31) }), w.block, nil
	case w.tag == tagPCM && width == 8:
		return each(func(b []byte) float32 { return float32(int64(le.Uint64(b))) / (1 << 63) }), w.block, nil
	case w.tag == tagFloat && width == 4:
		return each(func(b []byte) float32 { return math.Float32frombits(le.Uint32(b)) }), w.block, nil
	case w.tag == tagFloat && width == 8:
		return each(func(b []byte) float32 { return float32(math.Float64frombits(le.Uint64(b))) }), w.block, nil
	case w.tag == tagALaw && width == 1:
		return each(func(b []byte) float32 { return aLaw(b[0]) }), w.block, nil
	case w.tag == tagMuLaw && width == 1:
		return each(func(b []byte) float32 { return muLaw(b[0]) }), w.block, nil
	case w.tag == tagIMA && w.bits == 4 && w.block >= 4*w.channels:
		return w.blocks(w.ima), w.block, nil
	case w.tag == tagMSADPCM && w.bits == 4 && w.block >= 7*w.channels && w.channels <= 2 && len(w.coefficients) > 0:
		return w.blocks(w.ms), w.block, nil
	}
	return nil, 0, unheard("WAV format %#x with %d bits in %d bytes", w.tag, w.bits, width)
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
