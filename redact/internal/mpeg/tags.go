package mpeg

import "bytes"

// tag recognizes metadata by its first bytes and tells its length, at most left.
func tag(b []byte, left int64) (kind string, n int64) {
	little := func(at int) int64 {
		return int64(b[at]) | int64(b[at+1])<<8 | int64(b[at+2])<<16 | int64(b[at+3])<<24
	}
	switch {
	case len(b) >= 10 && string(b[:3]) == "ID3" && b[3] != 0xFF && b[6]|b[7]|b[8]|b[9] < 0x80:
		n = 10 + (int64(b[6])<<21 | int64(b[7])<<14 | int64(b[8])<<7 | int64(b[9]))
		if b[3] >= 4 && b[5]&0x10 != 0 {
			n += 10
		}
		if n > left {
			return "", 0 // a lie: look for frames behind
		}
		return "ID3v2", n
	case len(b) >= 4 && string(b[:4]) == "TAG+" && left >= 227:
		return "ID3v1", 227
	case len(b) >= 3 && string(b[:3]) == "TAG" && left >= 128 && left <= 128+32+64:
		return "ID3v1", 128
	case len(b) >= 32 && string(b[:8]) == "APETAGEX":
		n = 32
		if b[23]&0x20 != 0 { // this is the header; a footer stands alone
			n += little(12)
		}
		if n > left {
			return "", 0
		}
		return "APE", n
	case len(b) >= 11 && string(b[:11]) == "LYRICSBEGIN":
		if i := bytes.Index(b, []byte("LYRICS200")); i > 0 {
			return "Lyrics3", int64(i) + 9
		}
		if i := bytes.Index(b, []byte("LYRICSEND")); i > 0 {
			return "Lyrics3", int64(i) + 9
		}
	}
	return "", 0
}

// Places yields the offset and the length of each frame of sound in the file.
func (s *Stream) Places(yield func(offset int64, size int) bool) {
	at, gap := int64(0), 0
	for k, f := range s.Frames {
		for gap < len(s.Gaps) && s.Gaps[gap].Frame <= k {
			at = s.Gaps[gap].Offset + s.Gaps[gap].Size
			gap++
		}
		if s.Info != nil && k == 0 {
			at = max(at, s.Info.offset+int64(s.Info.size))
		}
		if !yield(at, int(f.size)) {
			return
		}
		at += int64(f.size)
	}
}

// Sniff reports whether frames, or tags that go before frames, begin within head.
func Sniff(head []byte) bool {
	c := &scanner{size: int64(len(head)), buf: head, s: &Stream{}, gap: -1}
	for at := 0; at < len(head); {
		if _, _, ok := c.frame(head[at:]); ok {
			return true
		}
		at = int(c.skip(head[at:], int64(at)))
	}
	return false
}
