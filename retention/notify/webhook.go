package notify

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxBody bounds one request of a sender: S3 and MinIO send a kilobyte an event.
const maxBody = 1 << 20

// message is what S3 and MinIO send, as far as it is read: which key, and whether it came or went.
// What else it says of the object is not believed anyway.
type message struct {
	Records []struct {
		EventName string `json:"eventName"`
		S3        struct {
			Bucket struct {
				Name string `json:"name"`
			} `json:"bucket"`
			Object struct {
				Key string `json:"key"` // URL-encoded, with + for a space
			} `json:"object"`
		} `json:"s3"`
	} `json:"Records"`
}

// ParseEvents reads one message: the keys that came or went. Events of other kinds are passed over,
// and so is what S3 sends to try a target, which has no records.
func ParseEvents(text []byte) ([]Hint, error) {
	var m message
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&m); err != nil {
		return nil, errors.New("the message is not JSON of the form {\"Records\": [...]}")
	}
	var out []Hint
	for n, r := range m.Records {
		kind, _, _ := strings.Cut(strings.TrimPrefix(r.EventName, "s3:"), ":")
		switch kind {
		case "ObjectCreated", "ObjectRemoved", "LifecycleExpiration":
		default:
			continue
		}
		key, err := url.QueryUnescape(r.S3.Object.Key)
		if err != nil || key == "" || r.S3.Bucket.Name == "" {
			return nil, fmt.Errorf("record %d has no bucket, or no key that can be read", n)
		}
		out = append(out, Hint{Bucket: r.S3.Bucket.Name, Key: key})
	}
	return out, nil
}

// Handler takes events: POST with the secret as a bearer token. It answers 200 when they have been
// followed, 401 to strangers, 400 and 413 to what cannot be read, and 503 where they could not be
// followed now, so that the sender tries again.
func (i *Inbox) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !i.knows(r.Header.Get("Authorization")) {
			http.Error(w, "the token is missing or wrong", http.StatusUnauthorized)
			return
		}
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			http.Error(w, "the message is too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err != nil {
			http.Error(w, "the message broke off", http.StatusBadRequest)
			return
		}
		hints, err := ParseEvents(text)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ours := hints[:0]
		for _, h := range hints {
			if i.o.Known(h.Bucket) {
				ours = append(ours, h)
			}
		}
		if len(ours) > 0 {
			if err := i.Put(r.Context(), ours); err != nil {
				http.Error(w, "the events could not be followed now", http.StatusServiceUnavailable)
				return
			}
		}
		w.WriteHeader(http.StatusOK)
	})
}

// knows compares the token in a time that does not tell how much of it was right.
func (i *Inbox) knows(header string) bool {
	token, ok := strings.CutPrefix(header, "Bearer ")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(i.o.Token))
	return ok && i.o.Token != "" && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
