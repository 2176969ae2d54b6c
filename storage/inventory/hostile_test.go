package inventory_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"earshot/storage/inventory"
)

func FuzzCSV(f *testing.F) {
	f.Add("Bucket, Key, Size, LastModifiedDate, ETag, IsLatest, IsDeleteMarker", []byte(`"voice","a%20b","1","2026-11-20T01:02:03.000Z","e","true","false"`+"\n"))
	f.Add("Key, Bucket", []byte("a,voice\nb,voice\na,voice\n"))
	f.Fuzz(func(t *testing.T, schema string, text []byte) {
		r := newReport("CSV", schema).add(zipped(string(text)))
		s, err := r.stage(t)
		if err != nil {
			return
		}
		defer s.Close()
		inOrder(t, s)
	})
}

func FuzzParquet(f *testing.F) {
	f.Add(parquetFile(f, []parquetRow{{Bucket: "voice", Key: "b", Size: ptr(int64(1)), Modified: ptr(made)}, {Bucket: "voice", Key: "a"}}))
	f.Add(otherKind(f))
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := newReport("Parquet", "").add(body).stage(t)
		if err != nil {
			return
		}
		defer s.Close()
		inOrder(t, s)
	})
}

func FuzzManifest(f *testing.F) {
	f.Add(newReport("CSV", "Bucket, Key").add([]byte("x")).text(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := inventory.ParseManifest(text)
		if err == nil && (m.Source == "" || len(m.Files) == 0 || m.Created.IsZero()) {
			t.Errorf("accepted %+v", m)
		}
	})
}

func inOrder(t *testing.T, s *inventory.Staged) {
	t.Helper()
	last := ""
	for rec, err := range s.Recordings() {
		if err != nil {
			t.Fatal(err)
		}
		if rec.ID.Key <= last || rec.ID.Bucket != "voice" || rec.Size < -1 {
			t.Fatalf("%+v behind %q", rec, last)
		}
		last = rec.ID.Key
	}
}

// BenchmarkStage reads a report of a million rows; heap-MB is the most that was in use.
func BenchmarkStage(b *testing.B) {
	const rows = 1_000_000
	perm := rand.New(rand.NewPCG(1, 2)).Perm(rows)
	key := func(n int) string { return fmt.Sprintf("clips/s%05d/dev/2026/11/20/r%07d.wav", n%5000, n) }
	csvReport, parquetReport := newReport("CSV", "Bucket, Key, Size, LastModifiedDate, ETag"), newReport("Parquet", "")
	var text bytes.Buffer
	z := gzip.NewWriter(&text)
	var list []parquetRow
	for _, n := range perm {
		fmt.Fprintf(z, "\"voice\",\"%s\",\"4096\",\"2026-11-20T01:02:03.000Z\",\"%032x\"\n", key(n), n)
		list = append(list, parquetRow{Bucket: "voice", Key: key(n), Size: ptr(int64(4096)), Modified: &made, ETag: ptr(fmt.Sprintf("%032x", n))})
	}
	_ = z.Close()
	csvReport.add(text.Bytes())
	parquetReport.add(parquetFile(b, list))
	runtime.KeepAlive(list)
	clear(list)
	for name, r := range map[string]*report{"csv": csvReport, "parquet": parquetReport} {
		b.Run(name, func(b *testing.B) {
			runtime.GC()
			var start runtime.MemStats
			runtime.ReadMemStats(&start)
			peak := uint64(0)
			for b.Loop() {
				s, err := r.stage(b)
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for _, err := range s.Recordings() {
					if err != nil {
						b.Fatal(err)
					}
					if n++; n%50_000 == 0 {
						var now runtime.MemStats
						runtime.ReadMemStats(&now)
						peak = max(peak, now.HeapInuse)
					}
				}
				if n != rows {
					b.Fatal(n)
				}
				s.Close()
			}
			b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(int64(peak)-int64(start.HeapInuse))/(1<<20), "heap-MB")
		})
	}
}

// TestDamagedParquetComesToAnEnd changes some bytes of a good file, again and again: it is read or
// refused, soon, and for little memory. (The library's LZ4 never came to an end on one of these.)
func TestDamagedParquetComesToAnEnd(t *testing.T) {
	seed := parquetFile(t, []parquetRow{{Bucket: "voice", Key: "b", Size: ptr(int64(1)), Modified: ptr(made)}, {Bucket: "voice", Key: "a"}})
	r := rand.New(rand.NewPCG(1, 2))
	const files = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range files {
		b := bytes.Clone(seed)
		for range 1 + r.IntN(3) {
			b[r.IntN(len(b))] = byte(r.IntN(256))
		}
		began := time.Now()
		if s, err := newReport("Parquet", "").add(b).stage(t); err == nil {
			s.Close()
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Fatalf("file %d took %s", i, d)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / files; n > 4<<20 {
		t.Errorf("%d bytes were allocated for each file of %d bytes", n, len(seed))
	}
}

// TestRowsOverSeveralLinesAreRefused where they begin, however far they go: for little memory.
func TestRowsOverSeveralLinesAreRefused(t *testing.T) {
	endless := "\"voice\",\"" + strings.Repeat(strings.Repeat("x", 999)+"\n", 64<<10)
	for name, c := range map[string]struct{ text, want string }{
		"short":     {"\"voice\",\"a\"\n\"voice\",\"b\nc\"\n", "row 2: a line ends within quotes"},
		"endless":   {endless, "row 1: a line ends within quotes"},
		"behind":    {strings.Repeat("\"voice\",\"a\"\n", 9999) + endless, "row 10000: a line ends within quotes"},
		"unquoted":  {"voice,a\nvoice,b\"\nvoice,c\n", "row 2: "},
		"longer":    {"voice,a\nvoice," + strings.Repeat("x", 1<<20), "row 2: the line is longer than any"},
		"quotesToo": {"\"voice\",\"a\"\"b\"\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReport("CSV", "Bucket, Key").add(zipped(c.text))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s, err := r.stage(t)
			runtime.ReadMemStats(&after)
			if err == nil {
				s.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, inventory.ErrDamaged) || !strings.Contains(fmt.Sprint(err), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
				t.Errorf("%d bytes were allocated", n)
			}
		})
	}
}
