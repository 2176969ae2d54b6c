package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Sweep removes what the server leaves behind of deleted objects: their metadata, in files whose paths
// have the keys in them. It waits until nobody uses the store, and returns how many objects it swept.
func Sweep(ctx context.Context, dir string) (int, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return 0, fmt.Errorf("sweeping the embedded store: %w", err)
	}
	start, err := lockFile(filepath.Join(dir, startFile), syscall.LOCK_EX) // nobody starts it meanwhile
	if err != nil {
		return 0, err
	}
	defer start.Close()
	users, err := os.OpenFile(filepath.Join(dir, usersFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, fmt.Errorf("sweeping the embedded store: %w", err)
	}
	defer users.Close()
	for syscall.Flock(int(users.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("sweeping the embedded store: it is in use: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	n, err := sweep(dir)
	if err != nil {
		err = fmt.Errorf("sweeping the embedded store: %w", err)
	}
	return n, err
}

func sweep(dir string) (n int, err error) {
	side := filepath.Join(dir, "metadata")
	var doomed []string
	err = filepath.WalkDir(side, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || d.Name() != "meta" {
			return err
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() {
				return nil // a part of a key that is named so
			}
		}
		rel, err := filepath.Rel(side, filepath.Dir(path))
		if err == nil && orphaned(dir, rel) {
			doomed = append(doomed, path)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, path := range doomed {
		if err := os.RemoveAll(path); err != nil {
			return n, err
		}
		n++
		for up := filepath.Dir(path); up != side && os.Remove(up) == nil; up = filepath.Dir(up) { // until one is not empty
		}
	}
	return n, nil
}

// orphaned reports whether neither the object nor an older version of it is there to which metadata
// belongs.
func orphaned(dir, rel string) bool {
	if path := string(filepath.Separator) + rel; strings.HasPrefix(path, filepath.Join(dir, "versions")) {
		return missing(path)
	}
	bucket, key, ok := strings.Cut(rel, string(filepath.Separator))
	if !ok || !missing(filepath.Join(dir, "objects", rel)) {
		return false
	}
	sum := sha256.Sum256([]byte(filepath.ToSlash(key)))
	name := hex.EncodeToString(sum[:])
	return missing(filepath.Join(dir, "versions", bucket, name[:2], name[2:4], name[4:6], name))
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
