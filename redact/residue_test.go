package redact_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/redact"
)

// layerIII writes a stream with a bit reservoir: main data is random, frames [from, to) carry it
// from another source, so that any 8 bytes of theirs can be told. It returns the stream and the
// main data of the marked frames.
func layerIII(rng *rand.Rand, frames, from, to int, vary bool) (stream []byte, marked [][]byte) {
	const side, lead = 17, 21 // MPEG-1 mono, no CRC
	sizes := map[int]int{7: 288, 9: 365, 11: 576}
	type frame struct{ index, slot, back, bits int }
	plan := make([]frame, frames)
	var main []byte
	reservoir := 0
	for k := range plan {
		index := 9
		if vary {
			index = []int{7, 9, 11}[rng.IntN(3)]
		}
		slot := map[int]int{7: 313, 9: 417, 11: 626}[index] - lead
		back := min(511, reservoir)
		bits := 8 * rng.IntN(min(2*4095/8, back+slot)+1)
		plan[k] = frame{index, slot, back, bits}
		own := make([]byte, bits/8)
		for i := range own {
			own[i] = byte(rng.Uint32())
		}
		if k >= from && k < to {
			marked = append(marked, own)
		}
		start := len(main) - back
		rest := make([]byte, back+slot)
		copy(rest, main[start:])
		copy(rest, own)
		main = append(main[:start], rest...)
		reservoir = back + slot - bits/8
	}
	_ = sizes
	at := 0
	for _, f := range plan {
		head := []byte{0xFF, 0xFB, byte(f.index << 4), 0xC0}
		info := make([]byte, side)
		putBits(info, 0, 9, f.back)
		first := min(4095, f.bits)
		putBits(info, 18, 12, first)
		putBits(info, 18+59, 12, f.bits-first)
		stream = append(append(append(stream, head...), info...), main[at:at+f.slot]...)
		at += f.slot
	}
	return stream, marked
}

func putBits(b []byte, at, n, v int) {
	for i := range n {
		if v>>(n-1-i)&1 == 1 {
			b[(at+i)/8] |= 0x80 >> ((at + i) % 8)
		}
	}
}

// anyOfAt searches b, at all bit offsets, for any 8 consecutive bytes of the pieces.
func anyOfAt(b []byte, pieces [][]byte) (where string, found bool) {
	known := make(map[uint64]bool)
	for _, p := range pieces {
		for i := 0; i+8 <= len(p); i++ {
			if v := binary.BigEndian.Uint64(p[i:]); v != 0 {
				known[v] = true
			}
		}
	}
	for shift := range 8 {
		for i := 0; i+9 <= len(b); i++ {
			v := binary.BigEndian.Uint64(b[i:])<<shift | uint64(b[i+8])>>(8-shift)
			if known[v] {
				return fmt.Sprintf("byte %d, bit %d", i, shift), true
			}
		}
	}
	return "", false
}

// TestMP3NothingOfRemovedFramesIsLeft searches outputs for the main data of the frames that were
// removed, wherever it lay.
func TestMP3NothingOfRemovedFramesIsLeft(t *testing.T) {
	const frame = float64(1152) / 44100
	for seed := range uint64(20) {
		for _, vary := range []bool{false, true} {
			rng := rand.New(rand.NewPCG(seed, 3))
			from := 5 + rng.IntN(40)
			to := from + 1 + rng.IntN(20)
			src, marked := layerIII(rng, 80, from, to, vary)
			// Exactly within the frames to be removed: the guard takes in two before, one behind.
			span := earshot.Span{
				Start: time.Duration((float64(from) + 1.5) * frame * 1e9),
				End:   time.Duration((float64(to) - 0.5) * frame * 1e9),
			}
			if span.End <= span.Start {
				span.End = span.Start + 1e6
			}
			for _, fill := range fills {
				out, r, err := redactVerified(src, redact.Edit{Spans: earshot.Spans{span}, Fill: fill})
				if err != nil {
					t.Fatalf("seed %d vary %v %s: %v", seed, vary, fill, err)
				}
				if gone := int(math.Round(r.Erased[0].Start.Seconds() / frame)); gone > from {
					t.Fatalf("erased %s begins behind frame %d", r.Erased, from)
				}
				if where, found := anyOfAt(out, marked); found {
					t.Errorf("seed %d vary %v %s: main data of a removed frame at %s", seed, vary, fill, where)
				}
			}
		}
	}
}

