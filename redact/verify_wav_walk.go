package redact

import (
	"encoding/binary"
	"errors"
	"io"
)

// readWavFacts walks the chunks for the proof. strict is for outputs: only ds64, fmt, fact and
// data, in that order, with true sizes, a zero pad byte and nothing behind. Without it the walk
// finds the sound as players do.
func readWavFacts(f io.ReaderAt, size int64, strict bool) (wavFacts, error) {
	w := wavFacts{order: binary.LittleEndian, fact: -1, data: -1, grain: 1}
	head, err := exactly(f, 0, 12, size)
	if err != nil {
		return w, err
	}
	form := string(head[:4])
	if form == "RIFX" {
		w.order = binary.BigEndian
	}
	long := form == "RF64" || form == "BW64"
	if string(head[8:]) != "WAVE" || !long && form != "RIFF" && form != "RIFX" {
		return w, unproved("not a WAVE file")
	}
	if strict && !long && int64(w.order.Uint32(head[4:]))+8 != size {
		return w, unproved("the RIFF size is wrong")
	}
	long64 := int64(-1)
	order := ""
	at := int64(12)
	for size-at >= 8 && w.data < 0 {
		head, err := exactly(f, at, 8, size)
		if err != nil {
			return w, err
		}
		id, n := string(head[:4]), int64(w.order.Uint32(head[4:]))
		order += id
		at += 8
		switch id {
		case "ds64":
			if long64, err = readDS64(f, at, n, size, strict); err != nil {
				return w, err
			}
		case "fmt ":
			w.fmtOffset, w.fmtSize = at, n
			if err := w.readFormat(f, size, strict); err != nil {
				return w, err
			}
		case "fact":
			if n >= 4 {
				body, err := exactly(f, at, 4, size)
				if err != nil {
					return w, err
				}
				w.fact = int64(w.order.Uint32(body))
			}
			if strict && n != 4 {
				return w, unproved("the fact chunk is %d bytes long", n)
			}
		case "data":
			w.data, w.size = at, n
			if n == 0xFFFFFFFF && long && long64 >= 0 {
				w.size = long64
			}
		}
		at += n + n%2
	}
	if w.data < 0 || w.align == 0 {
		return w, unproved("no sound found")
	}
	if strict {
		return w, w.checkEnd(f, size, order, long)
	}
	if err := w.findEnd(f, size); err != nil {
		return w, err
	}
	return w, nil
}

// readDS64 reads the 64-bit length of the sound. In outputs the chunk must be right in all.
func readDS64(f io.ReaderAt, at, n, size int64, strict bool) (int64, error) {
	body, err := exactly(f, at, 24, size)
	if err != nil {
		return 0, err
	}
	if strict {
		table, err := exactly(f, at+24, 4, size)
		if err != nil {
			return 0, err
		}
		if n != 28 || int64(binary.LittleEndian.Uint64(body))+8 != size || !allZero(table) {
			return 0, unproved("the ds64 chunk is wrong")
		}
	}
	return int64(binary.LittleEndian.Uint64(body[8:]) &^ (1 << 63)), nil
}

func (w *wavFacts) readFormat(f io.ReaderAt, size int64, strict bool) error {
	body, err := exactly(f, w.fmtOffset, 16, size)
	if err != nil {
		return err
	}
	w.tag = w.order.Uint16(body)
	w.channels, w.rate = int(w.order.Uint16(body[2:])), int64(w.order.Uint32(body[4:]))
	w.align, w.bits = int64(w.order.Uint16(body[12:])), int(w.order.Uint16(body[14:]))
	if w.channels == 0 || w.rate == 0 || w.align == 0 {
		return unproved("a format with a zero in it")
	}
	want := int64(18)
	switch w.tag {
	case 1:
		want = 16
	case 2:
		body, err := exactly(f, w.fmtOffset+18, 4, size)
		if err != nil {
			return err
		}
		w.grain = int64(w.order.Uint16(body))
		want = 22 + 4*int64(w.order.Uint16(body[2:]))
	case 0x11:
		body, err := exactly(f, w.fmtOffset+18, 2, size)
		if err != nil {
			return err
		}
		w.grain, want = int64(w.order.Uint16(body)), 20
	case 0xFFFE:
		guid, err := exactly(f, w.fmtOffset+24, 4, size)
		if err != nil {
			return err
		}
		if w.tag = binary.LittleEndian.Uint16(guid); w.tag == 0 {
			w.tag = binary.BigEndian.Uint16(guid[2:])
		}
		want = 40
	}
	if w.grain < 1 {
		return unproved("blocks of no samples")
	}
	if strict && w.fmtSize != want {
		return unproved("the fmt chunk is %d bytes long, want %d", w.fmtSize, want)
	}
	return nil
}

// checkEnd is the strict end: the sound and its pad byte are the last of the file.
func (w *wavFacts) checkEnd(f io.ReaderAt, size int64, order string, long bool) error {
	want := map[bool]string{true: "ds64", false: ""}[long] + "fmt "
	if order != want+"data" && order != want+"factdata" {
		return unproved("the chunks are not those allowed")
	}
	if w.data+w.size+w.size%2 != size {
		return unproved("the sound does not end where the file ends")
	}
	if w.size%2 == 1 {
		pad, err := exactly(f, size-1, 1, size)
		if err != nil {
			return err
		}
		if pad[0] != 0 {
			return unproved("the pad byte is not zero")
		}
	}
	w.countFrames()
	return nil
}

// findEnd settles where the sound of an input ends: a length of zero that no row of chunks
// follows, and a length beyond the end of the file, mean the end of the file.
func (w *wavFacts) findEnd(f io.ReaderAt, size int64) error {
	left := size - w.data
	if w.size == 0 {
		at := w.data
		for at < size {
			head, err := exactly(f, at, 8, size)
			if err != nil && !errors.Is(err, ErrUnproved) {
				return err
			}
			if err != nil || !printable(head[:4]) || string(head[:4]) == "data" {
				break
			}
			n := int64(w.order.Uint32(head[4:]))
			if at+8+n > size {
				break
			}
			at += 8 + n + n%2
		}
		if at < size {
			w.size = left
		}
	}
	w.size = min(w.size, left)
	w.countFrames()
	return nil
}

// countFrames leaves out what is not a whole sample frame, and for ADPCM counts the samples of a
// last block that was cut short.
func (w *wavFacts) countFrames() {
	rest := w.size % w.align
	w.size -= rest
	w.frames = w.size / w.align * w.grain
	ch := int64(w.channels)
	switch {
	case w.tag == 0x11 && rest >= 4*ch:
		groups := (rest - 4*ch) / (4 * ch)
		w.size += 4*ch + groups*4*ch
		w.frames += 1 + 8*groups
	case w.tag == 2 && rest >= 7*ch:
		w.size += rest
		w.frames += 2 + (rest-7*ch)*2/ch
	}
	if w.grain > 1 && w.fact > 0 && w.fact < w.frames && w.frames-w.fact < w.grain {
		w.frames = w.fact
	}
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// exactly reads n bytes at offset; a file that ends before is [ErrUnproved].
func exactly(f io.ReaderAt, offset, n, size int64) ([]byte, error) {
	if offset+n > size {
		return nil, unproved("the file ends within a header")
	}
	buf := make([]byte, n)
	got, err := f.ReadAt(buf, offset)
	if int64(got) < n {
		return nil, err
	}
	return buf, nil
}
