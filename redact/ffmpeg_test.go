package redact_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// coded is a file for ffmpeg, with the format that Inspect gives it, if that is known.
type coded struct {
	bytes  []byte
	format string
}

// played is what ffmpeg makes of a file: interleaved 32-bit samples. A complaint of ffmpeg is an error, and
// may have samples beside it.
type played struct {
	samples []int
	err     error
}

// ffmpegPlays decodes files as the player would hear them, side by side: ffmpeg takes longer to begin than to
// decode. If it complains of any, each is decoded by itself. name gives the ending. The files stay in dir.
func ffmpegPlays(ctx context.Context, ffmpeg, dir, name string, files ...coded) []played {
	args, outs := []string{"-v", "error", "-y"}, []string(nil)
	for i, f := range files {
		in := filepath.Join(dir, fmt.Sprintf("%d-%s", i, name))
		if err := os.WriteFile(in, f.bytes, 0o600); err != nil {
			return []played{{err: err}}
		}
		args = append(append(args, floatDecoder(f.format)...), "-i", in)
	}
	for i := range files {
		out := filepath.Join(dir, fmt.Sprintf("%d-%s.raw", i, name))
		outs = append(outs, out)
		args = append(args, "-map", fmt.Sprintf("%d:a:0", i), "-f", "s32le", "-c:a", "pcm_s32le", out)
	}
	talk, err := exec.CommandContext(ctx, ffmpeg, args...).CombinedOutput()
	if err == nil && len(talk) > 0 {
		err = errors.New(string(bytes.TrimSpace(talk)))
	}
	var all []played
	for i := range files {
		if err != nil && len(files) > 1 {
			all = append(all, ffmpegPlays(ctx, ffmpeg, dir, name, files[i])...)
			continue
		}
		raw, rerr := os.ReadFile(outs[i])
		if rerr != nil && err == nil {
			err = rerr
		}
		_ = os.Remove(outs[i]) // no later file that fails must be taken for this one
		samples := make([]int, len(raw)/4)
		for j := range samples {
			samples[j] = int(int32(binary.LittleEndian.Uint32(raw[4*j:])))
		}
		all = append(all, played{samples, err})
	}
	return all
}

// floatDecoder is for layers I and II: the fixed-point decoders carry dither from frame to frame.
func floatDecoder(format string) []string {
	switch {
	case strings.Contains(format, "layer II,"):
		return []string{"-c:a", "mp2float"}
	case strings.Contains(format, "layer I,"):
		return []string{"-c:a", "mp1float"}
	}
	return nil
}
