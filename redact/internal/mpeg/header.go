// Package mpeg parses and re-assembles MPEG-1, 2 and 2.5 audio streams (ISO/IEC 11172-3 and
// 13818-3), layers I, II and III.
//
// A stream is a row of frames. A frame is a 4-byte header, an optional CRC-16, and a body. In
// layer III the body is side information of fixed size and a slot of main data; but the main data
// of frame k need not stand in slot k. It begins main_data_begin bytes before it (at most 511, or
// 255 in MPEG-2 and 2.5), within the slots of earlier frames: the bit reservoir. With
//
//	M    the concatenation of all slots,
//	S(k) where slot k begins in M, in bytes,
//	P(k) = S(k) - main_data_begin(k), and
//	E(k) = 8 P(k) + the sum of part2_3_length over granules and channels, in bits,
//
// frame k consists of the bits [8 P(k), E(k)) of M. Bits of M in no frame's interval are stuffing
// or ancillary data. So sound that is taken out frame by frame stays behind in other frames'
// slots, and a frame that is kept needs bytes of frames that are not. [Plan.Write] therefore lays
// out main data anew: a bit of M is written if and only if a kept frame owns it.
//
// The package knows nothing of spans or time.
package mpeg

// Versions of the standard, as the header numbers them.
const (
	MPEG25 = 0
	MPEG2  = 2
	MPEG1  = 3
)

// Header is a frame header that makes sense.
type Header struct {
	Version, Layer       int // Layer is 1, 2 or 3
	CRC, Padding, Free   bool
	Index                int // of the bitrate, 0 for free format
	Rate                 int // Hz
	Mode                 int // 0 stereo, 1 joint, 2 dual, 3 mono
	raw                  [4]byte
	bitrate, samplerates int
}

// bitrates in kbit/s: MPEG-1 layers I, II, III, then MPEG-2 layer I, then MPEG-2 layers II and III.
var bitrates = [5][15]int{
	{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448},
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384},
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
	{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
}

var rates = [3]int{44100, 48000, 32000}

// ParseHeader reads 4 bytes; ok is false where they cannot be a frame header.
func ParseHeader(b []byte) (h Header, ok bool) {
	if len(b) < 4 || b[0] != 0xFF || b[1]&0xE0 != 0xE0 {
		return h, false
	}
	copy(h.raw[:], b)
	h.Version, h.Layer = int(b[1]>>3&3), 4-int(b[1]>>1&3)
	h.CRC = b[1]&1 == 0
	h.Index, h.Padding = int(b[2]>>4), b[2]>>1&1 == 1
	h.Free = h.Index == 0
	h.samplerates = int(b[2] >> 2 & 3)
	h.Mode = int(b[3] >> 6)
	if h.Version == 1 || h.Layer == 4 || h.Index == 15 || h.samplerates == 3 {
		return h, false
	}
	h.Rate = rates[h.samplerates]
	switch h.Version {
	case MPEG2:
		h.Rate /= 2
	case MPEG25:
		h.Rate /= 4
	}
	h.bitrate = h.kbps(h.Index)
	return h, true
}

func (h Header) kbps(index int) int {
	row := h.Layer - 1
	if h.Version != MPEG1 {
		row = min(4, 2+h.Layer)
	}
	return bitrates[row][index]
}

// Bytes is the header as it stood in the file.
func (h Header) Bytes() [4]byte { return h.raw }

// Channels is 1 or 2.
func (h Header) Channels() int {
	if h.Mode == 3 {
		return 1
	}
	return 2
}

// Samples is the number of samples per channel in a frame.
func (h Header) Samples() int {
	switch {
	case h.Layer == 1:
		return 384
	case h.Layer == 3 && h.Version != MPEG1:
		return 576
	}
	return 1152
}

// Granules is the number of granules in a layer III frame.
func (h Header) Granules() int {
	if h.Version == MPEG1 {
		return 2
	}
	return 1
}

// size is the frame's length in bytes; free is the length without padding of free format.
func (h Header) size(free int) int {
	pad := 0
	if h.Padding {
		pad = 1
	}
	switch {
	case h.Free && h.Layer == 1:
		return free + 4*pad
	case h.Free:
		return free + pad
	case h.Layer == 1:
		return (12000*h.bitrate/h.Rate + pad) * 4
	case h.Layer == 3 && h.Version != MPEG1:
		return 72000*h.bitrate/h.Rate + pad
	}
	return 144000*h.bitrate/h.Rate + pad
}

// side is the length of layer III's side information, 0 in layers I and II.
func (h Header) side() int {
	switch {
	case h.Layer != 3:
		return 0
	case h.Version == MPEG1 && h.Mode == 3, h.Version != MPEG1 && h.Mode != 3:
		return 17
	case h.Version == MPEG1:
		return 32
	}
	return 9
}

// lead is what comes before the slot: header, CRC and side information.
func (h Header) lead() int {
	if h.CRC {
		return 6 + h.side()
	}
	return 4 + h.side()
}

// maxBack is the largest main_data_begin.
func (h Header) maxBack() int {
	if h.Version == MPEG1 {
		return 511
	}
	return 255
}

// alike reports whether both headers may stand in one stream.
func (h Header) alike(o Header) bool {
	return h.Version == o.Version && h.Layer == o.Layer && h.samplerates == o.samplerates &&
		(h.Mode == 3) == (o.Mode == 3) && h.Free == o.Free
}

// blank is this header for a frame of nothing: the given bitrate, padding and protection, no
// private bit and no mode extension, for these would tell of the frame that stood there.
func (h Header) blank(index int, padding, crc bool) Header {
	b := h.raw
	b[1] |= 1
	if crc {
		b[1] &^= 1
	}
	b[2] = byte(index<<4) | b[2]&0x0C
	if padding {
		b[2] |= 2
	}
	b[3] &^= 0x30
	out, _ := ParseHeader(b[:])
	return out
}

// crc16 is the CRC of ISO/IEC 11172-3, 2.4.3.1: polynomial 0x8005, over the header's last two
// bytes and the side information.
func crc16(parts ...[]byte) uint16 {
	crc := uint16(0xFFFF)
	for _, p := range parts {
		for _, b := range p {
			crc ^= uint16(b) << 8
			for range 8 {
				if crc&0x8000 != 0 {
					crc = crc<<1 ^ 0x8005
				} else {
					crc <<= 1
				}
			}
		}
	}
	return crc
}
