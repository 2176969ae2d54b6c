package main

import (
	"context"
	"fmt"
	"time"

	"earshot/policies"
	"earshot/retention"
)

// scanKind is which of the scans is wanted; the zero value is the full one.
type scanKind struct {
	recent, inventory string
	within            time.Duration
}

func (k *scanKind) check() (err error) {
	if k.recent != "" && k.inventory != "" {
		return fmt.Errorf("%w: --recent and --inventory exclude one another", errUsage)
	}
	if k.recent != "" {
		if k.within, err = policies.ParseLength(k.recent); err != nil {
			return fmt.Errorf("%w: --recent: %w", errUsage, err)
		}
	}
	return nil
}

func (k *scanKind) scan(ctx context.Context, i *installation, names ...string) ([]retention.Scanned, error) {
	switch {
	case k.recent != "":
		return i.runner.ScanRecent(ctx, k.within, names...)
	case k.inventory != "":
		m, fetch, err := i.openInventory(ctx, k.inventory)
		if err != nil {
			return nil, err
		}
		return i.runner.ScanInventory(ctx, m, fetch, names...)
	}
	return i.runner.Scan(ctx, names...)
}
