package pcm

import (
	"bytes"
	"crypto/md5"
	"errors"
	"io"

	"github.com/mewkiz/flac"
)

// openFLAC decodes native FLAC with mewkiz/flac, which checks every frame's sums; here the sum and the length of the whole are.
func openFLAC(r io.Reader) (*source, error) {
	stream, err := flac.New(r)
	if err != nil {
		return nil, unheard("FLAC that cannot be read (%v)", err)
	}
	info := stream.Info
	var out []float32
	heard, sum := uint64(0), md5.New()
	return &source{rate: int(info.SampleRate), channels: int(info.NChannels), samples: int64(info.NSamples), read: func() ([]float32, error) {
		frame, err := stream.ParseNext()
		if errors.Is(err, io.EOF) {
			switch {
			case heard < info.NSamples:
				return nil, unheard("FLAC that is cut off behind %d of %d samples", heard, info.NSamples)
			case info.MD5sum != [md5.Size]byte{} && !bytes.Equal(sum.Sum(nil), info.MD5sum[:]):
				return nil, unheard("FLAC whose sound does not have the sum that it gives")
			}
			return nil, io.EOF
		}
		if err != nil {
			return nil, unheard("FLAC that is damaged (%v)", err)
		}
		bits := frame.BitsPerSample
		if bits == 0 {
			bits = info.BitsPerSample
		}
		if len(frame.Subframes) != int(info.NChannels) || frame.SampleRate != 0 && frame.SampleRate != info.SampleRate {
			return nil, unheard("FLAC whose format changes on the way")
		}
		if info.MD5sum != [md5.Size]byte{} {
			frame.Hash(sum)
		}
		heard += uint64(frame.BlockSize)
		scale := 1 / float32(int64(1)<<(bits-1))
		n := len(frame.Subframes[0].Samples)
		out = out[:0]
		for i := range n {
			for _, s := range frame.Subframes {
				if len(s.Samples) != n {
					return nil, unheard("FLAC whose channels differ in length")
				}
				out = append(out, float32(s.Samples[i])*scale)
			}
		}
		return out, nil
	}}, nil
}
