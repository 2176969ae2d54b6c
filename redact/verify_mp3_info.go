package redact

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// lameDelays reads what a gapless player leaves out. A file that lost frames lost its padding.
func lameDelays(info []byte, frames int64) (delay, padding int64, ok bool) {
	at := bytes.Index(info, []byte("Info"))
	if x := bytes.Index(info, []byte("Xing")); at < 0 || x >= 0 && x < at {
		at = x
	}
	if at < 0 || at+8 > len(info) {
		return 0, 0, false
	}
	flags := binary.BigEndian.Uint32(info[at+4:])
	end := at + 8
	for bit, n := range []int{4, 4, 100, 4} {
		if flags>>bit&1 == 1 {
			end += n
		}
	}
	if end+24 > len(info) {
		return 0, 0, false
	}
	switch string(info[end : end+4]) {
	case "LAME", "Lavf", "Lavc":
	default:
		return 0, 0, false
	}
	d := binary.BigEndian.Uint32(info[end+20:]) & 0xFFFFFF
	delay, padding = int64(d>>12), int64(d&0xFFF)
	if flags&1 == 1 && int64(binary.BigEndian.Uint32(info[at+8:])) > frames {
		padding = 0
	}
	return delay, padding, true
}

// checkInfo checks the output's info frame: true counts, no peak, no gain, the music CRC right.
func (p *mp3Proof) checkInfo(dst io.ReaderAt, dstSize int64) error {
	b := p.outInfo
	at := p.out.side + 4
	if at+8 > len(b) || string(b[at:at+4]) != "Xing" && string(b[at:at+4]) != "Info" {
		at += 2
	}
	flags := binary.BigEndian.Uint32(b[at+4:])
	if flags > 15 {
		return unproved("unknown flags in the info frame")
	}
	at += 8
	if flags&1 != 0 {
		if int64(binary.BigEndian.Uint32(b[at:])) != p.out.n {
			return unproved("the info frame counts the frames wrongly")
		}
		at += 4
	}
	if flags&2 != 0 {
		if binary.BigEndian.Uint32(b[at:]) != uint32(dstSize) {
			return unproved("the info frame counts the bytes wrongly")
		}
		at += 4
	}
	if flags&4 != 0 {
		at += 100
	}
	if flags&8 != 0 {
		at += 4
	}
	if _, _, ok := lameDelays(b, p.out.n); !ok {
		if !allZero(b[at:]) {
			return unproved("unknown bytes in the info frame")
		}
		return nil
	}
	if !allZero(b[at+11 : at+19]) {
		return unproved("the info frame tells peak or gain")
	}
	if at+36 > len(b) {
		return nil
	}
	if !allZero(b[at+36:]) {
		return unproved("bytes behind the info frame's fields")
	}
	crc, err := musicCRC(io.NewSectionReader(dst, int64(len(b)), dstSize-int64(len(b))))
	if err != nil {
		return fmt.Errorf("reading the output: %w", err)
	}
	if binary.BigEndian.Uint16(b[at+32:]) != crc {
		return unproved("the music CRC is wrong")
	}
	return nil
}

// musicCRC is CRC-16/ARC over all that follows the info frame, eight bytes at a time: table n is that
// of a byte with n bytes behind it.
func musicCRC(body io.Reader) (uint16, error) {
	t := new([8][256]uint16)
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
	crc := uint16(0)
	buf := make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(body, buf)
		b := buf[:n]
		for ; len(b) >= 8; b = b[8:] {
			crc = t[7][b[0]^byte(crc)] ^ t[6][b[1]^byte(crc>>8)] ^ t[5][b[2]] ^ t[4][b[3]] ^
				t[3][b[4]] ^ t[2][b[5]] ^ t[1][b[6]] ^ t[0][b[7]]
		}
		for _, v := range b {
			crc = crc>>8 ^ t[0][byte(crc)^v]
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return crc, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
