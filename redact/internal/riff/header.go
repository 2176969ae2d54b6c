package riff

import "encoding/binary"

// Head renders everything that comes before the sound: the form, ds64 in the 64-bit forms, fmt,
// fact where the file had one, and the header of data. A RIFF file that would grow beyond 4 GiB
// becomes RF64; ok is false for a RIFX file that long, which cannot be written.
//
// The bytes per second of linear formats are computed, and what follows the known fields of fmt
// is left out, so that nothing unknown passes.
func (w *Wave) Head(dataSize, frames int64) (head []byte, ok bool) {
	form := w.Form
	body := w.fmtChunk()
	if w.Fact >= 0 {
		body = w.number(append(body, "fact"...), 4)
		body = w.number(body, frames)
	}
	const ds64Size = 28
	total := 4 + int64(len(body)) + 8 + dataSize + dataSize&1
	if total+ds64Size+8 >= unset32 {
		if form == "RIFX" {
			return nil, false
		}
		if form == "RIFF" {
			form = "RF64"
		}
	}
	head = append(head, form...)
	if form != "RF64" && form != "BW64" {
		head = w.number(head, total)
		head = append(append(head, "WAVE"...), body...)
		return w.number(append(head, "data"...), dataSize), true
	}
	head = w.number(head, unset32)
	head = w.number(append(head, "WAVEds64"...), ds64Size)
	for _, n := range []int64{total + ds64Size + 8, dataSize, frames} {
		head = binary.LittleEndian.AppendUint64(head, uint64(n))
	}
	head = append(w.number(head, 0), body...)
	return w.number(append(head, "data"...), unset32), true
}

func (w *Wave) fmtChunk() []byte {
	f := w.Format
	raw := append([]byte(nil), f.raw...)
	if f.BlockFrames == 1 {
		w.Order.PutUint32(raw[8:], uint32(f.Rate*f.BlockAlign))
	}
	switch {
	case f.Extensible:
		w.Order.PutUint16(raw[16:], 22)
	case f.BlockFrames > 1:
		w.Order.PutUint16(raw[16:], uint16(len(raw)-18))
	case f.Tag != TagPCM:
		raw = append(raw, 0, 0)
	}
	return append(w.number([]byte("fmt "), int64(len(raw))), raw...)
}

// number appends n as 32 bits, saturated.
func (w *Wave) number(b []byte, n int64) []byte {
	var four [4]byte
	w.Order.PutUint32(four[:], uint32(min(n, unset32)))
	return append(b, four[:]...)
}

// FmtExtra is the number of bytes of the fmt chunk that Head does not write.
func (w *Wave) FmtExtra() int64 {
	if w.Format.raw == nil {
		return 0
	}
	known := int64(len(w.Format.raw))
	if known == 16 && w.FmtSize >= 18 {
		known = 18 // an empty extension
	}
	return max(0, w.FmtSize-known)
}
