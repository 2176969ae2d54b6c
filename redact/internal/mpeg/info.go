package mpeg

import "encoding/binary"

// Info is the first frame of many files: silent itself, it carries in its slot the number of
// frames and bytes, a table of contents and, behind those, LAME's own fields.
type Info struct {
	offset  int64
	size    int
	head    Header
	at      int // where Xing or Info stands in the frame
	name    string
	flags   uint32
	quality uint32
	frames  int64  // as it says, -1 if it does not
	lame    []byte // 24 to 36 bytes, nil without: some frames are too short for all
	// Delay and Padding are the samples that the encoder put before and behind the sound.
	Delay, Padding int
}

// Bits of the flags field.
const (
	infoFrames = 1 << iota
	infoBytes
	infoTOC
	infoQuality
)

const (
	lameSize  = 36
	lameDelay = 24 // where the delay fields end
)

// parseInfo reads the frame b, and is nil where it is a frame of sound.
func parseInfo(b []byte, h Header) *Info {
	for _, at := range []int{4 + h.side(), h.lead()} {
		if at+8 > len(b) {
			continue
		}
		name := string(b[at : at+4])
		if name != "Xing" && name != "Info" {
			continue
		}
		f := &Info{size: len(b), head: h, at: at, name: name, frames: -1, flags: binary.BigEndian.Uint32(b[at+4:]) & 15}
		end := f.extension()
		if end > len(b) {
			f.flags = 0 // the fields do not fit: only the name is left
			return f
		}
		if f.flags&infoFrames != 0 {
			f.frames = int64(binary.BigEndian.Uint32(b[at+8:]))
		}
		if f.flags&infoQuality != 0 {
			f.quality = min(100, binary.BigEndian.Uint32(b[end-4:]))
		}
		if end+lameDelay <= len(b) && gapless(b[end:]) {
			f.lame = append([]byte(nil), b[end:min(len(b), end+lameSize)]...)
			d := b[end+21:]
			f.Delay, f.Padding = int(d[0])<<4|int(d[1])>>4, int(d[1]&15)<<8|int(d[2])
		}
		return f
	}
	return nil
}

// gapless reports whether b begins with the name of an encoder whose delay fields players honour.
func gapless(b []byte) bool {
	switch string(b[:4]) {
	case "LAME", "Lavf", "Lavc":
		return true
	}
	return false
}

// extension is where the fields of LAME begin.
func (f *Info) extension() int {
	n := f.at + 8
	for bit, size := range map[uint32]int{infoFrames: 4, infoBytes: 4, infoTOC: 100, infoQuality: 4} {
		if f.flags&bit != 0 {
			n += size
		}
	}
	return n
}

// Gapless reports whether players leave out Delay and Padding.
func (f *Info) Gapless() bool { return f != nil && f.lame != nil }

// Tells reports whether the frame holds figures that describe the sound: its peak and its gain.
func (f *Info) Tells() bool {
	if f == nil {
		return false
	}
	for _, b := range f.lameGain() {
		if b != 0 {
			return true
		}
	}
	return false
}

// lameGain is the peak and the two gain fields.
func (f *Info) lameGain() []byte {
	if f.lame == nil {
		return nil
	}
	return f.lame[11:19]
}

// summary is what the frame says of the stream.
type summary struct {
	frames, bytes  int64 // of the file from this frame on, itself included in bytes
	toc            [100]byte
	musicCRC       uint16
	delay, padding int
}

// render writes the frame anew. Figures that describe the sound are zero, and so is everything
// that is not known to be harmless.
func (f *Info) render(s summary) []byte {
	out := make([]byte, f.size)
	h := f.head.blank(f.head.Index, f.head.Padding, f.head.CRC)
	copy(out, h.raw[:])
	if h.CRC {
		binary.BigEndian.PutUint16(out[4:], crc16(out[2:4], out[6:6+h.side()]))
	}
	copy(out[f.at:], f.name)
	binary.BigEndian.PutUint32(out[f.at+4:], f.flags)
	at := f.at + 8
	if f.flags&infoFrames != 0 {
		binary.BigEndian.PutUint32(out[at:], uint32(s.frames))
		at += 4
	}
	if f.flags&infoBytes != 0 {
		binary.BigEndian.PutUint32(out[at:], uint32(s.bytes))
		at += 4
	}
	if f.flags&infoTOC != 0 {
		at += copy(out[at:], s.toc[:])
	}
	if f.flags&infoQuality != 0 {
		binary.BigEndian.PutUint32(out[at:], f.quality)
		at += 4
	}
	if f.lame == nil {
		return out
	}
	l := out[at : at+len(f.lame)]
	copy(l, f.lame)
	for i := 4; i < 9; i++ { // the version, as far as it reads like one
		if c := l[i]; c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			l[i] = 0
		}
	}
	clear(l[11:19])
	l[21], l[22], l[23] = byte(s.delay>>4), byte(s.delay<<4)|byte(s.padding>>8), byte(s.padding)
	if len(l) < lameSize {
		clear(l[lameDelay:])
		return out
	}
	l[25] = 0 // the gain that an editor applied
	binary.BigEndian.PutUint32(l[28:], uint32(s.bytes))
	binary.BigEndian.PutUint16(l[32:], s.musicCRC)
	var crc arc
	crc.add(out[:at+34])
	binary.BigEndian.PutUint16(l[34:], uint16(crc))
	return out
}

// arc is CRC-16/ARC, which LAME uses: polynomial 0x8005 reflected, initial value 0.
type arc uint16

// arcTable serves eight bytes at a time: table n is that of a byte with n bytes behind it.
var arcTable = func() (t [8][256]uint16) {
	for i := range 256 {
		v := uint16(i)
		for range 8 {
			v = v>>1 ^ 0xA001*(v&1)
		}
		t[0][i] = v
	}
	for n := 1; n < 8; n++ {
		for i, v := range t[n-1] {
			t[n][i] = v>>8 ^ t[0][byte(v)]
		}
	}
	return t
}()

func (c *arc) add(b []byte) {
	crc, t := uint16(*c), &arcTable
	for ; len(b) >= 8; b = b[8:] {
		crc = t[7][b[0]^byte(crc)] ^ t[6][b[1]^byte(crc>>8)] ^ t[5][b[2]] ^ t[4][b[3]] ^
			t[3][b[4]] ^ t[2][b[5]] ^ t[1][b[6]] ^ t[0][b[7]]
	}
	for _, v := range b {
		crc = crc>>8 ^ t[0][byte(crc)^v]
	}
	*c = arc(crc)
}

func (c *arc) Write(b []byte) (int, error) {
	c.add(b)
	return len(b), nil
}
