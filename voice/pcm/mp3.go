package pcm

import (
	"encoding/binary"
	"errors"
	"io"

	gomp3 "github.com/hajimehoshi/go-mp3"
)

// mpegFrame is what a frame's header and side information say (ISO 11172-3, 2.4.1; 13818-3).
type mpegFrame struct {
	version  int // 3: MPEG-1, 2: MPEG-2
	rate     int
	kbps     int
	crc      bool
	mono     bool
	back     int // main_data_begin, bytes
	length   int // bytes
	samples  int
	intended bool // intensity stereo
}

// The tables of ISO 11172-3, 2.4.2.3 and 13818-3, for layer III.
var (
	mpegKbps  = [2][16]int{{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0}, {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0}}
	mpegRates = [3]int{44100, 48000, 32000}
)

// parseFrame reads a header with its first 2 bytes of side information. An error is a reason not to
// listen; ok is false where there is no frame at all.
func parseFrame(b []byte) (f mpegFrame, ok bool, err error) {
	if len(b) < 8 || b[0] != 0xFF || b[1]&0xE0 != 0xE0 || b[1]>>3&3 == 1 || b[1]>>1&3 == 0 || b[2]>>4 == 15 || b[2]>>2&3 == 3 {
		return f, false, nil
	}
	f.version = int(b[1] >> 3 & 3)
	switch {
	case b[1]>>1&3 != 1:
		return f, true, unheard("MPEG layer I or II, which no decoder at hand knows")
	case f.version == 0:
		return f, true, unheard("MPEG-2.5, which no decoder at hand knows")
	case b[2]>>4 == 0:
		return f, true, unheard("MPEG in free format, which no decoder at hand knows")
	}
	f.rate, f.samples = mpegRates[b[2]>>2&3], 1152
	table, slots := 1, 144000
	if f.version == 2 {
		f.rate, f.samples, table, slots = f.rate/2, 576, 0, 72000
	}
	f.kbps = mpegKbps[table][b[2]>>4]
	f.length = slots*f.kbps/f.rate + int(b[2]>>1&1)
	f.crc, f.mono = b[1]&1 == 0, b[3]>>6 == 3
	f.intended = b[3]>>6 == 1 && b[3]>>4&1 == 1
	side := 4
	if f.crc {
		side = 6
	}
	if f.version == 3 {
		f.back = int(binary.BigEndian.Uint16(b[side:]) >> 7)
	} else {
		f.back = int(b[side])
	}
	return f, true, nil
}

// wrong says why go-mp3 would decode the frame wrongly without saying so, as measured against mpg123.
func (f mpegFrame) wrong() error {
	switch {
	case f.intended:
		return unheard("MPEG with intensity stereo, which go-mp3 decodes wrongly")
	case f.crc && f.kbps == 320:
		return unheard("MPEG of 320 kbit/s with checksums, which go-mp3 decodes wrongly")
	}
	if f.rate == 22050 {
		switch f.kbps {
		case 16, 24, 32, 80, 96, 144, 160:
			return unheard("MPEG-2 of 22.05 kHz and %d kbit/s, whose frames go-mp3 takes for shorter ones", f.kbps)
		}
	}
	return nil
}

// mp3Plan is where the frames to be decoded lie.
type mp3Plan struct {
	first    mpegFrame
	at, end  int64
	lead     int // samples that are silent since the bits they need are not in the file
	frames   int // to be decoded
	drop     int // samples of encoder and decoder delay
	trailing int // samples of padding at the end
}

// maxJunk is how far the first frame is looked for.
const maxJunk = 64 << 10

func planMP3(src io.ReaderAt, size, start int64) (p mp3Plan, err error) {
	r := &window{src: src, size: size}
	at := start
	for ; ; at++ {
		if at-start > maxJunk || at+8 > size {
			return p, unheard("no coding that is known here")
		}
		f, ok, ferr := parseFrame(r.at(at, 8))
		if !ok {
			continue
		}
		// Two frames in a row are no accident.
		if ferr == nil {
			if next := at + int64(f.length); next+8 <= size {
				if _, ok, _ := parseFrame(r.at(next, 8)); !ok {
					continue
				}
			}
			p.first = f
			break
		}
		if at == start {
			return p, ferr
		}
	}
	if info := r.at(at, min(int64(p.first.length), size-at)); isInfo(p.first, info) {
		p.delays(info)
		at += int64(p.first.length)
	}
	began := false
	for at+8 <= size {
		f, ok, ferr := parseFrame(r.at(at, 8))
		if !ok {
			break
		}
		if ferr == nil {
			ferr = f.wrong()
		}
		if ferr == nil && (f.rate != p.first.rate || f.version != p.first.version) {
			ferr = unheard("MPEG whose format changes on the way")
		}
		if ferr != nil {
			return p, ferr
		}
		if at+int64(f.length) > size {
			break // cut off
		}
		if !began && f.back > 0 {
			p.lead += f.samples // its bits lie before the file's beginning
		} else {
			if !began {
				began, p.at = true, at
			}
			p.frames++
		}
		at += int64(f.length)
	}
	p.end = at
	if rest := size - at; rest > maxJunk && !tag(r.at(at, 8)) {
		return p, unheard("%d bytes of MPEG from byte %d on that are no frames", rest, at)
	}
	if p.frames == 0 {
		return p, unheard("MPEG without a frame that can be decoded")
	}
	return p, nil
}

