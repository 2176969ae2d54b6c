package inventory_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/storage/inventory"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

var made = time.Date(2026, 11, 20, 1, 0, 0, 0, time.UTC)

// report is a report in the making: its files by key.
type report struct {
	manifest map[string]any
	files    map[string][]byte
	order    []string
	memory   int // bound of the sorting, if another than the usual one
}

func newReport(format, schema string) *report {
	return &report{files: map[string][]byte{}, manifest: map[string]any{
		"sourceBucket": "voice", "destinationBucket": "arn:aws:s3:::reports", "version": "2016-11-30",
		"creationTimestamp": fmt.Sprint(made.UnixMilli()), "fileFormat": format, "fileSchema": schema,
	}}
}

func (r *report) add(body []byte) *report {
	key := fmt.Sprintf("voice/all/data/%d", len(r.order))
	r.files[key], r.order = body, append(r.order, key)
	return r
}

func (r *report) text(tb testing.TB) []byte {
	tb.Helper()
	var list []map[string]any
	for _, key := range r.order {
		sum := md5.Sum(r.files[key])
		list = append(list, map[string]any{"key": key, "size": len(r.files[key]), "MD5checksum": hex.EncodeToString(sum[:])})
	}
	r.manifest["files"] = list
	text, err := json.Marshal(r.manifest)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func (r *report) fetch(_ context.Context, key string, w io.Writer, reset func() error) error {
	if err := reset(); err != nil {
		return err
	}
	_, err := w.Write(r.files[key])
	return err
}

func (r *report) stage(tb testing.TB) (*inventory.Staged, error) {
	tb.Helper()
	m, err := inventory.ParseManifest(r.text(tb))
	if err != nil {
		return nil, err
	}
	if r.memory > 0 {
		return inventory.StageWithin(context.Background(), m, r.fetch, tb.TempDir(), r.memory)
	}
	return inventory.Stage(context.Background(), m, r.fetch, tb.TempDir())
}

func (r *report) recordings(tb testing.TB) []earshot.Recording {
	tb.Helper()
	s, err := r.stage(tb)
	if err != nil {
		tb.Fatal(err)
	}
	defer s.Close()
	var out []earshot.Recording
	for range 2 { // it can be read again
		out = nil
		for rec, err := range s.Recordings() {
			if err != nil {
				tb.Fatal(err)
			}
			out = append(out, rec)
		}
	}
	return out
}

func zipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.Bytes()
}

func object(key, etag string, size int64, at time.Time) earshot.Recording {
	return earshot.Recording{ID: earshot.RecordingID{Bucket: "voice", Key: key}, ETag: etag, Size: size, StoredAt: at}
}

const allColumns = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass"

// parquetRow is what S3 writes, as far as we can tell from its documentation.
type parquetRow struct {
	ETag     *string    `parquet:"e_tag,optional"`
	Key      string     `parquet:"key"`
	Bucket   string     `parquet:"bucket"`
	Version  *string    `parquet:"version_id,optional"`
	Latest   *bool      `parquet:"is_latest,optional"`
	Marker   *bool      `parquet:"is_delete_marker,optional"`
	Size     *int64     `parquet:"size,optional"`
	Modified *time.Time `parquet:"last_modified_date,optional,timestamp(millisecond)"`
}

func parquetFile(tb testing.TB, rows []parquetRow) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&b, parquet.Compression(&parquet.Snappy))
	if _, err := w.Write(rows); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func ptr[T any](v T) *T { return &v }

