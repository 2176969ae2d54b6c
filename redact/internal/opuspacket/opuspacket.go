// Package opuspacket reads the framing of Opus packets (RFC 6716, section 3) and the headers that
// go before them in Ogg (RFC 7845), and makes silent packets. It decodes nothing.
package opuspacket

import "encoding/binary"

// Head is a checked OpusHead packet.
type Head struct {
	Channels, Streams, Coupled int
	PreSkip                    int // samples at 48 kHz that the decoder drops
	InputRate                  int // Hz of what was encoded; for people
	raw                        []byte
}

// ParseHead reads an OpusHead packet.
func ParseHead(b []byte) (h Head, ok bool) {
	if len(b) < 19 || string(b[:8]) != "OpusHead" || b[8]&0xF0 != 0 || b[9] == 0 {
		return h, false
	}
	h = Head{
		Channels: int(b[9]), PreSkip: int(binary.LittleEndian.Uint16(b[10:])),
		InputRate: int(binary.LittleEndian.Uint32(b[12:])), Streams: 1,
	}
	n := 19
	if b[18] == 0 {
		h.Coupled = h.Channels - 1
		if h.Channels > 2 {
			return h, false
		}
	} else {
		n = 21 + h.Channels
		if len(b) < n || b[18] != 1 && b[18] != 255 {
			return h, false
		}
		h.Streams, h.Coupled = int(b[19]), int(b[20])
		if h.Streams == 0 || h.Coupled > h.Streams {
			return h, false
		}
	}
	h.raw = append([]byte(nil), b[:n]...)
	return h, true
}

// Bytes is the packet without anything behind its known fields.
func (h Head) Bytes() []byte { return h.raw }

// Tags is an OpusTags packet that says nothing.
func Tags() []byte { return []byte("OpusTags\x07\x00\x00\x00earshot\x00\x00\x00\x00") }

// Duration is the length of a packet in samples at 48 kHz, 0 if the packet makes no sense. In a
// multistream packet the first stream tells.
func Duration(p []byte) int {
	if len(p) == 0 {
		return 0
	}
	config := int(p[0] >> 3)
	var frame int
	switch {
	case config < 12:
		frame = [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16:
		frame = 480 << (config & 1)
	default:
		frame = 120 << (config & 3)
	}
	count := 1
	switch p[0] & 3 {
	case 1, 2:
		count = 2
	case 3:
		if len(p) < 2 {
			return 0
		}
		count = int(p[1] & 0x3F)
	}
	if frame*count > 5760 {
		return 0
	}
	return frame * count
}

// Silence is a packet of digital silence: full-band CELT frames whose silence flag is set (FF FE).
// It never is an empty frame, for which a decoder would invent sound out of what went before.
// samples is a multiple of 120.
func (h Head) Silence(samples int) []byte {
	config, size := 31, 960
	for samples%size != 0 {
		config, size = config-1, size/2
	}
	count := samples / size
	var p []byte
	for s := range h.Streams {
		toc := byte(config << 3)
		if s < h.Coupled {
			toc |= 4
		}
		switch count {
		case 1:
			p = append(p, toc)
		case 2:
			p = append(p, toc|1)
		default:
			p = append(p, toc|3, byte(count))
		}
		if s < h.Streams-1 {
			p = append(p, 2) // self-delimited: the length of each frame
		}
		for range count {
			p = append(p, 0xFF, 0xFE)
		}
	}
	return p
}
