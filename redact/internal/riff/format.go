package riff

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"earshot/redact/internal/opaque"
)

// Format tags of RFC 2361 that can be redacted.
const (
	TagPCM        = 0x0001
	TagMSADPCM    = 0x0002
	TagFloat      = 0x0003
	TagALaw       = 0x0006
	TagMuLaw      = 0x0007
	TagIMAADPCM   = 0x0011
	tagExtensible = 0xFFFE
)

// Format is a checked fmt chunk.
type Format struct {
	Tag        uint16 // what the sound is, looked up behind EXTENSIBLE
	Extensible bool
	Channels   int
	Rate       int // Hz
	BlockAlign int // bytes of one block: a sample frame, or a block of ADPCM
	Bits       int
	Container  int // bytes of one sample; 0 for ADPCM
	// BlockFrames is the number of sample frames in a block: 1, or more for ADPCM.
	BlockFrames int
	order       binary.ByteOrder
	raw         []byte // the part of the chunk that is written out
}

// The tails of the two byte orders of KSDATAFORMAT_SUBTYPE GUIDs, after the format tag.
var (
	guidTail   = []byte{0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71}
	guidTailBE = []byte{0, 0, 0, 0x10, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71}
)

func parseFormat(raw []byte, order binary.ByteOrder, at int64) (Format, error) {
	if len(raw) < 16 {
		return Format{}, opaque.At(at, "fmt chunk of %d bytes", len(raw))
	}
	f := Format{
		Tag:      order.Uint16(raw),
		Channels: int(order.Uint16(raw[2:])), Rate: int(order.Uint32(raw[4:])),
		BlockAlign: int(order.Uint16(raw[12:])), Bits: int(order.Uint16(raw[14:])),
		BlockFrames: 1, order: order, raw: raw[:16:16],
	}
	if f.Channels == 0 || f.Rate == 0 || f.Rate > 1e8 || f.BlockAlign == 0 {
		return Format{}, opaque.At(at, "%d channels at %d Hz in blocks of %d bytes", f.Channels, f.Rate, f.BlockAlign)
	}
	if f.Tag == tagExtensible {
		if err := f.extensible(raw, at); err != nil {
			return Format{}, err
		}
	}
	switch f.Tag {
	case TagPCM, TagFloat, TagALaw, TagMuLaw:
		return f, f.linear(at)
	case TagIMAADPCM, TagMSADPCM:
		return f, f.adpcm(raw, at)
	}
	return Format{}, opaque.At(at, "format tag 0x%04X", f.Tag)
}

func (f *Format) extensible(raw []byte, at int64) error {
	if len(raw) < 40 {
		return opaque.At(at, "EXTENSIBLE fmt chunk of %d bytes", len(raw))
	}
	f.Extensible, f.raw = true, raw[:40:40]
	guid := raw[24:40]
	switch {
	case bytes.Equal(guid[2:], guidTail):
		f.Tag = binary.LittleEndian.Uint16(guid)
	case guid[0] == 0 && guid[1] == 0 && bytes.Equal(guid[4:], guidTailBE):
		f.Tag = binary.BigEndian.Uint16(guid[2:])
	default:
		return opaque.At(at+24, "unknown sub-format")
	}
	if f.Tag == TagIMAADPCM || f.Tag == TagMSADPCM {
		return opaque.At(at+24, "ADPCM in an EXTENSIBLE format")
	}
	return nil
}

// linear checks the formats with one sample per container. The step is the block alignment, never
// the bit depth: 24 bits may lie in 4 bytes. Nothing else may be wider than its bits: of 16 bits in 4 bytes
// nobody can tell which of both is wrong, and with it all times.
func (f *Format) linear(at int64) error {
	if f.BlockAlign%f.Channels != 0 {
		return opaque.At(at, "blocks of %d bytes for %d channels", f.BlockAlign, f.Channels)
	}
	f.Container = f.BlockAlign / f.Channels
	ok := false
	switch f.Tag {
	case TagPCM:
		ok = f.Bits >= 1 && f.Container <= 8 && (f.Container == (f.Bits+7)/8 || f.Container == 4 && f.Bits == 24)
	case TagFloat:
		ok = f.Bits == 8*f.Container && (f.Container == 4 || f.Container == 8)
	case TagALaw, TagMuLaw:
		ok = f.Container == 1 && f.Bits == 8
	}
	if !ok {
		return opaque.At(at, "format 0x%04X with %d bits in %d bytes", f.Tag, f.Bits, f.Container)
	}
	return nil
}

