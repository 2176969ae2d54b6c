package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"earshot/storage"
	"earshot/storage/storagetest"

	"golang.org/x/sync/errgroup"
)

const soakPolicy = `apiVersion: earshot/v1
kind: Policy
metadata: {name: soak, owner: a@example.org}
spec:
  scope: {bucket: voice, prefix: clips/}
  schedule: "* * * * *"
  rules:
    - {name: period, keep: {for: 90d, from: captured}, then: delete}
    - {name: kitchen, when: recording.device == "kitchen", then: redact, spans: [everything]}
  otherwise: keep
`

// TestSoak lets earshot serve run for EARSHOT_SOAK (such as 1h) while recordings come in without end,
// a run each minute: what it holds of memory, goroutines and files must stay flat.
func TestSoak(t *testing.T) {
	during, err := time.ParseDuration(os.Getenv("EARSHOT_SOAK"))
	if err != nil {
		t.Skip("EARSHOT_SOAK=1h lets it run for an hour (make soak)")
	}
	s := newSoak(t)
	s.fill(20_000) // so that the catalog's own cache is full before anything is measured
	cmd := s.serve()
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			t.Errorf("it did not stop as asked: %v", err)
		}
	}()
	ctx, stop := context.WithTimeout(t.Context(), during)
	defer stop()
	stored := make(chan int, 1)
	go func() { stored <- s.ingest(ctx) }()
	var samples []map[string]float64
	for ctx.Err() == nil {
		time.Sleep(5 * time.Second)
		if f, err := s.figures(); err == nil {
			samples = append(samples, f)
		}
	}
	n := <-stored
	if len(samples) < 12 {
		t.Fatalf("%d samples: too short to say anything", len(samples))
	}
	t.Logf("%d recordings were stored in %s", n, during)
	for _, name := range []string{"earshot_resident_bytes", "earshot_heap_bytes", "earshot_goroutines", "earshot_open_files"} {
		third := len(samples) / 3
		before, after := mean(samples[third:2*third], name), mean(samples[2*third:], name)
		t.Logf("%s: %.0f in the second third, %.0f in the last", name, before, after)
		if after > 1.15*before+8 {
			t.Errorf("%s grows", name)
		}
	}
	if last := samples[len(samples)-1]; last["earshot_recordings_blocked"] > 0 || last["earshot_log_published_entries"] < float64(n)/4 {
		t.Errorf("at the end: %v", last)
	}
}

func mean(samples []map[string]float64, name string) (sum float64) {
	for _, s := range samples {
		sum += s[name] / float64(len(samples))
	}
	return sum
}

type soak struct {
	t      *testing.T
	app    *app
	bucket *storage.Bucket
	listen string
}

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, listen: freeAddress(t)}
	s.app, _, s.bucket = siteOn(t, storagetest.MinIO(t), initOptions{}, soakPolicy)
	return s
}

func (s *soak) serve() *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(exe, "--config", s.app.configPath, "serve", "--listen", s.listen)
	cmd.Env = append(os.Environ(), envMain+"=1")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.t.Logf("it said: %.2000s", said.String()) })
	return cmd
}

// ingest stores recordings until ctx ends: half are due at once, one in twenty is to be redacted.
func (s *soak) ingest(ctx context.Context) (n int) {
	clip, err := os.ReadFile("samples/clip-00.wav")
	if err != nil {
		return 0
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; n++ {
		err := s.store(ctx, soakKey(n), clip)
		if err != nil && ctx.Err() == nil {
			s.t.Errorf("storing: %v", err)
			return n
		}
		<-tick.C
	}
	return n
}

// store stores one, again where MinIO denies access: it does so now and then to a key in a folder that it is just
// removing, since the last recording in it was deleted (once in 40 minutes).
func (s *soak) store(ctx context.Context, key string, clip []byte) (err error) {
	for range 5 {
		if _, err = s.bucket.Put(ctx, key, clip, "audio/wav", nil, nil); err == nil || ctx.Err() != nil {
			return err
		}
		s.t.Logf("storing is tried again: %v", err)
		time.Sleep(200 * time.Millisecond)
	}
	return err
}

func soakKey(n int) string {
	age, device := 10, "dev"
	if n%2 == 0 {
		age = 200
	} else if n%20 == 1 {
		device = "kitchen"
	}
	return fmt.Sprintf("clips/s%03d/%s/%s/r%08d.wav", n%500, device, time.Now().UTC().AddDate(0, 0, -age).Format("2006/01/02"), n)
}

// fill stores recordings before anything is measured.
func (s *soak) fill(n int) {
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error {
			_, err := s.bucket.Put(context.Background(), soakKey(10_000_000+2*i), []byte("sound"), "audio/wav", nil, nil)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		s.t.Fatal(err)
	}
}

// figures reads what the process tells of itself.
func (s *soak) figures() (map[string]float64, error) {
	resp, err := http.Get("http://" + s.listen + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			out[name] = v
		}
	}
	return out, lines.Err()
}
