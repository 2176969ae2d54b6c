package interop_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"earshot"
	"earshot/audit"

	"filippo.io/torchwood"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// folder keeps a log's objects as files, each durable when a method returns.
type folder struct {
	dir string
	mu  sync.Mutex
}

func (f *folder) Get(_ context.Context, key string) ([]byte, string, error) {
	data, err := os.ReadFile(filepath.Join(f.dir, key))
	if strings.HasPrefix(key, "tile/") {
		return data, "", err // nobody swaps a tile
	}
	sum := sha256.Sum256(data)
	return data, hex.EncodeToString(sum[:]), err
}

func (f *folder) Create(ctx context.Context, key string, data []byte) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, _, err := f.Get(ctx, key); err == nil {
		return string(old) == string(data), nil
	}
	return true, f.write(key, data)
}

func (f *folder) Replace(_ context.Context, key string, data []byte) error { return f.write(key, data) }

func (f *folder) Swap(ctx context.Context, key string, data []byte, etag string) (string, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, now, err := f.Get(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		now = ""
	}
	if now != etag {
		return "", false, nil
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), true, f.write(key, data)
}

func (f *folder) write(key string, data []byte) error {
	path := filepath.Join(f.dir, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Sync(), tmp.Close(), os.Rename(tmp.Name(), path)); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f *folder) Keys(_ context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		_ = filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			key, err := filepath.Rel(f.dir, path)
			if err != nil {
				return err
			}
			if strings.HasPrefix(key, prefix) && !yield(key, nil) {
				return fs.SkipAll
			}
			return nil
		})
	}
}

// memory is a head that forgets when the test ends.
type memory struct {
	leaves    []earshot.Leaf
	published int64
	roots     map[int64][32]byte
}

func (m *memory) Say(_ context.Context, leaves ...earshot.Leaf) error {
	m.leaves = append(m.leaves, leaves...)
	return nil
}
func (m *memory) Fence(context.Context) (string, error)      { return "", nil }
func (m *memory) Number(context.Context, int) (int64, error) { return int64(len(m.leaves)), nil }
func (m *memory) Numbered(_ context.Context, from, to int64) ([]earshot.Leaf, error) {
	return m.leaves[from:to], nil
}
func (m *memory) Remember(_ context.Context, size int64, root [32]byte) error {
	m.roots[size] = root
	return nil
}
func (m *memory) Root(_ context.Context, size int64) ([32]byte, bool, error) {
	r, ok := m.roots[size]
	return r, ok, nil
}
func (m *memory) Published(context.Context) (int64, error) { return m.published, nil }
func (m *memory) SetPublished(_ context.Context, size int64) error {
	m.published = size
	return nil
}

type site struct {
	tiles  *folder
	head   *memory
	keys   *audit.Keys
	log    *audit.Log
	policy string
}

