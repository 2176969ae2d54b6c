package fault

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// Transport breaks HTTP requests.
type Transport struct {
	Next   http.RoundTripper
	Script *Script
}

// answer is an S3 error that never reached a server.
func answer(req *http.Request, status int, code string) *http.Response {
	drain(req)
	body := `<?xml version="1.0" encoding="UTF-8"?><Error><Code>` + code + `</Code><Message>on purpose</Message></Error>`
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)), Request: req,
	}
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	v, lost := t.Script.next(req.Method + " " + req.URL.Path + "?" + req.URL.RawQuery)
	switch v {
	case Pass:
		return t.Next.RoundTrip(req)
	case Busy:
		return answer(req, http.StatusServiceUnavailable, "SlowDown"), nil
	case Deny:
		return answer(req, http.StatusForbidden, "AccessDenied"), nil
	case Slow:
		time.Sleep(30 * time.Millisecond)
		return t.Next.RoundTrip(req)
	case Land:
		resp, err := t.Next.RoundTrip(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			err = errors.Join(err, resp.Body.Close())
		}
		return nil, errors.Join(lost, err)
	case Truncate:
		return truncate(t.Next.RoundTrip(req))
	case Lose:
	}
	drain(req)
	return nil, lost
}

func drain(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}

// truncate breaks a body off in the middle.
func truncate(resp *http.Response, err error) (*http.Response, error) {
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), broken{}))
	} else {
		resp.Body = http.NoBody
	}
	return resp, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
