package pcm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"

	pion "github.com/pion/opus"
)

// packets reads the packets of one logical Ogg stream (RFC 3533).
type packets struct {
	r       io.Reader
	serial  uint32
	seq     uint32 // of the page that was read last
	begun   bool
	ended   bool
	lacing  []byte
	body    []byte
	granule int64 // of the page that was read last
	last    bool  // that page ends the stream
	pending []byte
}

// maxPacket bounds a packet that runs over many pages.
const maxPacket = 16 << 20

// next gives the next packet, io.EOF behind the last.
func (p *packets) next() ([]byte, error) {
	out := p.pending[:0]
	for {
		for len(p.lacing) > 0 {
			n := int(p.lacing[0])
			p.lacing = p.lacing[1:]
			out = append(out, p.body[:n]...)
			p.body = p.body[n:]
			if len(out) > maxPacket {
				return nil, unheard("an Ogg packet of more than %d bytes", maxPacket)
			}
			if n < 255 {
				p.pending = out
				return out, nil
			}
		}
		if p.ended {
			if len(out) > 0 {
				return nil, unheard("the last Ogg packet is cut off")
			}
			return nil, io.EOF
		}
		if err := p.page(len(out) > 0); err != nil {
			return nil, err
		}
	}
}

func (p *packets) page(within bool) error {
	var h [27]byte
	if _, err := io.ReadFull(p.r, h[:]); err != nil {
		if errors.Is(err, io.EOF) && !within {
			p.ended = true
			return nil
		}
		return unheard("Ogg that is cut off")
	}
	if string(h[:4]) != "OggS" || h[4] != 0 {
		return unheard("bytes that are no Ogg page")
	}
	serial := binary.LittleEndian.Uint32(h[14:])
	if p.begun && (serial != p.serial || h[5]&2 != 0) {
		return unheard("several Ogg streams in one file")
	}
	seq := binary.LittleEndian.Uint32(h[18:])
	if p.begun && seq != p.seq+1 || within != (h[5]&1 != 0) {
		return unheard("Ogg of which a page is missing")
	}
	p.begun, p.serial, p.seq = true, serial, seq
	p.granule, p.last = int64(binary.LittleEndian.Uint64(h[6:])), h[5]&4 != 0
	lacing := make([]byte, h[26])
	if _, err := io.ReadFull(p.r, lacing); err != nil {
		return unheard("Ogg that is cut off")
	}
	n := 0
	for _, l := range lacing {
		n += int(l)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(p.r, body); err != nil {
		return unheard("Ogg that is cut off")
	}
	sum := binary.LittleEndian.Uint32(h[22:])
	clear(h[22:26])
	if crc(crc(crc(0, h[:]), lacing), body) != sum {
		return unheard("an Ogg page with a wrong sum")
	}
	p.lacing, p.body = lacing, body
	return nil
}

// crc is Ogg's: polynomial 0x04c11db7, no reflection.
func crc(sum uint32, b []byte) uint32 {
	for _, v := range b {
		sum ^= uint32(v) << 24
		for range 8 {
			if sum&0x80000000 != 0 {
				sum = sum<<1 ^ 0x04c11db7
			} else {
				sum <<= 1
			}
		}
	}
	return sum
}

func openOgg(src io.ReaderAt, size int64) (*source, error) {
	p := &packets{r: io.NewSectionReader(src, 0, size)}
	first, err := p.next()
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(first, []byte("OpusHead")):
		s, err := openOpus(p, bytes.Clone(first))
		if err != nil {
			return nil, err
		}
		s.count = func(most int64) (int64, error) {
			return countOpus(&packets{r: io.NewSectionReader(src, 0, size)}, most)
		}
		return s, nil
	case bytes.HasPrefix(first, []byte("\x7fFLAC")) && len(first) > 13:
		// The mapping's header, then native FLAC packet by packet (FLAC in Ogg, section 2).
		return openFLAC(&joined{p: p, buf: bytes.Clone(first[9:])})
	}
	return nil, unheard("Ogg that holds neither Opus nor FLAC")
}

// joined reads packets one behind the other.
type joined struct {
	p   *packets
	buf []byte
}

func (j *joined) Read(b []byte) (int, error) {
	for len(j.buf) == 0 {
		next, err := j.p.next()
		if err != nil {
			return 0, err
		}
		j.buf = append(j.buf[:0], next...)
	}
	n := copy(b, j.buf)
	j.buf = j.buf[n:]
	return n, nil
}

// opusRate is the rate in which Opus counts and in which it is decoded.
const opusRate = 48000

// openOpus decodes Ogg Opus (RFC 7845) with pion/opus.
func openOpus(p *packets, head []byte) (*source, error) {
	if len(head) < 19 || head[18] != 0 || head[9] < 1 || head[9] > 2 {
		return nil, unheard("Opus with more than two channels")
	}
	channels := int(head[9])
	skip := int(binary.LittleEndian.Uint16(head[10:]))
	if _, err := p.next(); err != nil { // OpusTags
		return nil, err
	}
	d, err := pion.NewDecoderWithOutput(opusRate, channels)
	if err != nil {
		return nil, unheard("no Opus decoder (%v)", err)
	}
	gain := float32(math.Pow(10, float64(int16(binary.LittleEndian.Uint16(head[16:])))/(20*256)))
	buf := make([]float32, 5760*channels)
	total, first := int64(0), int64(-1)
	return &source{rate: opusRate, channels: channels, read: func() ([]float32, error) {
		packet, err := p.next()
		if err != nil {
			return nil, err
		}
		want := opusSamples(packet)
		if want == 0 {
			return nil, unheard("an Opus packet that is damaged")
		}
		n, err := d.DecodeToFloat32(packet, buf)
		if err != nil || n != want {
			return nil, unheard("pion/opus gives up on a packet (%d of %d samples, %v)", n, want, err)
		}
		out := buf[:n*channels]
		for i := range out {
			out[i] *= gain
		}
		if total += int64(n); len(p.lacing) == 0 && p.granule >= 0 {
			if first < 0 {
				first = max(0, p.granule-total) // a stream that was recorded from its middle on
			}
			// The last page's position may cut the last packet short (RFC 7845, section 4.4).
			if over := total + first - p.granule; p.last && over > 0 {
				out = out[:max(0, len(out)-int(min(over, int64(n)))*channels)]
			}
		}
		if s := min(skip, len(out)/channels); s > 0 {
			out, skip = out[s*channels:], skip-s
		}
		return out, nil
	}}, nil
}

// countOpus adds up what all packets stand for: the positions of pages are only what somebody wrote.
// What makes no sense is left to the decoder to say.
func countOpus(p *packets, most int64) (samples int64, err error) {
	for n := 0; samples <= most; n++ {
		packet, err := p.next()
		switch {
		case errors.Is(err, io.EOF):
			return samples, nil
		case err != nil:
			return 0, err
		case n > 1: // OpusHead and OpusTags
			samples += int64(opusSamples(packet))
		}
	}
	return samples, nil
}

// opusSamples is how many samples at 48 kHz a packet stands for (RFC 6716, section 3.1); 0 where it is
// damaged.
func opusSamples(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	config := int(b[0] >> 3)
	var frame int
	switch {
	case config < 12:
		frame = [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16:
		frame = [2]int{480, 960}[config&1]
	default:
		frame = 120 << (config & 3)
	}
	n := 1
	switch b[0] & 3 {
	case 1, 2:
		n = 2
	case 3:
		if len(b) < 2 {
			return 0
		}
		n = int(b[1] & 63)
	}
	if n*frame > 5760 {
		return 0
	}
	return n * frame
}