func tag(b []byte) bool {
	return len(b) >= 8 && (string(b[:3]) == "TAG" || string(b[:3]) == "ID3" || string(b) == "APETAGEX" || string(b) == "LYRICSBE")
}

// infoAt is where the Xing or Info frame's name stands.
func infoAt(f mpegFrame) int {
	switch {
	case f.version == 3 && !f.mono:
		return 36
	case f.version == 3 || !f.mono:
		return 21
	}
	return 13
}

func isInfo(f mpegFrame, b []byte) bool {
	i := infoAt(f)
	return len(b) >= i+4 && (string(b[i:i+4]) == "Xing" || string(b[i:i+4]) == "Info")
}

// delays reads LAME's delay and padding (LAME tag, revision 1); the decoder adds 529 samples.
func (p *mp3Plan) delays(b []byte) {
	i := infoAt(p.first)
	if len(b) < i+8 {
		return
	}
	flags := binary.BigEndian.Uint32(b[i+4:])
	at := i + 8
	for bit, n := range map[uint32]int{1: 4, 2: 4, 4: 100, 8: 4} {
		if flags&bit != 0 {
			at += n
		}
	}
	if len(b) < at+24 || b[at] == 0 {
		return
	}
	v := int(b[at+21])<<16 | int(b[at+22])<<8 | int(b[at+23])
	p.drop, p.trailing = v>>12+529, max(0, v&0xFFF-529)
}

// openMP3 decodes MPEG layer III with go-mp3, where that is right.
func openMP3(src io.ReaderAt, size, start int64) (*source, error) {
	p, err := planMP3(src, size, start)
	if err != nil {
		return nil, err
	}
	d, err := gomp3.NewDecoder(onlyReader{io.NewSectionReader(src, p.at, p.end-p.at)})
	if err != nil {
		return nil, unheard("go-mp3 gives up (%v)", err)
	}
	lead, drop := p.lead, p.drop
	left := int64(p.frames) * int64(p.first.samples) // go-mp3 has to give as many
	keep := left + int64(lead) - int64(drop) - int64(p.trailing)
	raw, out := make([]byte, 4*4096), make([]float32, 0, 4096)
	return &source{rate: p.first.rate, channels: 1, read: func() ([]float32, error) {
		out = out[:0]
		if lead > 0 {
			n := min(lead, cap(out))
			out, lead = append(out, make([]float32, n)...), lead-n
		} else {
			n, err := io.ReadFull(d, raw)
			if n == 0 && left == 0 {
				return nil, io.EOF
			}
			if n == 0 || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, unheard("go-mp3 gives up %d samples before the end (%v)", left, err)
			}
			left -= int64(n / 4)
			for i := 0; i+4 <= n; i += 4 { // always two channels
				l, r := int16(binary.LittleEndian.Uint16(raw[i:])), int16(binary.LittleEndian.Uint16(raw[i+2:]))
				out = append(out, (float32(l)+float32(r))/65536)
			}
		}
		if n := min(drop, len(out)); n > 0 {
			out, drop = out[n:], drop-n
		}
		if int64(len(out)) > keep {
			out = out[:max(0, keep)]
		}
		keep -= int64(len(out))
		return out, nil
	}}, nil
}

// onlyReader hides that the source can seek: go-mp3 would read it all to learn its length.
type onlyReader struct{ io.Reader }

// window reads a file in stretches.
type window struct {
	src   io.ReaderAt
	size  int64
	start int64
	buf   []byte
}

// at gives n bytes from an offset on, fewer at the end.
func (w *window) at(off, n int64) []byte {
	n = min(n, w.size-off)
	if n <= 0 {
		return nil
	}
	if off < w.start || off+n > w.start+int64(len(w.buf)) {
		w.start = off
		w.buf = make([]byte, min(max(n, 64<<10), w.size-off))
		got, err := w.src.ReadAt(w.buf, off)
		if got < len(w.buf) && err != nil {
			w.buf = w.buf[:got]
		}
	}
	return w.buf[off-w.start : min(off-w.start+n, int64(len(w.buf)))]
}
