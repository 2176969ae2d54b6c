package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/errgroup"
)

// server is the MinIO that all talk to.
type server struct {
	cmd          *exec.Cmd
	addr, secret string
	client       *minio.Client
}

const accessKey = "earshot"

func startServer(ctx context.Context, bin, dir string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{addr: l.Addr().String()}
	l.Close()
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	s.secret = hex.EncodeToString(b[:])
	s.cmd = exec.CommandContext(ctx, bin, "server", "--quiet", "--address", s.addr, filepath.Join(dir, "minio"))
	s.cmd.Env = append(os.Environ(), "MINIO_ROOT_USER="+accessKey, "MINIO_ROOT_PASSWORD="+s.secret, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "CI=on")
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting MinIO: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = puts
	if s.client, err = minio.New(s.addr, &minio.Options{Creds: credentials.NewStaticV4(accessKey, s.secret, ""), Transport: transport}); err != nil {
		s.stop()
		return nil, err
	}
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get("http://" + s.addr + "/minio/health/cluster"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s, nil
			}
		}
	}
	s.stop()
	return nil, errors.New("MinIO did not become ready within a minute")
}

func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Objects are of that size, and stored so many at once.
const (
	objectSize = 4 << 10
	puts       = 32
)

// fill stores objects of 4 KiB under n keys.
func (s *server) fill(ctx context.Context, bucket string, n int, key func(int) string) error {
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(puts)
	body := bytes.Repeat([]byte{0x55}, objectSize)
	for i := range n {
		group.Go(func() error {
			_, err := s.client.PutObject(inner, bucket, key(i), bytes.NewReader(body), objectSize, minio.PutObjectOptions{ContentType: "audio/wav", DisableMultipart: true})
			return err
		})
	}
	return group.Wait()
}

// fresh makes a bucket that holds nothing.
func (s *server) fresh(ctx context.Context, bucket string, versioned bool) error {
	if ok, err := s.client.BucketExists(ctx, bucket); err != nil {
		return err
	} else if ok {
		if err := s.client.RemoveBucketWithOptions(ctx, bucket, minio.RemoveBucketOptions{ForceDelete: true}); err != nil {
			return fmt.Errorf("removing bucket %s: %w", bucket, err)
		}
	}
	if err := s.client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		return fmt.Errorf("making bucket %s: %w", bucket, err)
	}
	if versioned {
		return s.client.EnableVersioning(ctx, bucket)
	}
	return nil
}

// count tells how many objects a bucket holds.
func (s *server) count(ctx context.Context, bucket string) (n int, err error) {
	for o := range s.client.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			return 0, o.Err
		}
		n++
	}
	return n, nil
}

// counting is a proxy to the server that counts requests by bucket.
type counting struct {
	addr     string
	requests atomic.Int64
	server   *http.Server
}

func (s *server) counting() (*counting, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counting{addr: l.Addr().String()}
	target := &url.URL{Scheme: "http", Host: s.addr}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // the signature covers it
	}}
	c.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = c.server.Serve(l) }()
	return c, nil
}
