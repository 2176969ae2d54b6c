package retention_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// simStore is an S3 server in memory, for the simulation alone: buckets that keep versions, conditional
// writes, listings in order of key. What it cannot do it answers with 501, and what breaks the contract
// of S3 it does not do either. It calls touch before a version goes or is laid over.
type simStore struct {
	mu      sync.Mutex // guards what follows
	buckets map[string]map[string][]simVersion
	n       int
	now     func() time.Time
	touch   func(bucket, key string)
	wrote   func(bucket, key string, body []byte)
	lies    func(bucket, key string) bool // what it says that it stored, and did not
}

// simVersion is one version of an object; the newest of a key comes first.
type simVersion struct {
	id, etag string
	body     []byte
	header   http.Header
	at       time.Time
	marker   bool
}

// clone is a store with the same contents.
func (s *simStore) clone(now func() time.Time) *simStore {
	c := &simStore{buckets: map[string]map[string][]simVersion{}, n: s.n, now: now}
	for name, b := range s.buckets {
		c.buckets[name] = map[string][]simVersion{}
		for key, vs := range b {
			c.buckets[name][key] = slices.Clone(vs)
		}
	}
	return c
}

func (s *simStore) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if strings.HasPrefix(req.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		body = unchunked(body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	objects, ok := s.buckets[bucket]
	if !ok {
		return s.fail(req, 404, "NoSuchBucket"), nil
	}
	q := req.URL.Query()
	switch {
	case key == "":
		return s.onBucket(req, bucket, objects, q, body), nil
	case req.Method == http.MethodPut:
		return s.put(req, bucket, key, body), nil
	case req.Method == http.MethodDelete:
		s.remove(bucket, key, q.Get("versionId"))
		return s.answer(req, 204, nil, nil), nil
	case req.Method == http.MethodGet && q.Has("tagging"):
		return s.answer(req, 200, nil, []byte("<Tagging><TagSet></TagSet></Tagging>")), nil
	case req.Method == http.MethodGet || req.Method == http.MethodHead:
		return s.get(req, objects[key], q.Get("versionId")), nil
	}
	return s.fail(req, 501, "NotImplemented"), nil
}

func (s *simStore) onBucket(req *http.Request, bucket string, objects map[string][]simVersion, q url.Values, body []byte) *http.Response {
	switch {
	case req.Method == http.MethodHead:
		return s.answer(req, 200, nil, nil)
	case req.Method == http.MethodPost && q.Has("delete"):
		return s.removeAll(req, bucket, body)
	case req.Method != http.MethodGet:
	case q.Has("versioning"):
		return s.answer(req, 200, nil, []byte("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"))
	case q.Has("object-lock"):
		return s.fail(req, 404, "ObjectLockConfigurationNotFoundError")
	case q.Has("location"):
		return s.answer(req, 200, nil, []byte("<LocationConstraint></LocationConstraint>"))
	case q.Has("uploads"):
		return s.answer(req, 200, nil, []byte("<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"))
	case q.Has("versions") || q.Get("list-type") == "2":
		return s.list(req, objects, q)
	}
	return s.fail(req, 501, "NotImplemented")
}

func (s *simStore) put(req *http.Request, bucket, key string, body []byte) *http.Response {
	have := s.buckets[bucket][key]
	there := len(have) > 0 && !have[0].marker
	unquoted := func(name string) string { return strings.Trim(req.Header.Get(name), `"`) }
	if unquoted("If-None-Match") == "*" && there {
		return s.fail(req, 412, "PreconditionFailed")
	}
	if want := unquoted("If-Match"); want != "" && (!there || have[0].etag != want) {
		if !there {
			return s.fail(req, 404, "NoSuchKey")
		}
		return s.fail(req, 412, "PreconditionFailed")
	}
	if s.lies != nil && s.lies(bucket, key) {
		sum := md5.Sum(body)
		return s.answer(req, 200, http.Header{"Etag": {`"` + hex.EncodeToString(sum[:]) + `"`}, "X-Amz-Version-Id": {"none"}}, nil)
	}
	v := s.lay(bucket, key, body, req.Header.Clone())
	return s.answer(req, 200, http.Header{"Etag": {`"` + v.etag + `"`}, "X-Amz-Version-Id": {v.id}}, nil)
}

// lay stores a version over what is there.
func (s *simStore) lay(bucket, key string, body []byte, header http.Header) simVersion {
	if s.touch != nil && len(s.buckets[bucket][key]) > 0 {
		s.touch(bucket, key)
	}
	sum := md5.Sum(body)
	s.n++
	v := simVersion{id: fmt.Sprintf("v%06d", s.n), etag: hex.EncodeToString(sum[:]), body: body, header: header, at: s.now().UTC().Truncate(time.Millisecond)}
	s.buckets[bucket][key] = append([]simVersion{v}, s.buckets[bucket][key]...)
	if s.wrote != nil {
		s.wrote(bucket, key, body)
	}
	return v
}

func (s *simStore) remove(bucket, key, version string) {
	b := s.buckets[bucket]
	if version == "" {
		s.n++
		b[key] = append([]simVersion{{id: fmt.Sprintf("v%06d", s.n), at: s.now().UTC(), marker: true}}, b[key]...)
		return
	}
	for i, v := range b[key] {
		if v.id == version {
			if s.touch != nil {
				s.touch(bucket, key)
			}
			if b[key] = slices.Delete(slices.Clone(b[key]), i, i+1); len(b[key]) == 0 {
				delete(b, key)
			}
			return
		}
	}
}

func (s *simStore) removeAll(req *http.Request, bucket string, body []byte) *http.Response {
	var ask struct {
		Objects []struct {
			Key       string
			VersionId string
		} `xml:"Object"`
	}
	if err := xml.Unmarshal(body, &ask); err != nil {
		return s.fail(req, 400, "MalformedXML")
	}
	var out strings.Builder
	out.WriteString("<DeleteResult>")
	for _, o := range ask.Objects {
		s.remove(bucket, o.Key, o.VersionId)
		fmt.Fprintf(&out, "<Deleted><Key>%s</Key><VersionId>%s</VersionId></Deleted>", o.Key, o.VersionId)
	}
	out.WriteString("</DeleteResult>")
	return s.answer(req, 200, nil, []byte(out.String()))
}

func (s *simStore) get(req *http.Request, vs []simVersion, version string) *http.Response {
	for _, v := range vs {
		if version != "" && v.id != version {
			continue
		}
		if v.marker {
			break
		}
		if want := strings.Trim(req.Header.Get("If-Match"), `"`); want != "" && want != v.etag {
			return s.fail(req, 412, "PreconditionFailed")
		}
		h := http.Header{"Etag": {`"` + v.etag + `"`}, "X-Amz-Version-Id": {v.id}, "Last-Modified": {v.at.Format(http.TimeFormat)}, "Content-Type": {v.header.Get("Content-Type")}}
		for name, values := range v.header {
			if strings.HasPrefix(name, "X-Amz-Meta-") {
				h[name] = values
			}
		}
		resp := s.answer(req, 200, h, v.body)
		if req.Method == http.MethodHead {
			resp.Body = http.NoBody
		}
		return resp
	}
	return s.fail(req, 404, "NoSuchKey")
}

// list answers both kinds of listings, a page of at most max-keys entries.
func (s *simStore) list(req *http.Request, objects map[string][]simVersion, q url.Values) *http.Response {
	most := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil && n > 0 {
		most = min(n, most)
	}
	versions := q.Has("versions")
	after, afterID := q.Get("start-after"), ""
	if versions {
		after, afterID = q.Get("key-marker"), q.Get("version-id-marker")
	} else if token := q.Get("continuation-token"); token != "" {
		after = token
	}
	var rows strings.Builder
	n, more, lastKey, lastID := 0, false, "", ""
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || key < after || key == after && afterID == "" && after != "" {
			continue
		}
		passed := key != after || afterID == ""
		for i, v := range objects[key] {
			if !passed {
				passed = v.id == afterID
				continue
			}
			if !versions && (i > 0 || v.marker) {
				break
			}
			if n == most {
				more = true
				break
			}
			n++
			lastKey, lastID = key, v.id
			kind := map[bool]string{true: "Version", false: "Contents"}[versions]
			if v.marker {
				kind = "DeleteMarker"
			}
			fmt.Fprintf(&rows, "<%s><Key>%s</Key><VersionId>%s</VersionId><IsLatest>%v</IsLatest><LastModified>%s</LastModified><ETag>&quot;%s&quot;</ETag><Size>%d</Size></%s>",
				kind, url.QueryEscape(key), v.id, i == 0, v.at.Format("2006-01-02T15:04:05.000Z"), v.etag, len(v.body), kind)
		}
		if more {
			break
		}
	}
	root := map[bool]string{true: "ListVersionsResult", false: "ListBucketResult"}[versions]
	next := ""
	if more && versions {
		next = "<NextKeyMarker>" + url.QueryEscape(lastKey) + "</NextKeyMarker><NextVersionIdMarker>" + lastID + "</NextVersionIdMarker>"
	} else if more {
		next = "<NextContinuationToken>" + lastKey + "</NextContinuationToken>"
	}
	return s.answer(req, 200, nil, fmt.Appendf(nil, "<%s><EncodingType>url</EncodingType><IsTruncated>%v</IsTruncated>%s%s</%s>", root, more, next, rows.String(), root))
}

func (s *simStore) fail(req *http.Request, status int, code string) *http.Response {
	return s.answer(req, status, nil, []byte("<Error><Code>"+code+"</Code><Message>simulated</Message></Error>"))
}

func (s *simStore) answer(req *http.Request, status int, h http.Header, body []byte) *http.Response {
	if h == nil {
		h = http.Header{}
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/xml")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Date", s.now().UTC().Format(http.TimeFormat))
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}

// unchunked takes the signatures of a streamed upload out of its body.
func unchunked(body []byte) []byte {
	r := bufio.NewReader(bytes.NewReader(body))
	var out []byte
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return out
		}
		size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		n, err := strconv.ParseInt(size, 16, 64)
		if err != nil || n == 0 {
			return out
		}
		part := make([]byte, n)
		if _, err := io.ReadFull(r, part); err != nil {
			return out
		}
		out = append(out, part...)
		_, _ = r.Discard(2)
	}
}
