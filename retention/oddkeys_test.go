package retention_test

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"earshot/retention"
	"earshot/storage"
	"earshot/storage/catalog"
	"earshot/storage/storagetest"
)

// oddly names some objects in listings as clients cannot, and has such metadata.
type oddly struct{ next http.RoundTripper }

func oddName(text string) string {
	return strings.NewReplacer("zero-byte", "%00", "no-utf8", "%FF", "<EncodingType></EncodingType>", "<EncodingType>url</EncodingType>").Replace(text)
}

func (o oddly) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := o.next.RoundTrip(req)
	if err == nil && req.Method == http.MethodHead {
		for _, values := range resp.Header {
			for i, v := range values {
				values[i] = strings.ReplaceAll(v, "no-utf8", "J\xf6rg")
			}
		}
	}
	if q := req.URL.Query(); err != nil || req.Method != http.MethodGet || !q.Has("list-type") && !q.Has("versions") {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	body = []byte(oddName(string(body)))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, resp.Body.Close()
}

// TestKeysThatAreNoText: what a catalog cannot hold does not keep the rest from it, is counted, and is not named.
func TestKeysThatAreNoText(t *testing.T) {
	ways := map[string]func(w *world, p *process) (retention.Scanned, error){
		"listed": func(_ *world, p *process) (retention.Scanned, error) {
			got, err := p.runner.Scan(t.Context())
			return got[0], err
		},
		"listedRecently": func(_ *world, p *process) (retention.Scanned, error) {
			got, err := p.runner.ScanRecent(t.Context(), 48*time.Hour)
			return got[0], err
		},
		"inAnInventory": func(w *world, p *process) (retention.Scanned, error) {
			r := w.report(time.Now().Add(time.Minute))
			r.rename(t)
			got, err := p.runner.ScanInventory(t.Context(), r.m, r.fetch)
			return got[0], err
		},
		"inEvents": func(w *world, p *process) (retention.Scanned, error) {
			o, err := p.runner.Look(t.Context(), w.name, []string{w.dated("s1", 1, "a"), w.dated("s1", 1, "z"), "clips/s1/\x00.wav", "clips/s1/\xff.wav"})
			return retention.Scanned{Observed: o, Odd: 2}, err
		},
	}
	for name, scan := range ways {
		t.Run(name, func(t *testing.T) {
			w := datedWorld(t, "clips/{subject}/{captured:2006/01/02}/{id}.{coding}")
			for _, id := range []string{"a", "no-utf8", "z", "z-zero-byte"} {
				w.dated("s1", 1, id)
			}
			w.dated("s2-no-utf8", 1, "a")
			w.o.Transport = oddly{storage.NewTransport()}
			var said bytes.Buffer
			w.said = &said
			p := w.mustStart()
			defer p.stop()
			got, err := scan(w, p)
			if want := (catalog.Observed{New: 2}); err != nil || got.Observed != want || got.Odd < 2 {
				t.Errorf("got %+v, %v; want the two others, and some keys left out", got, err)
			}
			if text := said.String(); !strings.Contains(text, "are left alone") || strings.Contains(text, "clips/") {
				t.Errorf("said: %s; want that keys were left out, and none of them", text)
			}
			if tally, err := p.db.Tally(t.Context(), w.name, ""); tally["total"] != 2 || err != nil {
				t.Errorf("the catalog has %v, %v", tally, err)
			}
		})
	}
}

// rename gives the report's keys their odd names.
func (r *report) rename(tb testing.TB) {
	tb.Helper()
	z, err := gzip.NewReader(bytes.NewReader(r.text))
	if err != nil {
		tb.Fatal(err)
	}
	rows, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	again := gzip.NewWriter(&b)
	_, _ = io.WriteString(again, oddName(string(rows)))
	_ = again.Close()
	r.text = b.Bytes()
	r.m.Files[0].Size, r.m.Files[0].MD5 = int64(b.Len()), md5.Sum(r.text)
}

// TestMetadataThatIsNoTextKeepsARecording: nobody can tell whose it is, and no hold could name its device.
func TestMetadataThatIsNoTextKeepsARecording(t *testing.T) {
	for _, name := range []string{"subject", "device", "locale", "source"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, storagetest.Embedded(t), true, false)
			w.flat = true
			for id, value := range map[string]string{"odd": "no-utf8", "even": "somebody"} {
				meta := w.ago(400)
				meta[name] = value
				w.put("clips/"+id+".wav", clip(10), meta)
			}
			w.o.Transport = oddly{storage.NewTransport()}
			p := w.mustStart()
			defer p.stop()
			planned, err := p.plan(t.Context())
			if err != nil || planned.Deletes != 1 || planned.Run.ForReview != 1 {
				t.Errorf("%+v, %v; want one deleted and one for review", planned, err)
			}
			row := p.row("clips/odd.wav")
			if row.Rule != "fault" || !strings.Contains(row.Reason, "UTF-8") || row.Recording.Subject != "" || row.Recording.Device != "" {
				t.Errorf("got %+v", row)
			}
		})
	}
}
