package retention_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"earshot"
	"earshot/audit"
	"earshot/retention"
	"earshot/storage"
	"earshot/storage/catalog"
)

// slowLists is a store that takes its time for a page of a listing, and notes how many it makes at once.
type slowLists struct {
	next      http.RoundTripper
	keys      []string   // of the bucket "voice", in order
	mu        sync.Mutex // guards what follows
	now, most int
	requests  int
}

func (s *slowLists) RoundTrip(req *http.Request) (*http.Response, error) {
	q := req.URL.Query()
	said := func(body string) *http.Response {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}
	}
	if q.Has("versioning") {
		return said("<VersioningConfiguration></VersioningConfiguration>"), nil
	}
	if q.Get("list-type") != "2" || !strings.HasPrefix(req.URL.Path, "/voice") {
		return s.next.RoundTrip(req)
	}
	s.mu.Lock()
	s.requests++
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(200 * time.Millisecond)
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	most := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil && n > 0 {
		most = min(n, most)
	}
	var rows strings.Builder
	n, last, prefix, after := 0, "", q.Get("prefix"), max(q.Get("start-after"), q.Get("continuation-token"))
	i, found := slices.BinarySearch(s.keys, max(after, prefix))
	if found && after >= prefix {
		i++
	}
	for ; i < len(s.keys) && strings.HasPrefix(s.keys[i], prefix) && n < most; n++ {
		key := s.keys[i]
		if at := strings.Index(key[len(prefix):], "/"); q.Get("delimiter") == "/" && at >= 0 {
			last = key[:len(prefix)+at+1]
			i, _ = slices.BinarySearch(s.keys, last+"\x7f")
			fmt.Fprintf(&rows, "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", last)
			last += "\x7f"
			continue
		}
		last = key
		i++
		fmt.Fprintf(&rows, "<Contents><Key>%s</Key><LastModified>2026-10-01T00:00:00.000Z</LastModified><ETag>e</ETag><Size>1</Size></Contents>", key)
	}
	more := i < len(s.keys) && strings.HasPrefix(s.keys[i], prefix)
	return said(fmt.Sprintf("<ListBucketResult><IsTruncated>%v</IsTruncated><NextContinuationToken>%s</NextContinuationToken>%s</ListBucketResult>", more, last, rows.String())), nil
}

// TestALongListIsSplit lists a bucket most of whose keys lie below one of many prefixes: a list that is over
// soon stays one, a long one is split, and everything is found once.
func TestALongListIsSplit(t *testing.T) {
	w := newSimWorld(t)
	for _, c := range []struct {
		keys  int
		split bool
	}{{9000, false}, {100_000, true}} {
		s := w.prepare(t, uint64(c.keys), false)
		synctest.Test(t, func(t *testing.T) {
			s.begin(t)
			lists := &slowLists{next: s.store}
			for i := range c.keys {
				key := fmt.Sprintf("clips/s%d/r%06d.wav", i%50, i)
				if i%10 > 0 {
					key = fmt.Sprintf("clips/s7/r%06d.wav", i)
				}
				lists.keys = append(lists.keys, key)
			}
			slices.Sort(lists.keys)
			db, err := catalog.Open(t.Context(), catalog.Options{Path: filepath.Join(s.dir, "catalog.db")})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			log, err := audit.Open(t.Context(), w.log(t, s.store, nil, db))
			if err != nil {
				t.Fatal(err)
			}
			store, err := storage.Connect(storage.Options{Endpoint: "http://sim", AccessKey: "a", SecretKey: "b", Transport: lists})
			if err != nil {
				t.Fatal(err)
			}
			r, err := retention.New(retention.Options{Store: store, Catalog: db, Log: log, Tagger: w.keys.Tagger, Policies: w.rules,
				By: earshot.Principal{Kind: earshot.Service, Name: "sim"}, Layout: retention.Layout{Recording: "clips/{subject}/{id}.{coding}"}, Lists: 4})
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			got, err := r.Scan(t.Context())
			if err != nil || len(got) != 1 || got[0].New != c.keys {
				t.Fatalf("%+v, %v", got, err)
			}
			took, alone := time.Since(began), time.Duration(c.keys/1000)*200*time.Millisecond
			if split := lists.most > 1; split != c.split {
				t.Errorf("%d keys: %d lists at once", c.keys, lists.most)
			}
			if c.split && took > alone*4/5 {
				t.Errorf("%d keys: %s, %d requests; one list takes %s", c.keys, took, lists.requests, alone)
			}
			if !c.split && lists.requests > c.keys/1000+2 {
				t.Errorf("%d keys: %d requests", c.keys, lists.requests)
			}
			t.Logf("%d keys: %s, %d requests; one list takes %s", c.keys, took, lists.requests, alone)
		})
	}
}
