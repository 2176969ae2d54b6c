package pcm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mewkiz/flac"
	"github.com/mewkiz/flac/frame"
	"github.com/mewkiz/flac/meta"

	"earshot/voice/pcm"
)

// repeated is a file of a head and many equal units, which takes no memory.
type repeated struct {
	head, unit []byte
	size       int64
}

func (r repeated) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for ; n < len(p) && off < r.size; n, off = n+1, off+1 {
		if off < int64(len(r.head)) {
			p[n] = r.head[off]
		} else {
			p[n] = r.unit[(off-int64(len(r.head)))%int64(len(r.unit))]
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func longWAV(seconds int64) repeated {
	n := seconds * 32000
	b := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data")
	return repeated{binary.LittleEndian.AppendUint32(b, uint32(n)), []byte{0}, 44 + n}
}

// longMP3 has blank frames of 24 bytes and 24 ms: MPEG-2, 24 kHz, 8 kbit/s, mono.
func longMP3(seconds int64) repeated {
	unit := make([]byte, 24)
	copy(unit, "\xFF\xF3\x14\xC0")
	return repeated{nil, unit, seconds * 1000}
}

// longOpus has packets of 60 ms without content, 200 to the page.
func longOpus(seconds int64) repeated {
	var file []byte
	page := func(kind byte, granule int64, packets ...[]byte) {
		h := append([]byte("OggS\x00"), kind)
		h = binary.LittleEndian.AppendUint64(h, uint64(granule))
		h = binary.LittleEndian.AppendUint32(h, 1)
		h = binary.LittleEndian.AppendUint32(h, uint32(bytes.Count(file, []byte("OggS"))))
		h = append(append(h, 0, 0, 0, 0), byte(len(packets)))
		for _, p := range packets {
			h = append(h, byte(len(p)))
		}
		for _, p := range packets {
			h = append(h, p...)
		}
		sum := uint32(0)
		for _, v := range h {
			sum ^= uint32(v) << 24
			for range 8 {
				if sum&0x80000000 != 0 {
					sum = sum<<1 ^ 0x04c11db7
				} else {
					sum <<= 1
				}
			}
		}
		binary.LittleEndian.PutUint32(h[22:], sum)
		file = append(file, h...)
	}
	page(2, 0, []byte("OpusHead\x01\x01\x00\x00\x80\x3e\x00\x00\x00\x00\x00"))
	page(0, 0, []byte("OpusTags\x00\x00\x00\x00\x00\x00\x00\x00"))
	packets := make([][]byte, 200)
	for i := range packets {
		packets[i] = []byte{3 << 3}
	}
	for at := int64(12); at <= seconds; at += 12 {
		page(0, at*48000, packets...)
	}
	return repeated{head: file, size: int64(len(file))}
}

// longFLAC has frames of silence; without told the header does not say how many samples there are.
func longFLAC(tb testing.TB, seconds int64, told bool) repeated {
	tb.Helper()
	info := &meta.StreamInfo{BlockSizeMin: 16000, BlockSizeMax: 16000, SampleRate: 16000, NChannels: 1, BitsPerSample: 16}
	if told {
		info.NSamples = uint64(seconds * 16000)
	}
	var file bytes.Buffer
	e, err := flac.NewEncoder(&file, info)
	if err != nil {
		tb.Fatal(err)
	}
	sub := &frame.Subframe{SubHeader: frame.SubHeader{Pred: frame.PredConstant}, Samples: make([]int32, 16000), NSamples: 16000}
	for i := range seconds {
		f := &frame.Frame{Header: frame.Header{HasFixedBlockSize: true, BlockSize: 16000, SampleRate: 16000, Channels: frame.ChannelsMono, BitsPerSample: 16, Num: uint64(i)}, Subframes: []*frame.Subframe{sub}}
		if err := e.WriteFrame(f); err != nil {
			tb.Fatal(err)
		}
	}
	return repeated{head: file.Bytes(), size: int64(file.Len())}
}

// What is too long is given up before it is decoded, or where only decoding tells its length, before any
// of it is kept.
func TestWhatIsTooLongTakesNoMemory(t *testing.T) {
	const most = 50 * time.Second
	for _, c := range []struct {
		name  string
		long  repeated
		bytes uint64
	}{
		{"wav", longWAV(2 * 3600), 1 << 20},
		{"mp3", longMP3(2 * 3600), 1 << 20},
		{"opus", longOpus(2 * 3600), 1 << 20},
		{"flac", longFLAC(t, 120, true), 1 << 20},
		{"flac that does not say", longFLAC(t, 120, false), 1 << 30}, // its decoder makes new frames
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			out, err := pcm.All(t.Context(), c.long, c.long.size, most)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, pcm.ErrUnheard) || !strings.Contains(err.Error(), "longer than 50s") || out != nil {
				t.Errorf("%d samples, %v", len(out), err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > c.bytes {
				t.Errorf("%d bytes were allocated", used)
			}
		})
	}
}

// What is as long as it may be is heard whole, into a slice that need not grow.
func TestTheLongestThatMayBeIsHeardWhole(t *testing.T) {
	const most = 24 * time.Second
	for name, long := range map[string]repeated{
		"wav": longWAV(24), "mp3": longMP3(24), "opus": longOpus(24),
		"flac": longFLAC(t, 24, true), "flac that does not say": longFLAC(t, 24, false),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := pcm.All(t.Context(), long, long.size, most)
			if err != nil || len(out) != 24*pcm.Rate || cap(out) > 25*pcm.Rate {
				t.Errorf("%d samples, room for %d: %v", len(out), cap(out), err)
			}
		})
	}
}
