package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"earshot/storage"

	"github.com/rogpeppe/go-internal/testscript"
)

// writeReport writes an inventory report of the bucket voice into a folder, as S3 would, made so long
// from now: report DIR AGE.
func writeReport(ts *testscript.TestScript, s *storage.Store, args []string) error {
	ahead, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	b, err := s.Bucket(context.Background(), "voice")
	if err != nil {
		return err
	}
	var text bytes.Buffer
	z := gzip.NewWriter(&text)
	for v, err := range b.All(context.Background(), "") {
		if err != nil {
			return err
		}
		fmt.Fprintf(z, "%q,%q,%q,%q,%q,%q\n", "voice", url.QueryEscape(v.ID.Key), fmt.Sprint(v.Latest), fmt.Sprint(v.Size), v.StoredAt.Format(time.RFC3339Nano), v.ETag)
	}
	if err := z.Close(); err != nil {
		return err
	}
	sum := md5.Sum(text.Bytes())
	manifest := fmt.Appendf(nil, `{"sourceBucket":"voice","destinationBucket":"arn:aws:s3:::reports","creationTimestamp":"%d","fileFormat":"CSV",
		"fileSchema":"Bucket, Key, IsLatest, Size, LastModifiedDate, ETag","files":[{"key":"data/1.csv.gz","size":%d,"MD5checksum":%q}]}`,
		time.Now().Add(ahead).UnixMilli(), text.Len(), hex.EncodeToString(sum[:]))
	whole := md5.Sum(manifest)
	dir := ts.MkAbs(args[0])
	for name, body := range map[string][]byte{"data/1.csv.gz": text.Bytes(), "2026/manifest.json": manifest, "2026/manifest.checksum": []byte(hex.EncodeToString(whole[:]))} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, body, 0o600); err != nil {
			return err
		}
	}
	return nil
}
