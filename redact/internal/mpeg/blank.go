package mpeg

import (
	"bytes"
	"encoding/binary"

	"earshot/redact/internal/bits"
)

// toneLine is the MDCT line nearest to 1 kHz.
func (h Header) toneLine() int { return max(1, min(500, 1152*1000/h.Rate)) }

// toneGranule is the main data of one granule and channel of the tone: Huffman table 1 of
// ISO/IEC 11172-3, table B.7: "1" for a pair of zeros, "01" or "001" for a single one, then its
// sign. scalefac_compress 0 means that no scale factors are sent.
func (h Header) toneGranule() (data []byte, n int) {
	line := h.toneLine()
	data = make([]byte, 80)
	put := func(width int, v uint64) {
		bits.Put(data, n, width, v)
		n += width
	}
	for range line / 2 {
		put(1, 1)
	}
	if line%2 == 0 {
		put(2, 1) // (1, 0)
	} else {
		put(3, 1) // (0, 1)
	}
	put(1, 0)
	return data[:(n+7)/8], n
}

// toneSide writes the side information of a tone frame whose main data begins in its own slot.
func (h Header) toneSide(side []byte) {
	ch := h.Channels()
	at, extra := 18+2*(ch-1), 59
	if h.Version != MPEG1 {
		at, extra = 8+ch, 63
	}
	_, n := h.toneGranule()
	for range h.Granules() * ch {
		p := at
		put := func(width int, v int) {
			bits.Put(side, p, width, uint64(v))
			p += width
		}
		put(12, n)
		put(9, h.toneLine()/2+1) // big_values, in pairs
		put(8, 202)              // global_gain: 2^((202-210)/4), a quarter of full scale
		if h.Version == MPEG1 {
			put(4, 0) // scalefac_compress
		} else {
			put(9, 0)
		}
		put(1, 0) // long blocks
		for range 3 {
			put(5, 1) // Huffman table 1 in all regions
		}
		at += extra
	}
}

// toneBits is the length of a tone frame's main data in bits.
func (h Header) toneBits() int {
	_, n := h.toneGranule()
	return n * h.Granules() * h.Channels()
}

// toneData writes a tone frame's main data to the start of its slot.
func (h Header) toneData(slot []byte) {
	data, n := h.toneGranule()
	at := 0
	for range h.Granules() * h.Channels() {
		for i := 0; i < n; i++ {
			bits.Put(slot, at, 1, bits.Get(data, i, 1))
			at++
		}
	}
}

// blankLead writes header, CRC and side information of a silent or tone frame.
func (h Header) blankLead(back int, tone bool) []byte {
	out := make([]byte, h.lead())
	copy(out, h.raw[:])
	side := out[h.lead()-h.side():]
	if h.Layer == 3 {
		if tone {
			h.toneSide(side)
		}
		if h.Version == MPEG1 {
			bits.Put(side, 0, 9, uint64(back))
		} else {
			bits.Put(side, 0, 8, uint64(back))
		}
	}
	if h.CRC {
		binary.BigEndian.PutUint16(out[4:], crc16(out[2:4], side))
	}
	return out
}

// ToneFrame is the side information and the main data, in bits, of a tone frame whose header is
// head. Proofs compare with it.
func ToneFrame(head []byte) (side, data []byte, n int) {
	h, ok := ParseHeader(head)
	if !ok || h.Layer != 3 {
		return nil, nil, 0
	}
	side = make([]byte, h.side())
	h.toneSide(side)
	data = make([]byte, (h.toneBits()+7)/8)
	h.toneData(data)
	return side, data, h.toneBits()
}

// isBlank reports whether side information is that of a frame of ours: all zero but for
// main_data_begin, or that of a tone.
func (c *scanner) isBlank(side []byte, h Header) bool {
	if h.Version == MPEG1 && side[1]&0x7F == 0 && allZero(side[2:]) || h.Version != MPEG1 && allZero(side[1:]) {
		return true
	}
	if c.tone == nil {
		c.tone = make([]byte, len(side))
		h.toneSide(c.tone)
	}
	return bytes.Equal(side, c.tone)
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
