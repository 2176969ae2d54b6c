package audit_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"earshot/audit"
)

// stand is a witness behind HTTP that can be made to misbehave.
type stand struct {
	*audit.Witness
	url    string
	broken atomic.Pointer[http.HandlerFunc]
}

func newStand(tb testing.TB, name string, logs ...string) *stand {
	tb.Helper()
	w, err := audit.OpenWitness(tb.TempDir(), name, logs...)
	if err != nil {
		tb.Fatal(err)
	}
	s := &stand{Witness: w}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if h := s.broken.Load(); h != nil {
			(*h)(rw, r)
			return
		}
		s.ServeHTTP(rw, r)
	}))
	tb.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *stand) misbehave(h http.HandlerFunc) {
	if h == nil {
		s.broken.Store(nil)
		return
	}
	s.broken.Store(&h)
}

func status(code int, body string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(code)
		_, _ = io.WriteString(rw, body)
	}
}

func TestAWitnessRemembersAcrossRestarts(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	w, err := audit.OpenWitness(dir, "w.example", f.keys.VKey)
	if err != nil {
		t.Fatal(err)
	}
	f.act(t, 0, 10)
	f.publish(t)
	first := f.tiles.objects["checkpoint"]
	if _, err := w.Add(append([]byte("old 0\n\n"), first...)); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenWitness(dir, "", f.keys.VKey); err == nil {
		t.Error("two processes may be one witness at once")
	}
	if vkey, err := audit.WitnessVKey(dir); err != nil || vkey != w.VKey() {
		t.Errorf("its public key cannot be read while it is at work: %q, %v", vkey, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w, err = audit.OpenWitness(dir, "", f.keys.VKey); err != nil {
		t.Fatal(err)
	}
	g := &fixture{tiles: newTiles(), head: newHead(), keys: f.keys}
	if g.log, err = audit.Create(t.Context(), g.options()); err != nil {
		t.Fatal(err)
	}
	g.act(t, 100, 30)
	g.publish(t)
	for _, body := range []string{"old 0\n\n", "old 20\n\n", "old 20\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n", "old 61\n\n", "old -1\n\n", "nonsense"} {
		if sig, err := w.Add(append([]byte(body), g.tiles.objects["checkpoint"]...)); err == nil {
			t.Errorf("%q: a second history was cosigned: %s", body, sig)
		}
	}
	if _, err := w.Add(append([]byte("old 20\n\n"), first...)); err != nil {
		t.Errorf("the same tree again: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "witness.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenWitness(dir, "", f.keys.VKey); err == nil {
		t.Error("a key that everybody may read was taken")
	}
}

// TestAWitnessOfAnotherMakeThatSeesAForkIsHeard: C2SP tlog-witness answers 409 with the size where the
// tree of that size has another root.
func TestAWitnessOfAnotherMakeThatSeesAForkIsHeard(t *testing.T) {
	f, _, stands := witnessed(t, "1", false, "a")
	f.act(t, 0, 5)
	stands[0].misbehave(status(409, "10\n"))
	if _, err := f.log.Publish(t.Context()); !errors.Is(err, audit.ErrDisputed) {
		t.Errorf("got %v, want ErrDisputed", err)
	}
	// And ours answers so.
	stands[0].misbehave(nil)
	g := newFixture(t)
	g.act(t, 0, 5)
	g.publish(t)
	w, err := audit.OpenWitness(t.TempDir(), "w.example", g.keys.VKey)
	if err != nil {
		t.Fatal(err)
	}
	other := &fixture{tiles: newTiles(), head: newHead(), keys: g.keys}
	if other.log, err = audit.Create(t.Context(), other.options()); err != nil {
		t.Fatal(err)
	}
	other.act(t, 50, 5)
	other.publish(t)
	if _, err := w.Add(append([]byte("old 0\n\n"), g.tiles.objects["checkpoint"]...)); err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader("old 10\n\n"+string(other.tiles.objects["checkpoint"]))))
	if rec.Code != http.StatusConflict || rec.Body.String() != "10\n" {
		t.Errorf("another tree of the same size: %d %q, want 409 and the size", rec.Code, rec.Body)
	}
}

// TestAReplicaThatIsOvertakenIsNotDisputed: the other one publishes while our request to the witness is
// on its way, or dies after the witness has cosigned its tree.
func TestAReplicaThatIsOvertakenIsNotDisputed(t *testing.T) {
	for _, dies := range []bool{false, true} {
		f, trust, stands := witnessed(t, "1", true, "a")
		o := f.options()
		o.Trust, o.Strict = trust, true
		other, err := audit.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		f.act(t, 0, 5)
		var n atomic.Int32
		stands[0].misbehave(func(rw http.ResponseWriter, r *http.Request) {
			if n.Add(1) == 1 {
				f.act(t, 5, 5)
				if dies {
					f.tiles.fail = func(op, key string) error {
						if op == "swap" {
							return errors.New("dead")
						}
						return nil
					}
				}
				if _, err := other.Publish(t.Context()); (err != nil) != dies {
					t.Errorf("the other: %v", err)
				}
				f.tiles.fail = nil
			}
			stands[0].ServeHTTP(rw, r)
		})
		if size, err := f.log.Publish(t.Context()); err != nil || size != 20 {
			t.Errorf("the other dies %v: published %d, %v", dies, size, err)
		}
		if got := findings(t, f, trust, audit.VerifyOptions{}); len(got) > 0 {
			t.Error(got)
		}
	}
}

// TestATreeIsCosignedThoughNothingNewIsSaid: the witness comes back, or is new.
func TestATreeIsCosignedThoughNothingNewIsSaid(t *testing.T) {
	f, trust, _ := witnessed(t, "1", true, "a")
	for name, strict := range map[string]bool{"strict": true, "lenient": false} {
		alone, err := audit.Open(t.Context(), f.options()) // without a policy on witnesses
		if err != nil {
			t.Fatal(err)
		}
		f.act(t, len(f.head.leaves), 5)
		if _, err := alone.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := findings(t, f, trust, audit.VerifyOptions{}); len(got) == 0 {
			t.Fatal("it is cosigned already")
		}
		o := f.options()
		o.Trust, o.Strict = trust, strict
		if f.log, err = audit.Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		f.publish(t)
		if got := findings(t, f, trust, audit.VerifyOptions{}); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestAWitnessThatHasSignedIsNotBlamed: where a tree waits for one witness, what the other signed before is
// not taken for a signature that does not verify.
func TestAWitnessThatHasSignedIsNotBlamed(t *testing.T) {
	f, trust, stands := witnessed(t, "all", false, "a", "b")
	f.act(t, 0, 5)
	f.publish(t)
	stands[1].misbehave(status(503, ""))
	f.act(t, 5, 5)
	f.publish(t)
	o := f.options()
	o.Trust, o.Strict = trust, true
	log, err := audit.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Publish(t.Context()); !errors.Is(err, audit.ErrUncosigned) || strings.Contains(err.Error(), "does not verify") {
		t.Errorf("got %v, want only that witness b is missing", err)
	}
	stands[1].misbehave(nil)
	if _, err := log.Publish(t.Context()); err != nil {
		t.Error(err)
	}
	if got := findings(t, f, trust, audit.VerifyOptions{}); len(got) > 0 {
		t.Error(got)
	}
}

// TestALogThatNobodyEverCosignedStopsToo: its witness's address is wrong.
func TestALogThatNobodyEverCosignedStopsToo(t *testing.T) {
	f, trust, stands := witnessed(t, "1", false, "a")
	stands[0].misbehave(status(404, ""))
	open := func(after time.Duration) error {
		o := f.options()
		o.Trust, o.Now = trust, func() time.Time { return time.UnixMicro(1_700_000_000_000_000).Add(after) }
		var err error
		if f.log, err = audit.Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		f.act(t, len(f.head.leaves), 1)
		_, err = f.log.Publish(t.Context())
		return err
	}
	if err := open(time.Hour); err != nil {
		t.Errorf("within the first day: %v", err)
	}
	if err := open(25 * time.Hour); !errors.Is(err, audit.ErrUncosigned) {
		t.Errorf("after a day: got %v, want ErrUncosigned", err)
	}
}
