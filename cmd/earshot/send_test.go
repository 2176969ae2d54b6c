package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/storage/catalog"
)

// TestManyEntriesAreNotKeptWaiting: serve publishes what nobody waits for when there are 256 of it.
func TestManyEntriesAreNotKeptWaiting(t *testing.T) {
	a := &app{in: strings.NewReader(""), out: discard{}, err: discard{}, as: "reader"}
	if err := a.initialise(t.Context(), filepath.Join(t.TempDir(), "site"), initOptions{deaf: true, origin: "example.org/log", bucket: demoBucket, packs: []string{"voice-assistant"}}); err != nil {
		t.Fatal(err)
	}
	i, err := a.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	if _, err := i.log.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		waiting int
		since   time.Duration
		want    bool
	}{{0, time.Second, false}, {0, time.Minute, true}, {publishFrom - 1, 30 * time.Second, false}, {publishFrom, time.Second, false}, {publishFrom, 10 * time.Second, true}} {
		n, err := i.db.Head().Waiting(t.Context(), 2*publishFrom)
		if err != nil {
			t.Fatal(err)
		}
		for ; n < c.waiting; n++ {
			if err := i.db.Head().Say(t.Context(), earshot.Leaf{ID: strings.Repeat("0", 29) + fmt.Sprintf("%03d", n), Body: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
		if got := i.publishNow(t.Context(), c.since); got != c.want {
			t.Errorf("%d wait, %s since: got %v", c.waiting, c.since, got)
		}
	}
}

// TestSendingGoesOnOverShards: a receiver gets every entry once, those of a closed tree too, and of the
// next from its beginning.
func TestSendingGoesOnOverShards(t *testing.T) {
	a := &app{in: strings.NewReader(""), out: discard{}, err: discard{}, as: "sender"}
	dir := filepath.Join(t.TempDir(), "site")
	if err := a.initialise(t.Context(), dir, initOptions{deaf: true, origin: "example.org/log", bucket: demoBucket, packs: []string{"voice-assistant"}}); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		var events []struct {
			Source string `json:"source"`
			Index  string `json:"logindex"`
		}
		if err := json.Unmarshal(text, &events); err != nil {
			t.Error(err)
		}
		for _, e := range events {
			got[e.Source] = append(got[e.Source], e.Index)
		}
	}))
	defer server.Close()
	i, err := a.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { i.close() }()
	if err := i.store.MakeBucket(t.Context(), demoBucket, true, false); err != nil {
		t.Fatal(err)
	}
	cursor := filepath.Join(t.TempDir(), "cursor")
	send := func() int64 {
		t.Helper()
		out, err := a.send(t.Context(), i, i.trust, server.URL, cursor)
		if err != nil {
			t.Fatal(err)
		}
		return out.entries
	}
	if err := i.runner.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := i.log.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := send(); n == 0 || send() != 0 {
		t.Fatalf("%d entries", n)
	}
	// A strict log waits until its witnesses can know the next shard's key.
	witness, err := audit.OpenWitness(t.TempDir(), "w.example", i.keys.VKey)
	if err != nil {
		t.Fatal(err)
	}
	before := i.trust
	if i.trust, err = audit.ParseTrust("policy", []byte("log "+i.keys.VKey+"\nwitness w "+witness.VKey()+"\nquorum w\n")); err != nil {
		t.Fatal(err)
	}
	i.cfg.Log.Strict = true
	if _, _, err := a.newShard(t.Context(), i, catalog.Shard{Origin: "example.org/2027", Prefix: "2027/"}); err == nil || !strings.Contains(err.Error(), "--prepare") {
		t.Fatalf("got %v, want to be told to prepare the key", err)
	}
	i.trust, i.cfg.Log.Strict = before, false
	if _, _, err := a.newShard(t.Context(), i, catalog.Shard{Origin: "example.org/2027", Prefix: "2027/"}); err != nil {
		t.Fatal(err)
	}
	i.close()
	if i, err = a.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := send(); n < 3 { // an inventory, the end of the one tree and the beginning of the other, at least
		t.Errorf("%d entries after a new shard", n)
	}
	if n := send(); n != 0 {
		t.Errorf("%d entries are sent again", n)
	}
	if len(got) != 2 {
		t.Errorf("from %d trees", len(got))
	}
	for source, indexes := range got {
		for n, index := range indexes {
			var at int
			if err := json.Unmarshal([]byte(index), &at); err != nil || at != n {
				t.Errorf("%s: event %d has the index %s", source, n, index)
			}
		}
	}
}
