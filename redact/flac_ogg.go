package redact

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"earshot/redact/internal/flac"
	"earshot/redact/internal/ogg"
	"earshot/redact/internal/opaque"
)

// FLAC in Ogg (RFC 9639, section 10.1): a first packet with a mark and STREAMINFO, a packet for
// each other metadata block, the first of them a VORBIS_COMMENT, then a packet for each frame.

// oggFLACHead is how the first packet begins: mark, version 1.0, the number of header packets that
// follow, and the native marker.
const oggFLACHead = "\x7FFLAC\x01\x00"

// oggFLACComment is a VORBIS_COMMENT, the last metadata block, that says nothing.
const oggFLACComment = "\x84\x00\x00\x0F\x07\x00\x00\x00earshot\x00\x00\x00\x00"

func isOggFLAC(head []byte) bool {
	return len(head) >= 64 && string(head[:5]) == "OggS\x00" && bytes.Contains(head[27:64], []byte("\x7FFLAC"))
}

// flacLinks are the streams of a chain in Ogg, each with its own headers; a native file is one.
func flacLinks(src io.ReaderAt, size int64) ([]*io.SectionReader, error) {
	whole := []*io.SectionReader{io.NewSectionReader(src, 0, size)}
	head, err := readHead(src, 0, size, 64)
	if err != nil {
		return nil, fmt.Errorf("reading the first bytes: %w", err)
	}
	if !isOggFLAC(head) {
		return whole, nil
	}
	var starts []int64
	for r := ogg.NewReader(src, size); ; {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if p.First {
			starts = append(starts, p.Offset)
		}
	}
	if len(starts) < 2 || starts[0] != 0 {
		return whole, nil
	}
	var links []*io.SectionReader
	for i, from := range starts {
		to := size
		if i+1 < len(starts) {
			to = starts[i+1]
		}
		links = append(links, io.NewSectionReader(src, from, to-from))
	}
	return links, nil
}

// within gives an error of a link the offset that it has in the file.
func within(err error, link *io.SectionReader) error {
	var o *OpaqueError
	_, base, _ := link.Outer()
	if errors.As(err, &o) && base > 0 {
		return opaque.At(o.Offset+base, "%s", o.Reason)
	}
	return err
}

// scanOggFLAC scans a stream in Ogg. Start is -1: the frames are not in one piece.
func scanOggFLAC(src io.ReaderAt, size int64) (*flac.File, error) {
	f := &flac.File{Start: -1}
	r := ogg.NewReader(src, size)
	if _, err := oggFLACHeaders(r, f); err != nil {
		return nil, err
	}
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if p.First {
			return nil, opaque.At(p.Offset, "a second FLAC stream within the first")
		}
		if err := f.AddFrame(p.Data, p.Offset); err != nil {
			return nil, err
		}
	}
	if !flacDepth(f.Info.Bits) {
		return nil, opaque.At(0, "a depth of %d bits", f.Info.Bits)
	}
	if r.Junk > 0 {
		f.Meta = append(f.Meta, flac.Block{Type: -1, Size: r.Junk})
	}
	return f, nil
}

// oggFLACHeaders reads the header packets and tells the stream's serial number.
func oggFLACHeaders(r *ogg.Reader, f *flac.File) (serial uint32, err error) {
	for n, last := 0, false; !last; n++ {
		p, err := r.Next()
		if errors.Is(err, io.EOF) || err == nil && p.First != (n == 0) {
			return 0, opaque.At(p.Offset, "the metadata do not end")
		}
		if err != nil {
			return 0, err
		}
		b := p.Data
		if n == 0 {
			if len(b) != 51 || string(b[:7]) != oggFLACHead || string(b[9:13]) != "fLaC" || b[13]&0x7F != 0 {
				return 0, opaque.At(p.Offset, "a first packet that is not known")
			}
			serial = p.Serial
			if err := f.SetInfo(b[17:51], p.Offset); err != nil {
				return 0, err
			}
			continue
		}
		if len(b) < 4 || n > 1000 {
			return 0, opaque.At(p.Offset, "a metadata packet of %d bytes", len(b))
		}
		last = b[0]&0x80 != 0
		if string(b) != oggFLACComment {
			f.Meta = append(f.Meta, flac.Block{Type: int(b[0] & 0x7F), Size: int64(len(b) - 4)})
		}
	}
	return serial, nil
}

// openOggFLAC gives a reader that stands at the first frame, and a writer.
func openOggFLAC(src io.ReaderAt, size int64, dst io.Writer) (*ogg.Reader, *ogg.Writer, error) {
	r := ogg.NewReader(src, size)
	serial, err := oggFLACHeaders(r, &flac.File{})
	if err != nil {
		return nil, nil, err
	}
	return r, ogg.NewWriter(dst, serial), nil
}

func writeOggFLACHead(w *ogg.Writer, info flac.StreamInfo) error {
	first := append([]byte(oggFLACHead+"\x00\x01fLaC\x00\x00\x00\x22"), info.Bytes()...)
	for _, packet := range [][]byte{first, []byte(oggFLACComment)} {
		if err := errors.Join(w.Add(packet, 0), w.Flush(false)); err != nil {
			return fmt.Errorf("writing the metadata: %w", err)
		}
	}
	return nil
}
