package redact_test

import (
	"encoding/binary"
)

// wavFile composes a WAVE file.
type wavFile struct {
	form                      string
	tag                       uint16
	channels, bits, container int
	rate                      int
	spb                       int // ADPCM
	sound                     []byte
	dataSize                  uint32 // 0: true
	extensible                bool
	before, after             []byte // whole chunks
	fact                      int
}

func (f wavFile) bytes() []byte {
	var o binary.AppendByteOrder = binary.LittleEndian
	if f.form == "RIFX" {
		o = binary.BigEndian
	}
	chunk := func(id string, body []byte) []byte {
		b := append(o.AppendUint32([]byte(id), uint32(len(body))), body...)
		if len(body)%2 == 1 {
			b = append(b, 0x55)
		}
		return b
	}
	align := f.container * f.channels
	if f.spb > 0 {
		align = f.container
	}
	tag := f.tag
	if f.extensible {
		tag = 0xFFFE
	}
	body := o.AppendUint16(nil, tag)
	body = o.AppendUint16(body, uint16(f.channels))
	body = o.AppendUint32(body, uint32(f.rate))
	body = o.AppendUint32(body, uint32(f.rate*align))
	body = o.AppendUint16(body, uint16(align))
	body = o.AppendUint16(body, uint16(f.bits))
	switch {
	case f.tag == 0x11:
		body = o.AppendUint16(o.AppendUint16(body, 2), uint16(f.spb))
	case f.tag == 2:
		body = o.AppendUint16(o.AppendUint16(body, 32), uint16(f.spb))
		body = o.AppendUint16(body, 7)
		for _, c := range []int{256, 0, 512, -256, 0, 0, 192, 64, 240, 0, 460, -208, 392, -232} {
			body = o.AppendUint16(body, uint16(int16(c)))
		}
	case f.extensible:
		body = o.AppendUint32(o.AppendUint16(o.AppendUint16(body, 22), uint16(f.bits)), 3)
		body = append(binary.LittleEndian.AppendUint16(body, f.tag), "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xAA\x00\x38\x9B\x71"...)
	}
	out := []byte("WAVE")
	if f.form == "RF64" || f.form == "BW64" {
		d := binary.LittleEndian.AppendUint64(nil, 0)
		d = binary.LittleEndian.AppendUint64(d, uint64(len(f.sound)))
		d = binary.LittleEndian.AppendUint64(d, 0)
		out = append(out, chunk("ds64", append(d, 0, 0, 0, 0))...)
		f.dataSize = 0xFFFFFFFF
	}
	out = append(out, chunk("fmt ", body)...)
	if f.fact > 0 {
		out = append(out, chunk("fact", o.AppendUint32(nil, uint32(f.fact)))...)
	}
	out = append(out, f.before...)
	data := chunk("data", f.sound)
	if f.dataSize != 0 {
		copy(data[4:], o.AppendUint32(nil, f.dataSize))
	}
	out = append(append(out, data...), f.after...)
	return append(o.AppendUint32([]byte(f.form), uint32(len(out))), out...)
}

func noise(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x>>8) | 1
	}
	return b
}
