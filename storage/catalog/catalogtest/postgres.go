package catalogtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is a real PostgreSQL server of a test's own, on 127.0.0.1.
type Postgres struct {
	Port int
	dir  string
	bin  string
	cred *syscall.Credential
	cmd  *exec.Cmd
	done chan struct{} // closed when the server's process has ended
}

var (
	postgresOnce sync.Once
	postgresOne  *Postgres
	errPostgres  error
	catalogs     int
	catalogsMu   sync.Mutex
)

// ErrNoPostgres says that the server's programs are not on this machine.
var ErrNoPostgres = errors.New("no PostgreSQL server: apt-get install postgresql, or set EARSHOT_POSTGRES to the folder with initdb and postgres")

// URL gives an empty schema of this test binary's server, which it starts at the first call. The
// test is skipped where there is no PostgreSQL. StopPostgres ends the server.
func URL(tb testing.TB) string {
	tb.Helper()
	postgresOnce.Do(func() {
		dir, err := os.MkdirTemp("", "earshot-pg-")
		if err != nil {
			errPostgres = err
			return
		}
		postgresOne, errPostgres = StartPostgres(dir)
	})
	if errors.Is(errPostgres, ErrNoPostgres) {
		tb.Skip(errPostgres)
	}
	if errPostgres != nil {
		tb.Fatal(errPostgres)
	}
	catalogsMu.Lock()
	catalogs++
	name := fmt.Sprintf("c%d", catalogs)
	catalogsMu.Unlock()
	url, err := postgresOne.Schema(tb.Context(), name)
	if err != nil {
		tb.Fatal(err)
	}
	return url
}

// StopPostgres ends the server of this test binary, if it was started. TestMain calls it.
func StopPostgres() {
	if postgresOne != nil {
		postgresOne.Kill()
		_ = os.RemoveAll(postgresOne.dir)
	}
}

// StartPostgres makes a database cluster below dir and starts a server on it. PostgreSQL refuses to
// run as root: then the server is run as the user postgres or nobody.
func StartPostgres(dir string) (*Postgres, error) {
	p := &Postgres{dir: dir, bin: postgresBin()}
	if p.bin == "" {
		return nil, ErrNoPostgres
	}
	if os.Geteuid() == 0 {
		if err := p.stepDown(); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.Port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	initdb := p.command("initdb", "-D", p.data(), "-U", "earshot", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return p, p.Start()
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

func (p *Postgres) stepDown() error {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(p.dir, int(uid), int(gid))); err != nil {
			return err
		}
		p.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return nil
	}
	return errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

func postgresBin() string {
	if dir := os.Getenv("EARSHOT_POSTGRES"); dir != "" {
		return dir
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}

func (p *Postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.cred, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

// Start starts the server and waits until it answers.
func (p *Postgres) Start() error {
	p.cmd = p.command("postgres", "-D", p.data(), "-p", strconv.Itoa(p.Port), "-h", "127.0.0.1", "-k", p.dir,
		"-c", "fsync=off", // a server that is killed leaves what it wrote with the system
		"-c", "max_connections=100", "-c", "shared_buffers=64MB", "-c", "log_min_messages=fatal")
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(p.cmd, p.done)
	var err error
	for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		if err = p.exec(context.Background(), "select 1"); err == nil {
			return nil
		}
	}
	return fmt.Errorf("PostgreSQL did not become ready within 30 s: %w", err)
}

// Kill ends the server at once, without any orderly shutdown: what was committed stays.
func (p *Postgres) Kill() {
	// SIGQUIT is "immediate": the postmaster takes its children with it, and recovery is that of a crash.
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	<-p.done
}

// DSN is the URL of the server's database.
func (p *Postgres) DSN() string {
	return fmt.Sprintf("postgres://earshot@127.0.0.1:%d/postgres?sslmode=disable", p.Port)
}

// Schema makes an empty schema and gives the URL of a catalog in it.
func (p *Postgres) Schema(ctx context.Context, name string) (string, error) {
	return p.DSN() + "&search_path=" + name, p.exec(ctx, "create schema "+name)
}

// Tool runs one of the server's own client programs, such as pg_dump.
func (p *Postgres) Tool(name string, args ...string) ([]byte, error) {
	path := filepath.Join(p.bin, name)
	if _, err := os.Stat(path); err != nil {
		path = name // the server's programs are linked from elsewhere
	}
	return exec.CommandContext(context.Background(), path, args...).CombinedOutput()
}

func (p *Postgres) exec(ctx context.Context, query string) error {
	conn, err := pgx.Connect(ctx, p.DSN())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, query)
	return err
}
