package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// EnvChild is set in the environment of a child: a program that finds it calls [Serve] at once.
const EnvChild = "EARSHOT_STORE_CHILD"

// ticket is what the parent hands to the child on standard input: never in arguments or the
// environment, which other processes may read.
type ticket struct {
	Dir       string `json:"dir"` // absolute
	Addr      string `json:"addr"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// Serve runs the S3 server in this process until ctx ends or no user is left. It reads its ticket
// from r.
func Serve(ctx context.Context, r io.Reader) error {
	var t ticket
	if err := json.NewDecoder(r).Decode(&t); err != nil {
		return fmt.Errorf("reading the store's ticket: %w (this command is started by earshot itself)", err)
	}
	log.SetOutput(io.Discard)
	paths := map[string]string{}
	for _, name := range []string{"objects", "metadata", "versions"} {
		paths[name] = filepath.Join(t.Dir, name)
		if err := os.MkdirAll(paths[name], 0o700); err != nil {
			return fmt.Errorf("making the store's folder: %w", err)
		}
	}
	side, err := meta.NewSideCar(paths["metadata"])
	if err != nil {
		return fmt.Errorf("opening the store's metadata: %w", err)
	}
	users, err := os.OpenFile(filepath.Join(t.Dir, usersFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("opening the store's list of users: %w", err)
	}
	defer users.Close()
	be, err := posix.New(paths["objects"], side, posix.PosixOpts{
		VersioningDir:       paths["versions"],
		SideCarDir:          paths["metadata"],
		CopyObjectThreshold: 5 << 30, // 0 would refuse every copy
		Concurrency:         4096,    // actions at once; the default refuses under load
		NewDirPerm:          0o700,
		NewFilePerm:         0o600,
	})
	if err != nil {
		return fmt.Errorf("opening the store's objects: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go watchUsers(ctx, users, stop)
	err = embedgw.RunVersityGW(ctx, be, &embedgw.Config{
		RootUserAccess: t.AccessKey, RootUserSecret: t.SecretKey,
		Region: Region, Ports: []string{t.Addr},
		MaxConnections: 4096, MaxRequests: 2048, MultipartMaxParts: 10000,
		Quiet: true, KeepAlive: true, HealthPath: healthPath, DisableStrictBucketNames: false,
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// watchUsers stops the server when nobody has held the users file for a while.
func watchUsers(ctx context.Context, users *os.File, stop func()) {
	alone := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(250 * time.Millisecond):
		}
		if syscall.Flock(int(users.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			alone = 0
			continue
		}
		if alone++; alone >= 4 {
			// The lock stays ours until this process is gone: who comes now waits for that, and then
			// starts another, instead of finding one that is about to end.
			stop()
			return
		}
		_ = syscall.Flock(int(users.Fd()), syscall.LOCK_UN)
	}
}
