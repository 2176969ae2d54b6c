package main

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"earshot"
	"earshot/storage"
	"earshot/storage/catalog"
	"earshot/storage/storagetest"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/notification"
)

const eventsToken = "the-token-of-the-webhook"

// within waits until something holds, for as long as an event may take.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 15*time.Second; time.Sleep(50 * time.Millisecond) {
		if holds() {
			t.Logf("%s after %s", what, time.Since(start).Round(10*time.Millisecond))
			return
		}
	}
	t.Fatalf("not within 15 s: %s", what)
}

// freeAddress is an address of this machine that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestEventsOfMinIO: a real MinIO tells a real serve what came and went; the catalog knows within
// seconds, without a scan.
func TestEventsOfMinIO(t *testing.T) {
	addr := freeAddress(t)
	o := storagetest.MinIO(t, "MINIO_NOTIFY_WEBHOOK_ENABLE_x=on", "MINIO_NOTIFY_WEBHOOK_ENDPOINT_x=http://"+addr+"/events", "MINIO_NOTIFY_WEBHOOK_AUTH_TOKEN_x="+eventsToken)
	a, dir, voice := siteOn(t, o, initOptions{}, scalePolicy)
	appendTo(t, filepath.Join(dir, "earshot.yaml"), "scan: {webhook_token_file: token}\n")
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(eventsToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	i, err := a.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- a.serve(ctx, i, addr) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	within(t, "serve answers", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	notifyBy(t, o, "voice", "arn:minio:sqs::x:webhook")
	followed(t, voice, i.db)
}

// followed stores, replaces and removes, and waits for the catalog to know.
func followed(t *testing.T, b *storage.Bucket, db *catalog.DB) {
	t.Helper()
	key := "clips/s1/dev/2026/11/20/with space + ü.wav"
	row := func() catalog.Row {
		r, err := db.Recording(t.Context(), "voice", key)
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			t.Fatal(err)
		}
		return r
	}
	put := func(text string) string {
		id, err := b.Put(t.Context(), key, []byte(text), "audio/wav", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, err := b.Head(t.Context(), key, id.Version)
		if err != nil {
			t.Fatal(err)
		}
		return h.ETag
	}
	for _, text := range []string{"sound", "another sound"} {
		etag := put(text)
		within(t, "what came is in the catalog", func() bool { return row().Recording.ETag == etag })
	}
	versions, err := b.Versions(t.Context(), key)
	if err != nil || len(versions) != 2 {
		t.Fatal(len(versions), err)
	}
	for _, v := range versions {
		for _, err := range b.Destroy(t.Context(), []earshot.RecordingID{v.ID}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	within(t, "what went is gone", func() bool { return !row().GoneAt.IsZero() })
}

func notifyBy(t *testing.T, o storage.Options, bucket, arn string) {
	t.Helper()
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	target, err := notification.NewArnFromString(arn)
	if err != nil {
		t.Fatal(err)
	}
	conf := notification.NewConfig(target)
	conf.AddEvents(notification.ObjectCreatedAll, notification.ObjectRemovedAll)
	var all notification.Configuration
	all.AddQueue(conf)
	if err := c.SetBucketNotification(t.Context(), bucket, all); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
