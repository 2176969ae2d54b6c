package audit

import (
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

// pickyReader reads tiles, in the versions that pick says.
type pickyReader struct {
	x    *examination
	pick map[string]int
	met  []string
}

// next counts on to the next combination, like the digits of a number.
func (r *pickyReader) next(keys []string) bool {
	for _, k := range keys {
		data, err := r.x.candidates(k)
		if err != nil {
			return false
		}
		if r.pick[k]++; r.pick[k] < len(data) {
			return true
		}
		r.pick[k] = 0
	}
	return false
}

func (r *pickyReader) Height() int { return tileHeight }

func (r *pickyReader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r *pickyReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		key := tilePath(strconv.Itoa(t.L), t.N, t.W)
		if len(r.x.versions[key]) > 0 {
			r.met = append(r.met, key)
			data, err := r.x.candidates(key)
			if err != nil {
				return nil, err
			}
			if at := r.pick[key]; at < len(data) {
				out[i] = data[at]
				continue
			}
		}
		data, _, err := r.x.Archive.Get(r.x.ctx, key)
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}
