package catalog_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"earshot"
	"earshot/storage/catalog"
)

// cutOff is a connection on which ctx seems to end while it is told not to wait for the disk.
type cutOff struct{ driver.Connector }

func (c cutOff) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return cutOffConn{conn}, err
}

type cutOffConn struct{ driver.Conn }

func (c cutOffConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (c cutOffConn) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, q, args)
}

func (c cutOffConn) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Result, error) {
	res, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, q, args)
	if err == nil && strings.HasSuffix(q, "= normal") {
		err = context.Canceled
	}
	return res, err
}

// TestWhatIsCutOffWaitsForTheDiskAgain ends the context of one who writes without waiting for the disk: what
// others write on that connection is waited for.
func TestWhatIsCutOffWaitsForTheDiskAgain(t *testing.T) {
	db, err := catalog.Create(t.Context(), catalog.Options{
		Path: filepath.Join(t.TempDir(), "catalog.db"), Wrap: func(c driver.Connector) driver.Connector { return cutOff{c} },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	known := catalog.Known{Recording: earshot.Recording{ID: earshot.RecordingID{Bucket: "b", Key: "k"}}}
	if err := db.Foresee(t.Context(), []catalog.Foresight{{Known: known, Digest: "d"}}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if got, err := db.Synchronous(t.Context()); got != 2 || err != nil {
		t.Errorf("synchronous is %d, want 2 (full): %v", got, err)
	}
}
