package audit_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"earshot/audit"
)

// TestTamper flips every byte of every object in turn, and removes and swaps them: each is found.
func TestTamper(t *testing.T) {
	f := newFixture(t)
	for i := range 3 { // several partial tiles and checkpoints, and a full tile
		f.act(t, i*50, 50)
		f.publish(t)
	}
	if r := f.verify(t, audit.VerifyOptions{}); !r.OK() {
		t.Fatal(r.Findings)
	}
	clean := f.tiles.objects
	flips := 0
	for key, body := range clean {
		for i := range body {
			if len(body) > 3000 && i%41 != 0 { // every byte of small objects, some of the large ones
				continue
			}
			flips++
			bad := slices.Clone(body)
			bad[i] ^= 1 << (i % 8)
			f.tiles.objects = maps.Clone(clean)
			f.tiles.objects[key] = bad
			if r := f.verify(t, audit.VerifyOptions{}); r.OK() {
				t.Errorf("byte %d of %s was flipped and nobody noticed", i, key)
			}
		}
		f.tiles.objects = maps.Clone(clean)
		delete(f.tiles.objects, key)
		needed := key == "checkpoint" || key == "checkpoints/300" || !strings.Contains(key, ".p/") && !strings.HasPrefix(key, "checkpoints/") || strings.HasSuffix(key, ".p/44")
		if r := f.verify(t, audit.VerifyOptions{}); r.OK() && needed {
			t.Errorf("%s was removed and nobody noticed", key)
		}
	}
	t.Logf("%d flipped bytes in %d objects", flips, len(clean))
	f.tiles.objects = clean
	testEntries(t, f, clean)
}

// TestACheckpointHasOneForm changes the bits of a signature's base64 that decoding throws away.
func TestACheckpointHasOneForm(t *testing.T) {
	f := newFixture(t)
	signed := f.verify(t, audit.VerifyOptions{}).Signed
	if _, err := audit.TrustKey(f.keys.Verifier).Open(signed); err != nil {
		t.Fatal(err)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.LastIndexByte(string(signed), '=') - 1
	at := strings.IndexByte(alphabet, signed[last])
	for bits := 1; bits < 4; bits++ {
		bad := slices.Clone(signed)
		bad[last] = alphabet[at^bits]
		if _, err := audit.TrustKey(f.keys.Verifier).Open(bad); !errors.Is(err, audit.ErrUnverified) {
			t.Errorf("with the unread bits %02b: got %v, want ErrUnverified", bits, err)
		}
	}
}

// testEntries swaps, repeats and removes entries within their bundle.
func testEntries(t *testing.T, f *fixture, clean map[string][]byte) {
	t.Helper()
	const key = "tile/entries/000"
	var entries []string
	for b := clean[key]; len(b) > 0; {
		n := 2 + int(b[0])<<8 + int(b[1])
		entries = append(entries, string(b[:n]))
		b = b[n:]
	}
	for name, change := range map[string]func([]string) []string{
		"swapped":  func(e []string) []string { e[3], e[4] = e[4], e[3]; return e },
		"removed":  func(e []string) []string { return append(e[:7], e[8:]...) },
		"repeated": func(e []string) []string { e[9] = e[8]; return e },
	} {
		f.tiles.objects = maps.Clone(clean)
		f.tiles.objects[key] = []byte(strings.Join(change(slices.Clone(entries)), ""))
		if r := f.verify(t, audit.VerifyOptions{}); r.OK() {
			t.Errorf("an entry was %s and nobody noticed", name)
		}
	}
	f.tiles.objects = clean
}
