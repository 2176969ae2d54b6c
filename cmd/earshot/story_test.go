package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"earshot/storage"
	"earshot/storage/embedded"

	"github.com/rogpeppe/go-internal/testscript"
)

// storyCommands are what the story of people needs besides earshot itself.
func storyCommands() map[string]func(*testscript.TestScript, bool, []string) {
	take := func(name, pattern string) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, _ bool, _ []string) {
			m := regexp.MustCompile(pattern).FindStringSubmatch(ts.ReadFile("stdout"))
			if m == nil {
				ts.Fatalf("nothing of the form %s was printed", pattern)
			}
			ts.Setenv(name, m[1])
		}
	}
	return map[string]func(*testscript.TestScript, bool, []string){
		"digest": take("DIGEST", `"digest":"([0-9a-f]{64})"`),
		"holdid": take("HOLD", `(hold-[0-9a-f]+)`),
		// fill makes the bucket and stores recordings of four people; listed prints its keys; rows prints an
		// object without compression.
		"fill": inStore(fillStory),
		// endpoint starts a store that is nobody's own, with these buckets, for the rest of the script.
		"endpoint": startEndpoint,
		"listed":   inStore(listStory),
		"rows":     inStore(rowsStory),
	}
}

// inStore does something in the embedded store of site, which no earshot has open meanwhile.
func inStore(do func(ts *testscript.TestScript, s *storage.Store, args []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		ctx := context.Background()
		server, err := embedded.Start(ctx, ts.MkAbs("site/store"), "store")
		ts.Check(err)
		defer server.Close()
		s, err := storage.Connect(storage.Options{Endpoint: server.Endpoint, Region: embedded.Region, AccessKey: server.AccessKey, SecretKey: server.SecretKey})
		ts.Check(err)
		ts.Check(do(ts, s, args))
	}
}

func startEndpoint(ts *testscript.TestScript, _ bool, buckets []string) {
	ctx := context.Background()
	server, err := embedded.Start(ctx, ts.MkAbs("endpoint"), "store")
	ts.Check(err)
	ts.Defer(func() { _ = server.Close() })
	s, err := storage.Connect(storage.Options{Endpoint: server.Endpoint, Region: embedded.Region, AccessKey: server.AccessKey, SecretKey: server.SecretKey})
	ts.Check(err)
	for _, b := range buckets {
		ts.Check(s.MakeBucket(ctx, b, true, true))
	}
	for name, value := range map[string]string{
		"ENDPOINT": server.Endpoint, "REGION": embedded.Region, "EARSHOT_ACCESS_KEY": server.AccessKey, "EARSHOT_SECRET_KEY": server.SecretKey,
	} {
		ts.Setenv(name, value)
	}
}

func show(ts *testscript.TestScript, text string) error {
	path := filepath.Join(ts.Getenv("WORK"), "shown")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return ts.Exec("cat", path)
}

func fillStory(ts *testscript.TestScript, s *storage.Store, _ []string) error {
	ctx, now := context.Background(), time.Now().UTC()
	people, err := os.ReadFile(ts.MkAbs("people.csv"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(ts.MkAbs("people.csv"), bytes.ReplaceAll(people, []byte("TODAY"), []byte(now.Format(time.DateOnly))), 0o600); err != nil {
		return err
	}
	if err := s.MakeBucket(ctx, "voice", true, true); err != nil {
		return err
	}
	b, err := s.Bucket(ctx, "voice")
	if err != nil {
		return err
	}
	sound, err := os.ReadFile(ts.Getenv("SAMPLE"))
	if err != nil {
		return err
	}
	day := now.AddDate(0, 0, -5)
	put := func(key string, body []byte) {
		_, putErr := b.Put(ctx, key, body, "application/octet-stream", map[string]string{"captured-at": day.Format(time.RFC3339)}, nil)
		if err == nil {
			err = putErr
		}
	}
	var rows bytes.Buffer
	for _, who := range []string{"s-inactive", "s-adult", "s-leaving", "s-child"} {
		for _, id := range []string{"first", "second"} {
			id = id + "-of-" + who[2:]
			key := fmt.Sprintf("clips/%s/dev/%s/%s.wav", who, day.Format("2006/01/02"), id)
			put(key, sound) // an older version
			put(key, sound)
			put("events/"+id+".json", []byte(`{"event":{"header":{"namespace":"SpeechRecognizer","name":"Recognize"},"payload":{"initiator":{"type":"WAKEWORD","payload":{"wakeWordIndices":{"startIndexInSamples":800,"endIndexInSamples":9600}}}}}}`))
			put("transcripts/"+id+".json", []byte(`{"text":"this is `+who+`"}`))
			if who != "s-child" {
				put("voiceprints/"+who+"/"+id+".bin", []byte("voice of "+who))
			}
			if who == "s-leaving" {
				ts.Setenv("HELDKEY", key)
			}
		}
		fmt.Fprintf(&rows, `{"at":%q,"household":%q,"model":"Pixel 8","network":"home","device":{"id":"cam"}}`+"\n", now.Add(-time.Hour).Format(time.RFC3339), who)
		fmt.Fprintf(&rows, `{"at":%q,"household":%q,"kind":"old-motion"}`+"\n", now.AddDate(0, 0, -40).Format(time.RFC3339), who)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(rows.Bytes())
	_ = z.Close()
	put("eventlogs/motion/today.jsonl.gz", zipped.Bytes())
	return err
}

func listStory(ts *testscript.TestScript, s *storage.Store, args []string) error {
	b, err := s.Bucket(context.Background(), args[0])
	if err != nil {
		return err
	}
	var keys strings.Builder
	for v, err := range b.All(context.Background(), "") {
		if err != nil {
			return err
		}
		fmt.Fprintln(&keys, v.ID.Key)
	}
	return show(ts, keys.String())
}

func rowsStory(ts *testscript.TestScript, s *storage.Store, args []string) error {
	b, err := s.Bucket(context.Background(), "voice")
	if err != nil {
		return err
	}
	body, _, err := b.Folder("", nil).Get(context.Background(), args[0])
	if err != nil {
		return err
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return err
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(z); err != nil {
		return err
	}
	return show(ts, plain.String())
}
