package main

import (
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// wire carries one worker's connections to store and databases, until it is cut: then nothing goes
// through and nobody is told, as when a cable is pulled.
type wire struct {
	config string // configuration of the worker behind it
	silent atomic.Bool
	mu     sync.Mutex // guards held
	held   []net.Conn
}

func (w *wire) cut(yes bool) {
	if was := w.silent.Swap(yes); was && !yes {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, c := range w.held { // what was lost on the way is not sent again by anybody but TCP's ends
			_ = c.Close()
		}
		w.held = nil
	}
}

// to gives an address whose connections go to another.
func (w *wire) to(m *machines, addr string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", addr)
			if err != nil {
				_ = in.Close()
				continue
			}
			w.mu.Lock()
			w.held = append(w.held, in, out)
			w.mu.Unlock()
			go w.carry(in, out)
			go w.carry(out, in)
		}
	}()
	return l.Addr().String()
}

func (w *wire) carry(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if w.silent.Load() {
			_, _ = io.Copy(io.Discard, from) // read, and never arrived
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// spoolSize is the size of the disk for sound under redaction, in bytes.
const spoolSize = 1 << 20

// apart puts the third worker behind a wire, and the spool on a small disk where one can be mounted.
func (m *machines) apart(dir, endpoint, catalogURL, keysURL string) {
	m.wire = &wire{config: filepath.Join(dir, "far.yaml")}
	text, err := os.ReadFile(m.app.configPath)
	if err != nil {
		m.t.Fatal(err)
	}
	through := map[string]string{}
	far := string(text)
	for _, at := range []string{endpoint, catalogURL, keysURL} {
		u, err := url.Parse(at)
		if err != nil {
			m.t.Fatal(err)
		}
		if through[u.Host] == "" {
			through[u.Host] = m.wire.to(m, u.Host)
		}
		far = strings.ReplaceAll(far, u.Host, through[u.Host])
	}
	if err := os.WriteFile(m.wire.config, []byte(far), 0o600); err != nil {
		m.t.Fatal(err)
	}
	spool := filepath.Join(dir, "spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "none", spool).Run(); err != nil {
		m.t.Logf("no small disk could be mounted: none is filled (%v)", err)
		return
	}
	m.spool = spool
	m.t.Cleanup(func() { _ = exec.Command("umount", "-l", spool).Run() })
}
