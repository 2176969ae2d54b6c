package inventory

import "context"

// StageWithin is Stage with another bound on what is sorted in memory.
func StageWithin(ctx context.Context, m Manifest, fetch Fetch, dir string, memory int) (*Staged, error) {
	return stage(ctx, m, fetch, dir, memory)
}