// adpcm checks that the block length and the number of samples in a block agree.
func (f *Format) adpcm(raw []byte, at int64) error {
	if len(raw) < 20 || f.Bits != 4 || f.Channels > 2 {
		return opaque.At(at, "ADPCM with %d bits, %d channels and a fmt chunk of %d bytes", f.Bits, f.Channels, len(raw))
	}
	f.BlockFrames = int(f.order.Uint16(raw[18:]))
	f.raw = raw[:20:20]
	if f.Tag == TagMSADPCM {
		if len(raw) < 22 {
			return opaque.At(at, "MS ADPCM fmt chunk of %d bytes", len(raw))
		}
		n := int(f.order.Uint16(raw[20:]))
		if n < 1 || n > 255 || len(raw) < 22+4*n {
			return opaque.At(at, "MS ADPCM with %d coefficient pairs in a fmt chunk of %d bytes", n, len(raw))
		}
		f.raw = raw[: 22+4*n : 22+4*n]
		if f.order.Uint16(raw[22:]) != 256 || f.order.Uint16(raw[24:]) != 0 {
			return opaque.At(at, "MS ADPCM with unusual coefficients")
		}
	}
	if f.BlockAlign <= f.blockHeader() || f.PartFrames(f.BlockAlign) != f.BlockFrames {
		return opaque.At(at, "ADPCM blocks of %d bytes said to hold %d samples", f.BlockAlign, f.BlockFrames)
	}
	if f.Tag == TagIMAADPCM && f.BlockAlign%(4*f.Channels) != 0 {
		return opaque.At(at, "IMA ADPCM blocks of %d bytes", f.BlockAlign)
	}
	return nil
}

// blockHeader is the length of an ADPCM block's header, which holds the first samples.
func (f Format) blockHeader() int {
	if f.Tag == TagMSADPCM {
		return 7 * f.Channels
	}
	return 4 * f.Channels
}

// PartFrames is the number of sample frames in the first n bytes of a block.
func (f Format) PartFrames(n int) int {
	if f.BlockFrames == 1 {
		return n / f.BlockAlign
	}
	n -= f.blockHeader()
	switch {
	case n < 0:
		return 0
	case f.Tag == TagMSADPCM:
		return 2 + n*2/f.Channels
	}
	return 1 + n/(4*f.Channels)*8
}

// partBytes is the number of bytes, of the first n of a block, that hold whole sample frames.
func (f Format) partBytes(n int) int {
	switch {
	case f.BlockFrames == 1 || n < f.blockHeader():
		return 0
	case f.Tag == TagMSADPCM:
		return n
	}
	return f.blockHeader() + (n-f.blockHeader())/(4*f.Channels)*4*f.Channels
}

// Silence is the byte that a silent span is filled with, for formats other than ADPCM.
func (f Format) Silence() byte {
	switch {
	case f.Tag == TagMuLaw:
		return 0xFF
	case f.Tag == TagALaw:
		return 0xD5
	case f.Tag == TagPCM && f.Container == 1:
		return 0x80
	}
	return 0
}

// Name is the format for people.
func (f Format) Name() string {
	switch f.Tag {
	case TagPCM:
		if 8*f.Container != (f.Bits+7)/8*8 {
			return fmt.Sprintf("PCM %d bit in %d", f.Bits, 8*f.Container)
		}
		return fmt.Sprintf("PCM %d bit", f.Bits)
	case TagFloat:
		return fmt.Sprintf("float %d bit", f.Bits)
	case TagALaw:
		return "A-law"
	case TagMuLaw:
		return "mu-law"
	case TagIMAADPCM:
		return "IMA ADPCM"
	}
	return "MS ADPCM"
}

// Sound is the extent of the sound in bytes and sample frames: whole blocks, and of a last ADPCM
// block that was cut short what can be decoded. Frames of padding at the end of the last ADPCM
// block are not counted where the fact chunk tells them.
func (w *Wave) Sound() (size, frames int64) {
	align := int64(w.Format.BlockAlign)
	blocks, rest := w.Data.Size/align, int(w.Data.Size%align)
	part := w.Format.partBytes(rest)
	size = blocks*align + int64(part)
	frames = blocks * int64(w.Format.BlockFrames)
	if part > 0 {
		frames += int64(w.Format.PartFrames(part))
	}
	if grain := int64(w.Format.BlockFrames); grain > 1 && w.Fact < frames && w.Fact > frames-grain && w.Fact > 0 {
		frames = w.Fact
	}
	return size, frames
}
