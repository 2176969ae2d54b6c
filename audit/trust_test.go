package audit_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot/audit"

	"golang.org/x/mod/sumdb/note"
)

// witnessed is a fixture whose log has witnesses of which `quorum` must cosign.
func witnessed(tb testing.TB, quorum string, strict bool, names ...string) (*fixture, *audit.Trust, []*stand) {
	tb.Helper()
	f := newFixture(tb)
	text := "log " + f.keys.VKey + "\n"
	var stands []*stand
	for _, n := range names {
		s := newStand(tb, n+".example", f.keys.VKey)
		stands = append(stands, s)
		text += fmt.Sprintf("witness %s %s %s\n", n, s.VKey(), s.url)
	}
	text += fmt.Sprintf("# a remark\n \t# another\ngroup q %s %s\n\nquorum q\n", quorum, strings.Join(names, " "))
	trust, err := audit.ParseTrust("auditor.policy", []byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	o := f.options()
	o.Trust, o.Strict = trust, strict
	if f.log, err = audit.Open(tb.Context(), o); err != nil {
		tb.Fatal(err)
	}
	return f, trust, stands
}

func findings(tb testing.TB, f *fixture, trust *audit.Trust, o audit.VerifyOptions) []string {
	tb.Helper()
	r, err := audit.VerifyAll(tb.Context(), f.tiles, trust, o)
	if err != nil {
		tb.Fatal(err)
	}
	return r.Findings
}

func TestWitnessesCosignWhatTheyCanFollow(t *testing.T) {
	f, trust, stands := witnessed(t, "2", true, "a", "b", "c")
	n := 0
	for _, step := range []int{1, 3, 200, 1, 500} {
		f.act(t, n, step)
		n += step
		f.publish(t)
		if got := findings(t, f, trust, audit.VerifyOptions{}); len(got) > 0 {
			t.Fatalf("after %d: %v", n, got)
		}
	}
	stands[0].misbehave(status(500, "")) // two are enough
	f.act(t, n, 10)
	f.publish(t)
	if got := findings(t, f, trust, audit.VerifyOptions{}); len(got) > 0 {
		t.Fatal(got)
	}
	stands[0].misbehave(nil) // and the first catches up
	f.act(t, n+10, 10)
	f.publish(t)
	signed, _, err := f.tiles.Get(t.Context(), "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	c, err := trust.Open(signed)
	if err != nil || len(c.Cosigned) != 3 || time.Since(c.Cosigned[0].At) > time.Minute {
		t.Errorf("%+v, %v, want three cosignatures of now", c.Cosigned, err)
	}
}

func TestWithoutAQuorumAStrictLogStops(t *testing.T) {
	f, _, stands := witnessed(t, "all", true, "a", "b")
	f.act(t, 0, 5)
	stands[1].misbehave(status(503, ""))
	if _, err := f.log.Publish(t.Context()); !errors.Is(err, audit.ErrUncosigned) {
		t.Fatalf("got %v, want ErrUncosigned", err)
	}
	if f.head.published != 0 {
		t.Fatalf("%d entries count as published without the quorum", f.head.published)
	}
	stands[1].misbehave(nil)
	if size := f.publish(t); size != 10 {
		t.Errorf("published %d when the witness is back, want 10", size)
	}
}

func TestWithoutAQuorumALenientLogSaysSoAndStopsInTheEnd(t *testing.T) {
	f, trust, stands := witnessed(t, "all", false, "a")
	f.act(t, 0, 5)
	f.publish(t)
	stands[0].misbehave(status(503, ""))
	for i := range 3 {
		f.act(t, 5+i, 1)
		f.publish(t)
	}
	gaps := 0
	r, err := audit.VerifyAll(t.Context(), f.tiles, trust, audit.VerifyOptions{Visit: func(_ int64, body []byte) error {
		if e, err := audit.Parse(body); err == nil && e.Gap != nil && e.Gap.Cosigned == 10 {
			gaps++
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if gaps != 1 {
		t.Errorf("%d entries say that witnesses are missing, want one", gaps)
	}
	if r.OK() || !r.Uncosigned {
		t.Error("an auditor who asks for the witness is content without it, or not told that this is all")
	}
	o := f.options()
	o.Trust, o.Now = trust, func() time.Time { return time.Now().Add(25 * time.Hour) }
	if f.log, err = audit.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	f.act(t, 20, 1)
	if _, err := f.log.Publish(t.Context()); !errors.Is(err, audit.ErrUncosigned) {
		t.Errorf("a day later: got %v, want ErrUncosigned", err)
	}
	stands[0].misbehave(nil)
	f.publish(t)
	if got := findings(t, f, trust, audit.VerifyOptions{}); len(got) > 0 {
		t.Errorf("when it is back: %v", got)
	}
}

// TestAttacks is the table of docs/auditors.md: each row is an attack, and who finds it.
func TestAttacks(t *testing.T) {
	type scene struct {
		f     *fixture
		trust *audit.Trust
		seen  []byte // the checkpoint that the auditor kept
		w     *stand
	}
	begin := func(t *testing.T) *scene {
		f, trust, stands := witnessed(t, "all", true, "a")
		f.act(t, 0, 300)
		f.publish(t)
		seen, _, err := f.tiles.Get(t.Context(), "checkpoint")
		if err != nil {
			t.Fatal(err)
		}
		f.act(t, 300, 10)
		f.publish(t)
		return &scene{f, trust, seen, stands[0]}
	}
	// forge writes another history under the stolen key of the log, without the witness.
	forge := func(t *testing.T, s *scene, entries int, other bool) *fixture {
		g := &fixture{tiles: newTiles(), head: newHead(), keys: s.f.keys}
		var err error
		if g.log, err = audit.Create(t.Context(), g.options()); err != nil {
			t.Fatal(err)
		}
		if other {
			g.act(t, 5000, 1)
			g.act(t, 1, entries-1)
		} else {
			g.act(t, 0, entries)
		}
		g.publish(t)
		return g
	}
	t.Run("stolenKeyRewritesAnEntry", func(t *testing.T) {
		s := begin(t)
		g := forge(t, s, 310, true)
		if got := findings(t, g, audit.TrustKey(s.f.keys.Verifier), audit.VerifyOptions{}); len(got) > 0 {
			t.Errorf("who trusts the key alone and never looked before cannot see it: %v", got)
		}
		if got := findings(t, g, s.trust, audit.VerifyOptions{}); len(got) == 0 {
			t.Error("without the witness's cosignature the auditor's policy must refuse it")
		}
		if got := findings(t, g, audit.TrustKey(s.f.keys.Verifier), audit.VerifyOptions{LastSeen: s.seen}); len(got) == 0 {
			t.Error("who kept a checkpoint must find it")
		}
		o := g.options()
		o.Trust, o.Strict = s.trust, true
		log, err := audit.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		g.act(t, 900, 1)
		if _, err := log.Publish(t.Context()); !errors.Is(err, audit.ErrDisputed) {
			t.Errorf("the witness: got %v, want a dispute", err)
		}
	})
	t.Run("stolenKeyTruncatesTheTail", func(t *testing.T) {
		s := begin(t)
		g := forge(t, s, 200, false)
		if got := findings(t, g, s.trust, audit.VerifyOptions{}); len(got) == 0 {
			t.Error("the policy must refuse it")
		}
		if got := findings(t, g, audit.TrustKey(s.f.keys.Verifier), audit.VerifyOptions{LastSeen: s.seen}); len(got) == 0 || !strings.Contains(got[0], "rollback") {
			t.Errorf("who kept a checkpoint: %v", got)
		}
		o := g.options()
		o.Trust, o.Strict = s.trust, true
		log, err := audit.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		g.act(t, 900, 1)
		if _, err := log.Publish(t.Context()); !errors.Is(err, audit.ErrDisputed) {
			t.Errorf("the witness: got %v, want a dispute", err)
		}
	})
	t.Run("operatorDeletesATile", func(t *testing.T) {
		s := begin(t)
		delete(s.f.tiles.objects, "tile/entries/000")
		if got := findings(t, s.f, s.trust, audit.VerifyOptions{}); len(got) == 0 {
			t.Error("nobody noticed")
		}
	})
	t.Run("anOldCheckpointIsReplayed", func(t *testing.T) {
		s := begin(t)
		now := s.f.tiles.objects["checkpoint"]
		s.f.tiles.objects["checkpoint"] = s.seen
		if got := findings(t, s.f, s.trust, audit.VerifyOptions{LastSeen: now}); len(got) == 0 {
			t.Error("who kept the newer one must find it")
		}
		if got := findings(t, s.f, s.trust, audit.VerifyOptions{}); len(got) == 0 {
			t.Error("the tiles beyond it give it away to those who look for the first time")
		}
		if _, err := s.f.log.Publish(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.f.act(t, 800, 1)
		if _, err := s.f.log.Publish(t.Context()); !errors.Is(err, audit.ErrHalted) {
			t.Errorf("the writer: got %v, want ErrHalted", err)
		}
	})
	t.Run("theWitnessSignsSomethingElse", func(t *testing.T) {
		s := begin(t)
		s.w.misbehave(status(200, "— a.example AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"))
		s.f.act(t, 700, 1)
		if _, err := s.f.log.Publish(t.Context()); !errors.Is(err, audit.ErrUncosigned) {
			t.Errorf("got %v, want ErrUncosigned", err)
		}
	})
	t.Run("theWitnessAnswersLate", func(t *testing.T) {
		s := begin(t)
		s.w.misbehave(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that we left
			<-r.Context().Done()
		})
		o := s.f.options()
		o.Trust, o.Strict, o.Client = s.trust, true, &http.Client{Timeout: 50 * time.Millisecond}
		log, err := audit.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		s.f.act(t, 700, 1)
		if _, err := log.Publish(t.Context()); !errors.Is(err, audit.ErrUncosigned) {
			t.Errorf("got %v, want ErrUncosigned", err)
		}
	})
}

func TestPoliciesOnTrustAreCheckedWithTheirLine(t *testing.T) {
	_, logKey, err := note.GenerateKey(rand.Reader, "example.org/log")
	if err != nil {
		t.Fatal(err)
	}
	w := newStand(t, "w.example", logKey)
	head, wit := "log "+logKey+"\n", "witness w "+w.VKey()+"\n"
	for name, c := range map[string]struct{ text, want string }{
		"empty":              {"", "no log"},
		"noQuorum":           {head, "no quorum"},
		"unknownWord":        {head + "wittness x y\n", ":2: "},
		"badKey":             {"log xyz\n", ":1: "},
		"badWitness":         {head + "witness w xyz\n", ":2: "},
		"twice":              {head + wit + "witness v " + w.VKey() + "\n", "same key"},
		"unknownMember":      {head + wit + "group g any w x\nquorum g\n", `"x"`},
		"memberTwice":        {head + wit + "group g 2 w w\nquorum g\n", "twice"},
		"tooMany":            {head + wit + "group g 2 w\nquorum g\n", ":3: "},
		"unknownQuorum":      {head + "quorum g\n", ":2: "},
		"twoQuorums":         {head + wit + "quorum w\nquorum none\n", ":4: "},
		"badURL":             {head + "witness w " + w.VKey() + " ftp://x\nquorum w\n", ":2: "},
		"takenName":          {head + wit + "group w any w\nquorum w\n", "taken"},
		"sameKeyAnotherName": {head + wit + "witness v " + renamed(t, w.VKey(), "v.example") + "\n", "same key"},
		"logTwice":           {head + head + "quorum none\n", ":2: "},
		"inTwoGroups":        {head + wit + "group g any w\ngroup h any w\ngroup q 2 g h\nquorum q\n", "twice"},
		"plusNumber":         {head + wit + "group g +1 w\nquorum g\n", ":3: "},
		"leadingZero":        {head + wit + "group g 01 w\nquorum g\n", ":3: "},
		"remarkAtTheEnd":     {head + wit + "quorum w # the only one\n", ":3: "},
		"carriageReturn":     {head + wit + "quorum w\r\n", ":3: "},
		"otherBlank":         {head + wit + "quorum\u00a0w\n", ":3: "},
		"noneIsNoWitness":    {head + "witness none " + w.VKey() + "\nquorum none\n", "taken"},
	} {
		if _, err := audit.ParseTrust("p", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
	if tr, err := audit.ParseTrust("p", []byte(head+"quorum none\n")); err != nil || tr.Origin() != "example.org/log" {
		t.Errorf("the least policy: %v", err)
	}
}

// renamed is the same public key of a witness under another name.
func renamed(tb testing.TB, vkey, name string) string {
	tb.Helper()
	parts := strings.SplitN(vkey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		tb.Fatal(err)
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	return name + "+" + hex.EncodeToString(sum[:4]) + "+" + parts[2]
}

// TestASecondSignatureIsTolerated: a checkpoint may carry signatures of another algorithm, of the log's
// name too, that those who do not know it pass over.
func TestASecondSignatureIsTolerated(t *testing.T) {
	f, trust, _ := witnessed(t, "1", true, "a")
	f.act(t, 0, 5)
	f.publish(t)
	for _, name := range []string{"checkpoint", "checkpoints/10", "cosigned/10"} {
		signed, etag, err := f.tiles.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		first := bytes.Index(signed, []byte("\n\n\u2014 ")) + 2
		first += bytes.IndexByte(signed[first:], '\n') + 1
		more := "\u2014 " + f.keys.Verifier.Name() + " " + base64.StdEncoding.EncodeToString(append([]byte{9, 9, 9, 9}, make([]byte, 2420)...)) + "\n"
		if _, ok, err := f.tiles.Swap(t.Context(), name, slices.Concat(signed[:first], []byte(more), signed[first:]), etag); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	if got := findings(t, f, trust, audit.VerifyOptions{}); len(got) > 0 {
		t.Error(got)
	}
	log, err := audit.Open(t.Context(), func() audit.Options { o := f.options(); o.Trust = trust; return o }())
	if err != nil {
		t.Fatal(err)
	}
	f.act(t, 10, 5)
	if _, err := log.Publish(t.Context()); err != nil {
		t.Error(err)
	}
}

func FuzzTrustAndWitness(f *testing.F) {
	_, logKey, err := note.GenerateKey(rand.Reader, "example.org/log")
	if err != nil {
		f.Fatal(err)
	}
	w, err := audit.OpenWitness(f.TempDir(), "w.example", logKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("log "+logKey+"\nwitness w "+w.VKey()+" http://x\ngroup g any w\nquorum g\n"), []byte("old 0\n\nexample.org/log\n0\nAAAA\n\n— x y\n"))
	f.Fuzz(func(t *testing.T, policy, body []byte) {
		if tr, err := audit.ParseTrust("p", policy); err == nil {
			if _, err := tr.Open(body); err == nil {
				t.Error("opened a checkpoint that nobody signed")
			}
		}
		if _, err := w.Add(body); err == nil {
			t.Error("cosigned what the log did not sign")
		}
	})
}
