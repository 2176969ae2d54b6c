package embedded

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

var errEnded = errors.New("see store.log")

// Region is the region that the embedded server answers to.
const Region = "us-east-1"

const (
	usersFile  = "users.lock"
	startFile  = "start.lock"
	stateFile  = "store.json"
	healthPath = "/.health"
)

// Server is a running embedded store as one user of it sees it.
type Server struct {
	Endpoint  string `json:"endpoint"` // http://127.0.0.1:PORT
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	users     *os.File
}

// Close ends the use of the store. The child stops a second or so after its last user.
func (s *Server) Close() error { return s.users.Close() }

// Start returns the store whose files are below dir, starting a child process if none runs. The
// child is this very program; args are the arguments that make it call [Serve] (none if it goes by
// [EnvChild]).
func Start(ctx context.Context, dir string, args ...string) (*Server, error) {
	dir, err := filepath.Abs(dir) // the child changes its working directory
	if err != nil {
		return nil, fmt.Errorf("starting the embedded store: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("starting the embedded store: %w", err)
	}
	users, err := lockFile(filepath.Join(dir, usersFile), syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	start, err := lockFile(filepath.Join(dir, startFile), syscall.LOCK_EX)
	if err != nil {
		users.Close()
		return nil, err
	}
	defer start.Close()
	s, err := running(ctx, dir)
	if err != nil {
		s, err = launch(ctx, dir, args)
	}
	if err != nil {
		users.Close()
		return nil, fmt.Errorf("starting the embedded store in %s: %w", dir, err)
	}
	s.users = users
	return s, nil
}

// lockFile opens and locks a file. The lock goes with the process, however it ends. An exclusive
// lock that the child's watch holds for an instant is waited for.
func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", filepath.Base(path), err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", filepath.Base(path), err)
	}
	return f, nil
}

// running finds the store that an earlier user started, if it still answers. It will not stop, since
// we hold the users file by now.
func running(ctx context.Context, dir string) (*Server, error) {
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	var s Server
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	return &s, healthy(ctx, s.Endpoint)
}

func launch(ctx context.Context, dir string, args []string) (*Server, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var last error
	for range 5 { // another process may take the port between our look and the child's
		addr, err := freePort()
		if err != nil {
			return nil, err
		}
		s := &Server{Endpoint: "http://" + addr, AccessKey: "earshot", SecretKey: random()}
		t, err := json.Marshal(ticket{Dir: dir, Addr: addr, AccessKey: s.AccessKey, SecretKey: s.SecretKey})
		if err != nil {
			return nil, err
		}
		if last = s.run(ctx, exe, args, dir, t); last == nil {
			return s, s.remember(dir)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, last
}

func (s *Server) run(ctx context.Context, exe string, args []string, dir string, t []byte) error {
	cmd := exec.Command(exe, args...) // not CommandContext: the child outlives this command's context
	cmd.Env = append(os.Environ(), EnvChild+"=1")
	cmd.Stdin = bytes.NewReader(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt typed at the terminal is for us, not for it
	output, err := os.OpenFile(filepath.Join(dir, "store.log"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case err := <-ended:
			text, _ := os.ReadFile(output.Name())
			return fmt.Errorf("the store's process ended at once: %w: %s", errors.Join(errEnded, err), bytes.TrimSpace(text))
		case <-ctx.Done():
			return errors.Join(ctx.Err(), cmd.Process.Kill())
		case <-deadline:
			return errors.Join(errors.New("the store did not answer within 20 s"), cmd.Process.Kill())
		case <-time.After(5 * time.Millisecond):
			if healthy(ctx, s.Endpoint) == nil {
				return nil
			}
		}
	}
}

// remember writes down how to reach the store, for its other users. Readable by its owner only:
// it holds the store's secret.
func (s *Server) remember(dir string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, stateFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func healthy(ctx context.Context, endpoint string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+healthPath, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the store answered %s: %w", resp.Status, fs.ErrInvalid)
	}
	return nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func random() string {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