func TestRecordings(t *testing.T) {
	at := func(h int) time.Time { return made.Add(-time.Duration(h) * time.Hour) }
	stamp := func(h int) string { return at(h).Format("2006-01-02T15:04:05.000Z") }
	for law, c := range map[string]struct {
		report *report
		want   []earshot.Recording
	}{
		"rowsOfSeveralFilesComeInOrderOfKey": {
			newReport("CSV", "Bucket, Key, Size, LastModifiedDate, ETag").
				add(zipped(`"voice","clips/b","2","` + stamp(2) + `","e2"` + "\n" + `"voice","clips/a","1","` + stamp(1) + `","e1"` + "\n")).
				add(zipped(`"voice","a/z","3","` + stamp(3) + `","e3"` + "\n")),
			[]earshot.Recording{object("a/z", "e3", 3, at(3)), object("clips/a", "e1", 1, at(1)), object("clips/b", "e2", 2, at(2))},
		},
		"columnsComeInAnyOrderAndKeysAreEncoded": {
			newReport("CSV", "ETag, Key, LastModifiedDate, Bucket, Size").
				add(zipped(`"e1","clips%2Fs1/with+space+%2B+%C3%BC%0A.wav","` + stamp(1) + `","voice","1"` + "\n")),
			[]earshot.Recording{object("clips/s1/with space + ü\n.wav", "e1", 1, at(1))},
		},
		"theNewestVersionThatIsNoMarkerStands": {
			newReport("CSV", allColumns).add(zipped(strings.Join([]string{
				`"voice","k","v1","false","false","1","` + stamp(9) + `","old","STANDARD"`,
				`"voice","k","v2","true","false","2","` + stamp(8) + `","new","STANDARD"`,
				`"voice","hidden","v2","true","true","","` + stamp(7) + `","",""`,
				`"voice","hidden","v0","false","false","5","` + stamp(9) + `","oldest","STANDARD"`,
				`"voice","hidden","v1","false","false","6","` + stamp(8) + `","below","STANDARD"`,
				`"voice","onlymarker","v1","true","true","","` + stamp(8) + `","",""`,
				`"voice","folder/","v1","true","false","0","` + stamp(8) + `","d41d8","STANDARD"`,
			}, "\n") + "\n")),
			[]earshot.Recording{object("hidden", "below", 6, at(8)), object("k", "new", 2, at(8))},
		},
		"ofTwoVersionsOfOneMomentNoneIsTheNewer": {
			newReport("CSV", allColumns).add(zipped(strings.Join([]string{
				`"voice","k","v3","true","true","","` + stamp(7) + `","",""`,
				`"voice","k","v2","false","false","2","` + stamp(8) + `","one","STANDARD"`,
				`"voice","k","v1","false","false","2","` + stamp(8) + `","other","STANDARD"`,
			}, "\n") + "\n")),
			[]earshot.Recording{object("k", "", 2, at(8))},
		},
		"missingColumnsAreNotMadeUp": {
			newReport("CSV", "Bucket, Key").add(zipped(`"voice","k"` + "\n")),
			[]earshot.Recording{object("k", "", -1, time.Time{})},
		},
		"aFileWithoutRowsIsFine": {newReport("CSV", "Bucket, Key").add(zipped("")), nil},
		"parquetSaysTheSame": {
			newReport("Parquet", "message s3.inventory { ... }").add(parquetFile(t, []parquetRow{
				{Bucket: "voice", Key: "hidden", Version: ptr("v2"), Latest: ptr(true), Marker: ptr(true), Modified: ptr(at(7))},
				{Bucket: "voice", Key: "hidden", Version: ptr("v1"), Latest: ptr(false), Marker: ptr(false), Size: ptr(int64(6)), Modified: ptr(at(8)), ETag: ptr("below")},
				{Bucket: "voice", Key: "a%2Fb +", Version: ptr("v1"), Latest: ptr(true), Marker: ptr(false), Size: ptr(int64(2)), Modified: ptr(at(9)), ETag: ptr("e")},
			})),
			[]earshot.Recording{object("a%2Fb +", "e", 2, at(9)), object("hidden", "below", 6, at(8))},
		},
	} {
		t.Run(law, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.report.recordings(t)); diff != "" {
				t.Errorf("recordings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNotWholeIsRefused(t *testing.T) {
	good := func() *report {
		return newReport("CSV", "Bucket, Key, Size").add(zipped(`"voice","a","1"` + "\n" + `"voice","b","2"` + "\n"))
	}
	set := func(r *report, name string, v any) *report { r.manifest[name] = v; return r }
	for law, c := range map[string]struct {
		report  *report
		damage  func(r *report) // after the manifest was written
		damaged bool
	}{
		"aFileThatIsCutShort":         {good(), func(r *report) { f := r.files[r.order[0]]; r.files[r.order[0]] = f[:len(f)-3] }, true},
		"aFileWithAnotherBit":         {good(), func(r *report) { r.files[r.order[0]][12] ^= 1 }, true},
		"aFileThatIsTooLarge":         {good(), func(r *report) { r.files[r.order[0]] = make([]byte, 4<<20) }, true},
		"rowsOfAnotherBucket":         {newReport("CSV", "Bucket, Key").add(zipped(`"other","a"` + "\n")), nil, true},
		"rowsWithTooFewColumns":       {newReport("CSV", "Bucket, Key").add(zipped(`"voice"` + "\n")), nil, true},
		"aSizeThatIsNoNumber":         {newReport("CSV", "Bucket, Key, Size").add(zipped(`"voice","a","x"` + "\n")), nil, true},
		"aDateThatIsNone":             {newReport("CSV", "Bucket, Key, LastModifiedDate").add(zipped(`"voice","a","yesterday"` + "\n")), nil, true},
		"aKeyThatIsNotEncoded":        {newReport("CSV", "Bucket, Key").add(zipped(`"voice","a%zz"` + "\n")), nil, true},
		"aKeyLongerThanAny":           {newReport("CSV", "Bucket, Key").add(zipped(`"voice","` + strings.Repeat("a", 1025) + `"` + "\n")), nil, true},
		"aLineWithoutEnd":             {newReport("CSV", "Bucket, Key").add(zipped(`"voice","` + strings.Repeat("a", 1<<20) + `"` + "\n")), nil, true},
		"csvThatIsNotZipped":          {newReport("CSV", "Bucket, Key").add([]byte(`"voice","a"` + "\n")), nil, true},
		"aSecondFileThatIsBad":        {good().add([]byte("nonsense")), nil, true},
		"parquetThatIsNone":           {newReport("Parquet", "").add([]byte("PAR1 nonsense PAR1")), nil, true},
		"aManifestWithoutADate":       {set(good(), "creationTimestamp", ""), nil, false},
		"aManifestWithoutABucket":     {set(good(), "sourceBucket", ""), nil, false},
		"aFormatThatIsNotRead":        {set(good(), "fileFormat", "ORC"), nil, false},
		"aSchemaWithoutKeys":          {set(good(), "fileSchema", "Bucket, Size"), nil, false},
		"aSchemaWithOneColumnTwice":   {set(good(), "fileSchema", "Bucket, Key, key"), nil, false},
		"aManifestWithoutFiles":       {newReport("CSV", "Bucket, Key"), nil, false},
		"aParquetColumnOfAnotherKind": {newReport("Parquet", "").add(otherKind(t)), nil, true},
	} {
		t.Run(law, func(t *testing.T) {
			m, err := inventory.ParseManifest(c.report.text(t))
			if err == nil {
				if c.damage != nil {
					c.damage(c.report)
				}
				var s *inventory.Staged
				if s, err = inventory.Stage(t.Context(), m, c.report.fetch, t.TempDir()); err == nil {
					s.Close()
				}
			}
			if err == nil || errors.Is(err, inventory.ErrDamaged) != c.damaged {
				t.Errorf("got %v; damaged: want %v", err, c.damaged)
			}
		})
	}
}

func otherKind(tb testing.TB) []byte {
	tb.Helper()
	var b bytes.Buffer
	type odd struct {
		Bucket string `parquet:"bucket"`
		Key    string `parquet:"key"`
		Size   string `parquet:"size"`
	}
	if err := parquet.Write(&b, []odd{{"voice", "k", "12"}}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestASmallFileThatClaimsMuchCostsLittle(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		if _, err := newReport("Parquet", "").add([]byte("PAR1\xff\xff\xff\x7f\xff\xff\xff\x7fPAR1")).stage(t); err == nil {
			t.Fatal("it was read")
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 20<<20 {
		t.Errorf("%d bytes were allocated for ten files of 16 bytes", n)
	}
}

// TestManyRowsAreSortedOnDisk goes through several runs and a merge of merges.
func TestManyRowsAreSortedOnDisk(t *testing.T) {
	const rows = 20_000
	perm := rand.New(rand.NewPCG(1, 2)).Perm(rows)
	r := newReport("CSV", "Bucket, Key, Size")
	r.memory = 20_000 // some two hundred rows a run
	var b strings.Builder
	for i, n := range perm {
		fmt.Fprintf(&b, "\"voice\",\"clips/%s/%06d\",\"%d\"\n", url.QueryEscape("s/1"), n, n+1)
		if i%5000 == 4999 {
			r.add(zipped(b.String()))
			b.Reset()
		}
	}
	got := r.recordings(t)
	if len(got) != rows {
		t.Fatalf("got %d recordings, want %d", len(got), rows)
	}
	for i, rec := range got {
		if rec.ID.Key != fmt.Sprintf("clips/s/1/%06d", i) || rec.Size != int64(i+1) {
			t.Fatalf("recording %d: got %+v", i, rec)
		}
	}
}