func leaf(tb testing.TB, i int) earshot.Leaf {
	l, err := audit.Entry{
		ID: audit.EntryID("intent", fmt.Sprint(i)), Kind: audit.KindIntent, TS: int64(1e15 + i), Run: "run-20261123T000000Z-00000000", Producer: "earshot/bench",
		Actor:  &audit.Actor{Kind: "service", Tag: strings.Repeat("0", 32)},
		Intent: &audit.Intent{Action: "delete", Recording: strings.Repeat("1", 32), Subject: strings.Repeat("2", 32), Object: strings.Repeat("3", 32), Rule: "default-period", Basis: []string{"voice-assistant/default-period"}},
	}.Leaf()
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// newSite is a log with a witness.
func newSite(tb testing.TB, witnessed bool) *site {
	tb.Helper()
	keys, err := audit.CreateKeys(tb.TempDir(), "example.org/earshot/2026")
	if err != nil {
		tb.Fatal(err)
	}
	s := &site{tiles: &folder{dir: tb.TempDir()}, head: &memory{roots: map[int64][32]byte{}}, keys: keys, policy: "log " + keys.VKey + "\nquorum none\n"}
	o := audit.Options{Tiles: s.tiles, Head: s.head, Signer: keys.Signer, Verifier: keys.Verifier}
	if witnessed {
		w, err := audit.OpenWitness(tb.TempDir(), "witness.example.org", keys.VKey)
		if err != nil {
			tb.Fatal(err)
		}
		server := httptest.NewServer(w)
		tb.Cleanup(server.Close)
		s.policy = fmt.Sprintf("log %s\nwitness w %s %s\ngroup g all w\nquorum g\n", keys.VKey, w.VKey(), server.URL)
		if o.Trust, err = audit.ParseTrust("policy", []byte(s.policy)); err != nil {
			tb.Fatal(err)
		}
		o.Strict = true
	}
	if s.log, err = audit.Create(tb.Context(), o); err != nil {
		tb.Fatal(err)
	}
	return s
}

func (s *site) append(tb testing.TB, n int) {
	tb.Helper()
	for range n {
		s.head.leaves = append(s.head.leaves, leaf(tb, len(s.head.leaves)))
	}
	if _, err := s.log.Publish(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

func bundleHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var out [][]byte
	for _, e := range b.Entries {
		h := tlog.RecordHash(e)
		out = append(out, h[:])
	}
	return out, nil
}

func (s *site) fsck(ctx context.Context) error {
	return fsck.New(s.keys.Verifier.Name(), s.keys.Verifier, client.FileFetcher{Root: s.tiles.dir}, bundleHashes, fsck.Opts{N: 2}).Check(ctx)
}

// TestTesserasCheckerPassesOurLog, and finds what is wrong with a damaged one.
func TestTesserasCheckerPassesOurLog(t *testing.T) {
	s := newSite(t, false)
	for _, n := range []int{1, 100, 155, 1, 300, 2_000} {
		s.append(t, n)
		if err := s.fsck(t.Context()); err != nil {
			t.Fatalf("%d entries: %v", len(s.head.leaves), err)
		}
	}
	path := filepath.Join(s.tiles.dir, "tile/entries/007")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[100] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.fsck(ctx); err == nil {
		t.Error("Tessera's checker passes a damaged log: the test says nothing")
	}
}

// TestTorchwoodReadsOurLog: checkpoint with cosignature, every entry, and a proof, under a policy file
// that both sides read.
func TestTorchwoodReadsOurLog(t *testing.T) {
	s := newSite(t, true)
	s.append(t, 700)
	policy, err := torchwood.ParsePolicy([]byte(s.policy))
	if err != nil {
		t.Fatal(err)
	}
	signed, _, err := s.tiles.Get(t.Context(), "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := torchwood.VerifyCheckpoint(signed, policy)
	if err != nil {
		t.Fatal(err)
	}
	tiles, err := torchwood.NewTileFS(os.DirFS(s.tiles.dir))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := torchwood.NewClient(tiles)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for i, body := range reader.AllEntries(t.Context(), c.Tree, 0) {
		if i != n || string(body) != string(s.head.leaves[i].Body) {
			t.Fatalf("entry %d is not ours", i)
		}
		n++
	}
	if reader.Err() != nil || n != 700 {
		t.Fatalf("%d entries, %v", n, reader.Err())
	}
	p, err := s.log.Prove(t.Context(), 123)
	if err != nil {
		t.Fatal(err)
	}
	if err := torchwood.VerifyProof(policy, tlog.RecordHash([]byte(p.Entry)), []byte(p.Proof)); err != nil {
		t.Errorf("torchwood does not take our proof: %v", err)
	}
	if err := torchwood.VerifyProof(policy, tlog.RecordHash([]byte("other")), []byte(p.Proof)); err == nil {
		t.Error("torchwood takes a proof of something else: the test says nothing")
	}
	// Without the cosignature it must not pass.
	lines := strings.SplitAfter(string(signed), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "— witness.example.org") })
	if _, _, err := torchwood.VerifyCheckpoint([]byte(strings.Join(lines, "")), policy); err == nil {
		t.Error("the policy does not ask for the witness: the test says nothing")
	}
}

// TestOurWitnessCosignsForTorchwood: a cosignature of ours is one to torchwood's verifier.
func TestOurWitnessCosignsForTorchwood(t *testing.T) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "other.example/log")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	w, err := audit.OpenWitness(t.TempDir(), "witness.example.org", vkey)
	if err != nil {
		t.Fatal(err)
	}
	h := tlog.RecordHash([]byte("one"))
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("other.example/log\n1\n%s\n", h)}, signer)
	if err != nil {
		t.Fatal(err)
	}
	line, err := w.Add(append([]byte("old 0\n\n"), signed...))
	if err != nil {
		t.Fatal(err)
	}
	v, err := torchwood.NewCosignatureVerifier(w.VKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(append(signed, line...), note.VerifierList(v)); err != nil {
		t.Error(err)
	}
}
