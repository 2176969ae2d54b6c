// Package storagetest holds the contract of package storage as one suite of tests, and the real
// S3 servers that it is run against: the embedded one, and MinIO as a process of its own. Tests of
// other packages take their servers from here too: one embedded server a test binary, a bucket a
// test.
package storagetest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"earshot/storage"
	"earshot/storage/embedded"
)

// Main runs the tests of a package that uses the embedded server, from its TestMain. The same test
// binary serves as the server's child process. What is in after is done behind the tests.
func Main(m *testing.M, after ...func()) {
	if os.Getenv(embedded.EnvChild) != "" {
		if err := embedded.Serve(context.Background(), os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	InMemory()
	code := m.Run()
	for _, f := range after {
		f()
	}
	if embeddedDir != "" {
		_ = embeddedServer.Close()
		time.Sleep(1200 * time.Millisecond) // the child stops when it finds itself alone
		_ = os.RemoveAll(embeddedDir)
	}
	os.Exit(code)
}

// InMemory lets the folders of tests be in memory where there is room: most of the time of a test that makes a
// catalog or a store goes into waiting for the disk. Benchmarks stay on the disk.
func InMemory() {
	for _, arg := range os.Args {
		if strings.HasPrefix(arg, "-test.bench=") && arg != "-test.bench=" {
			return
		}
	}
	if dir := memory(); dir != "" && os.Getenv("TMPDIR") == "" {
		_ = os.Setenv("TMPDIR", dir)
	}
}

// The one embedded server of a test binary, since the gateway keeps globals.
var (
	embeddedOnce   sync.Once
	embeddedServer *embedded.Server
	embeddedDir    string
	errEmbedded    error
)

// Embedded is the embedded server of this test binary.
func Embedded(tb testing.TB) storage.Options {
	tb.Helper()
	embeddedOnce.Do(func() {
		if embeddedDir, errEmbedded = os.MkdirTemp("", "earshot-store-"); errEmbedded == nil {
			embeddedServer, errEmbedded = embedded.Start(context.Background(), embeddedDir)
		}
	})
	if errEmbedded != nil {
		tb.Fatal(errEmbedded)
	}
	return storage.Options{
		Endpoint: embeddedServer.Endpoint, Region: embedded.Region,
		AccessKey: embeddedServer.AccessKey, SecretKey: embeddedServer.SecretKey,
	}
}

// MinIO starts a MinIO server for the duration of the test. It is skipped where the server has not
// been built (make test builds it). env is for its own settings, such as targets for events.
func MinIO(tb testing.TB, env ...string) storage.Options {
	tb.Helper()
	return StartMinIO(tb, env...).Options
}

// Server is a MinIO server that can be killed and started again on what it had stored.
type Server struct {
	Options storage.Options
	exe     string
	addr    string
	dir     string
	env     []string
	cmd     *exec.Cmd
}

// StartMinIO starts a server that ends with the test.
func StartMinIO(tb testing.TB, env ...string) *Server {
	tb.Helper()
	exe := minioPath()
	if exe == "" {
		tb.Skip("no MinIO server: build one with scripts/minio.sh, or set EARSHOT_MINIO to one")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{exe: exe, addr: l.Addr().String(), dir: tb.TempDir()}
	l.Close()
	s.Options = storage.Options{Endpoint: "http://" + s.addr, AccessKey: "earshot", SecretKey: Name("secret")}
	s.env = append(os.Environ(), "MINIO_ROOT_USER="+s.Options.AccessKey, "MINIO_ROOT_PASSWORD="+s.Options.SecretKey,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "CI=on")
	s.env = append(s.env, env...)
	tb.Cleanup(s.Kill)
	if err := s.Start(); err != nil {
		tb.Fatal(err)
	}
	return s
}

// Start starts the server and waits until it answers.
func (s *Server) Start() error {
	s.cmd = exec.Command(s.exe, "server", "--quiet", "--address", s.addr, s.dir)
	s.cmd.Env = s.env
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for start := time.Now(); time.Since(start) < 60*time.Second; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(s.Options.Endpoint + "/minio/health/cluster")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return errors.New("the MinIO server did not become ready within 60 s")
}

// Kill ends the server as a power cut does.
func (s *Server) Kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

func minioPath() string {
	if p := os.Getenv("EARSHOT_MINIO"); p != "" {
		return p
	}
	_, here, _, _ := runtime.Caller(0)
	found, _ := filepath.Glob(filepath.Join(filepath.Dir(here), "..", "..", ".cache", "minio-*"))
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// Name makes a bucket name (or another name) that nothing else uses.
func Name(stem string) string {
	var b [5]byte
	_, _ = rand.Read(b[:])
	return stem + "-" + hex.EncodeToString(b[:])
}

// Bucket makes and opens a bucket for one test.
func Bucket(tb testing.TB, o storage.Options, versioned, locked bool) *storage.Bucket {
	tb.Helper()
	store, err := storage.Connect(o)
	if err != nil {
		tb.Fatal(err)
	}
	name := Name("test")
	ctx := context.Background()
	if err := store.MakeBucket(ctx, name, versioned, locked); err != nil {
		tb.Fatal(err)
	}
	b, err := store.Bucket(ctx, name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
