package main

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"earshot/storage"
	"earshot/storage/inventory"
)

// openInventory reads the manifest of an inventory report, at s3://BUCKET/KEY in the configured store or
// in a folder, and gives the way to its files.
func (i *installation) openInventory(ctx context.Context, place string) (inventory.Manifest, inventory.Fetch, error) {
	var none inventory.Manifest
	if path.Base(filepath.ToSlash(place)) != "manifest.json" {
		return none, nil, fmt.Errorf("%w: --inventory %s: name the report's manifest.json", errUsage, place)
	}
	if rest, ok := strings.CutPrefix(place, "s3://"); ok {
		bucket, key, _ := strings.Cut(rest, "/")
		b, err := i.store.Bucket(ctx, bucket)
		if err != nil {
			return none, nil, err
		}
		text, err := readStored(ctx, b, key)
		if err != nil {
			return none, nil, fmt.Errorf("reading the inventory's manifest: %w", err)
		}
		sum, err := readStored(ctx, b, path.Dir(key)+"/manifest.checksum")
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return none, nil, fmt.Errorf("reading the manifest's checksum: %w", err)
		}
		m, err := manifest(text, sum)
		if err != nil {
			return none, nil, err
		}
		if m.Destination != "" && m.Destination != bucket {
			if b, err = i.store.Bucket(ctx, m.Destination); err != nil {
				return none, nil, fmt.Errorf("the inventory's files: %w", err)
			}
		}
		return m, func(ctx context.Context, key string, w io.Writer, reset func() error) error {
			return fetch(ctx, b, key, w, reset)
		}, nil
	}
	text, err := readFile(place)
	if err != nil {
		return none, nil, fmt.Errorf("reading the inventory's manifest: %w", err)
	}
	sum, err := readFile(filepath.Join(filepath.Dir(place), "manifest.checksum"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return none, nil, fmt.Errorf("reading the manifest's checksum: %w", err)
	}
	m, err := manifest(text, sum)
	if err != nil {
		return none, nil, err
	}
	return m, fetchBeside(place), nil
}

// manifest holds a manifest against its checksum, where there is one, and reads it.
func manifest(text, sum []byte) (inventory.Manifest, error) {
	if want := strings.TrimSpace(string(sum)); want != "" {
		if got := md5.Sum(text); !strings.EqualFold(want, hex.EncodeToString(got[:])) {
			return inventory.Manifest{}, fmt.Errorf("%w: manifest.json is not the one that manifest.checksum speaks of", inventory.ErrDamaged)
		}
	}
	return inventory.ParseManifest(text)
}

// fetch writes an object of the store to w.
func fetch(ctx context.Context, b *storage.Bucket, key string, w io.Writer, reset func() error) error {
	h, err := b.Head(ctx, key, "")
	if err != nil {
		return err
	}
	return b.Fetch(ctx, h.ID, h.ETag, w, reset)
}

// readStored reads a small object of the store.
func readStored(ctx context.Context, b *storage.Bucket, key string) ([]byte, error) {
	h, err := b.Head(ctx, key, "")
	if err != nil {
		return nil, err
	}
	if h.Size > inventory.MaxManifest {
		return nil, errors.New("it is larger than any manifest")
	}
	var text strings.Builder
	err = b.Fetch(ctx, h.ID, h.ETag, &text, func() error { text.Reset(); return nil })
	return []byte(text.String()), err
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, inventory.MaxManifest+1))
	if err == nil && len(text) > inventory.MaxManifest {
		err = errors.New("it is larger than any manifest")
	}
	return text, err
}

// fetchBeside finds the files of a report that was copied into a folder: under their keys below one of
// the folders that the manifest lies in, or by their names beside the manifest.
func fetchBeside(manifest string) inventory.Fetch {
	return func(_ context.Context, key string, w io.Writer, reset func() error) error {
		local := filepath.FromSlash(key)
		if !filepath.IsLocal(local) {
			return errors.New("the manifest names a file outside of its folder")
		}
		abs, err := filepath.Abs(manifest)
		if err != nil {
			return err
		}
		places := []string{filepath.Join(filepath.Dir(abs), filepath.Base(local))}
		for dir := filepath.Dir(abs); ; dir = filepath.Dir(dir) {
			places = append(places, filepath.Join(dir, local))
			if dir == filepath.Dir(dir) {
				break
			}
		}
		for _, p := range places {
			f, err := os.Open(p)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			defer f.Close()
			if err := reset(); err != nil {
				return err
			}
			_, err = io.Copy(w, f)
			return err
		}
		return fmt.Errorf("it is neither beside the manifest nor under its key: %w", fs.ErrNotExist)
	}
}