// lameModes are encodings that a phone, a studio or an old recorder would make.
var lameModes = map[string][]string{
	"cbr128":    {"-b", "128"},
	"cbr320crc": {"-b", "320", "-p"},
	"vbr4":      {"-V", "4"},
	"abr":       {"--abr", "100"},
	"mono16k":   {"-m", "m", "--resample", "16", "-b", "64"},
	"mono8k":    {"-m", "m", "--resample", "8", "-b", "24"},
	"free":      {"--freeformat", "-b", "160"},
	"vbr22k":    {"--resample", "22.05", "-V", "6"},
}

// TestMP3FromLame: a burst of noise in silence leaves no sound behind, kept samples are equal, and
// a cut takes out what it says; gapless players agree on the length.
func TestMP3FromLame(t *testing.T) {
	lame, ffmpeg := tool(t, "lame"), tool(t, "ffmpeg")
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(9, 9))
	f := wavFile{form: "RIFF", tag: 1, channels: 2, bits: 16, container: 2, rate: 44100}
	f.sound = make([]byte, 6*44100*4)
	for i := 0; i < len(f.sound); i += 2 {
		amplitude := 300.0
		if at := float64(i) / 4 / 44100; at > 2.3 && at < 2.8 {
			amplitude = 20000
		}
		binary.LittleEndian.PutUint16(f.sound[i:], uint16(int16(amplitude*(2*rng.Float64()-1))))
	}
	wav := filepath.Join(dir, "a.wav")
	if err := os.WriteFile(wav, f.bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range lameModes {
		t.Run(name, func(t *testing.T) {
			mp3 := filepath.Join(dir, name+".mp3")
			if talk, err := exec.CommandContext(t.Context(), lame, append(append([]string{"--quiet"}, args...), wav, mp3)...).CombinedOutput(); err != nil {
				t.Skipf("lame: %v: %s", err, talk)
			}
			src, err := os.ReadFile(mp3)
			if err != nil {
				t.Fatal(err)
			}
			info, err := redact.Inspect(bytes.NewReader(src), int64(len(src)))
			if err != nil {
				t.Fatal(err)
			}
			for _, fill := range fills {
				spans := earshot.Spans{{Start: 2300 * time.Millisecond, End: 2800 * time.Millisecond}}
				out, r, err := checkLaws(t, src, redact.Edit{Spans: spans, Fill: fill})
				if err != nil {
					t.Fatal(err)
				}
				if fill == earshot.FillSilence && !strings.Contains(info.Format, "variable") && len(out) != len(src) {
					t.Errorf("silence changed the size from %d to %d", len(src), len(out))
				}
				heard := ffmpegPlays(t.Context(), ffmpeg, dir, "x.mp3", coded{src, info.Format}, coded{out, info.Format})
				before, after := heard[0].samples, heard[1].samples
				if heard[0].err != nil || len(before) == 0 {
					t.Logf("ffmpeg: %v", heard[0].err)
					continue
				}
				if heard[1].err != nil {
					t.Fatalf("ffmpeg on the output: %v", heard[1].err)
				}
				switch fill {
				case earshot.FillSilence:
					if err := compareEdges(before, after, r, info); err != nil {
						t.Error(err)
					}
				case earshot.FillCut:
					compareCut(t, before, after, r, info)
				}
			}
		})
	}
}

// compareCut: the file is shorter by exactly the erased span, and what stands before and behind it
// is equal and in its place, but for one frame before the joint and 1056 samples behind it, where
// the bridge stands and sound fades.
func compareCut(t *testing.T, before, after []int, r redact.Report, info redact.Info) {
	t.Helper()
	from := int(math.Round(r.Erased[0].Start.Seconds()*float64(info.SampleRate))) * info.Channels
	to := int(math.Round(r.Erased[0].End.Seconds()*float64(info.SampleRate))) * info.Channels
	if want := len(before) - (to - from); len(after) != want {
		t.Fatalf("%d samples, want %d: shorter by what was erased", len(after), want)
	}
	if n := firstDifference(before[:from-1152*info.Channels], after[:from-1152*info.Channels], 1<<10); n >= 0 {
		t.Errorf("sample %d before the cut differs", n)
	}
	fade := 1056 * info.Channels
	if n := firstDifference(before[to+fade:], after[from+fade:], 1<<10); n >= 0 {
		t.Errorf("sample %d behind the cut differs", n)
	}
}

// repeated is a long file: a head once, then a body again and again.
type repeated struct {
	body []byte
	size int64
}

func (z repeated) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) && off < z.size {
		k := copy(p[n:], z.body[off%int64(len(z.body)):])
		k = int(min(int64(k), z.size-off))
		n, off = n+k, off+int64(k)
	}
	if n < len(p) {
		return n, errEOF
	}
	return n, nil
}
