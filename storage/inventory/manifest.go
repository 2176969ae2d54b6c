package inventory

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Format is the form of a report's files.
type Format string

// The formats that are read.
const (
	CSV     Format = "CSV"
	Parquet Format = "Parquet"
)

// Manifest says what a report consists of.
type Manifest struct {
	Source      string    // the bucket that the report is of
	Destination string    // the bucket that its files are in
	Created     time.Time // when its making began
	Format      Format
	Columns     []string // of CSV files, in order
	Files       []File
}

// File is one file of a report.
type File struct {
	Key  string
	Size int64
	MD5  [16]byte
}

// MaxManifest bounds the size of a manifest: some 300,000 files.
const MaxManifest = 64 << 20

// ParseManifest reads and checks a manifest.json.
func ParseManifest(text []byte) (Manifest, error) {
	var raw struct {
		SourceBucket      string `json:"sourceBucket"`
		DestinationBucket string `json:"destinationBucket"`
		CreationTimestamp string `json:"creationTimestamp"`
		FileFormat        string `json:"fileFormat"`
		FileSchema        string `json:"fileSchema"`
		Files             []struct {
			Key  string `json:"key"`
			Size int64  `json:"size"`
			MD5  string `json:"MD5checksum"`
		} `json:"files"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return Manifest{}, errors.New("the manifest is not the JSON of an S3 Inventory")
	}
	m := Manifest{Source: raw.SourceBucket, Destination: raw.DestinationBucket, Format: Format(raw.FileFormat)}
	if i := strings.LastIndex(m.Destination, ":::"); i >= 0 { // arn:aws:s3:::BUCKET
		m.Destination = m.Destination[i+3:]
	}
	ms, err := strconv.ParseInt(raw.CreationTimestamp, 10, 64)
	switch {
	case err != nil || ms <= 0:
		return Manifest{}, errors.New("the manifest does not say when the report was made (creationTimestamp)")
	case m.Source == "":
		return Manifest{}, errors.New("the manifest does not say which bucket the report is of (sourceBucket)")
	case m.Format != CSV && m.Format != Parquet:
		return Manifest{}, fmt.Errorf("the report's files are %q: only CSV and Parquet are read", raw.FileFormat)
	case len(raw.Files) == 0:
		return Manifest{}, errors.New("the manifest names no files")
	}
	m.Created = time.UnixMilli(ms).UTC()
	if m.Format == CSV {
		for name := range strings.SplitSeq(raw.FileSchema, ",") {
			m.Columns = append(m.Columns, plain(name))
		}
		if _, err := placesOf(m.Columns); err != nil {
			return Manifest{}, fmt.Errorf("the manifest's fileSchema: %w", err)
		}
	}
	seen := map[string]bool{}
	for n, f := range raw.Files {
		sum, err := hex.DecodeString(f.MD5)
		if err != nil || len(sum) != 16 || f.Key == "" || f.Size < 0 || seen[f.Key] {
			return Manifest{}, fmt.Errorf("file %d of the manifest has no key of its own, no size or no MD5 checksum", n)
		}
		seen[f.Key] = true
		m.Files = append(m.Files, File{Key: f.Key, Size: f.Size, MD5: [16]byte(sum)})
	}
	return m, nil
}

// plain is a column's name as both formats have it: LastModifiedDate and last_modified_date are one.
func plain(name string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(name), "_", ""))
}

// places is where the columns that are read stand; -1 for one that is missing.
type places struct{ bucket, key, latest, marker, size, stored, etag int }

// placesOf finds the columns by name. All but bucket and key may be missing.
func placesOf(names []string) (places, error) {
	p := places{-1, -1, -1, -1, -1, -1, -1}
	at := map[string]*int{
		"bucket": &p.bucket, "key": &p.key, "islatest": &p.latest, "isdeletemarker": &p.marker,
		"size": &p.size, "lastmodifieddate": &p.stored, "etag": &p.etag,
	}
	for i, name := range names {
		if to := at[name]; to != nil {
			if *to >= 0 {
				return p, fmt.Errorf("the column %q comes twice", name)
			}
			*to = i
		}
	}
	if p.bucket < 0 || p.key < 0 {
		return p, errors.New("there is no column Bucket, or no column Key")
	}
	return p, nil
}
