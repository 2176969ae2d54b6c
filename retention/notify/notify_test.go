package notify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"earshot/retention/notify"
	"earshot/storage/catalog"

	"github.com/google/go-cmp/cmp"
)

const token = "a-secret-of-twenty-c"

// looks keeps what was looked at.
type looks struct {
	mu   sync.Mutex // guards keys
	keys []string
	err  error
}

func (l *looks) look(_ context.Context, bucket string, keys []string) (catalog.Observed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		l.keys = append(l.keys, bucket+"/"+k)
	}
	return catalog.Observed{}, l.err
}

func (l *looks) seen() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.keys))
}

func start(t *testing.T, l *looks) *notify.Inbox {
	t.Helper()
	i := notify.New(notify.Options{Look: l.look, Token: token, Known: func(b string) bool { return b == "voice" }})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); i.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return i
}

func record(event, bucket, key string) string {
	return fmt.Sprintf(`{"eventVersion":"2.0","eventName":%q,"s3":{"bucket":{"name":%q},"object":{"key":%q,"size":5,"eTag":"e","versionId":"v"}}}`, event, bucket, key)
}

func TestWebhook(t *testing.T) {
	for _, c := range []struct {
		law, method, auth, body string
		err                     error
		status                  int
		want                    []string
	}{
		{"whatMinIOSendsIsFollowed", "POST", "Bearer " + token, `{"EventName":"s3:ObjectCreated:Put","Key":"voice/x","Records":[` + record("s3:ObjectCreated:Put", "voice", "clips%2Fa+b%2Fc%C3%A9.wav") + `]}`, nil, 200, []string{"voice/clips/a b/cé.wav"}},
		{"whatS3SendsIsFollowed", "POST", "Bearer " + token, `{"Records":[` + record("ObjectCreated:CompleteMultipartUpload", "voice", "a") + "," + record("ObjectRemoved:Delete", "voice", "b") + "," + record("LifecycleExpiration:Delete", "voice", "c") + `]}`, nil, 200, []string{"voice/a", "voice/b", "voice/c"}},
		{"whatConcernsNoObjectIsPassedOver", "POST", "Bearer " + token, `{"Records":[` + record("s3:ObjectAccessed:Get", "voice", "a") + `]}`, nil, 200, nil},
		{"bucketsOfOthersArePassedOver", "POST", "Bearer " + token, `{"Records":[` + record("s3:ObjectCreated:Put", "other", "a") + `]}`, nil, 200, nil},
		{"theTestOfATargetIsFine", "POST", "Bearer " + token, `{"Service":"Amazon S3","Event":"s3:TestEvent"}`, nil, 200, nil},
		{"strangersAreRefused", "POST", "Bearer guess", `{"Records":[]}`, nil, 401, nil},
		{"noTokenIsRefused", "POST", "", `{"Records":[]}`, nil, 401, nil},
		{"aTokenWithoutItsKindIsRefused", "POST", token, `{"Records":[]}`, nil, 401, nil},
		{"nonsenseIsRefused", "POST", "Bearer " + token, `no JSON`, nil, 400, nil},
		{"aKeyThatCannotBeReadIsRefused", "POST", "Bearer " + token, `{"Records":[` + record("s3:ObjectCreated:Put", "voice", "%zz") + `]}`, nil, 400, nil},
		{"tooMuchIsRefused", "POST", "Bearer " + token, `{"Records":[], "x":"` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, nil},
		{"whatCannotBeFollowedNowIsToBeSentAgain", "POST", "Bearer " + token, `{"Records":[` + record("s3:ObjectCreated:Put", "voice", "a") + `]}`, errors.New("the store is away"), 503, []string{"voice/a"}},
	} {
		t.Run(c.law, func(t *testing.T) {
			l := &looks{err: c.err}
			i := start(t, l)
			req := httptest.NewRequestWithContext(t.Context(), c.method, "/events", strings.NewReader(c.body))
			if c.auth != "" {
				req.Header.Set("Authorization", c.auth)
			}
			w := httptest.NewRecorder()
			i.Handler().ServeHTTP(w, req)
			if w.Code != c.status {
				t.Errorf("got %d (%s), want %d", w.Code, w.Body, c.status)
			}
			if diff := cmp.Diff(c.want, l.seen()); diff != "" {
				t.Errorf("looked at (-want +got):\n%s", diff)
			}
			if strings.Contains(w.Body.String(), "zz") || strings.Contains(w.Body.String(), "clips") {
				t.Errorf("the answer repeats a key: %s", w.Body)
			}
		})
	}
}

func TestWithoutATokenNobodyMaySend(t *testing.T) {
	i := notify.New(notify.Options{Look: (&looks{}).look, Known: func(string) bool { return true }})
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/events", strings.NewReader(`{}`))
	req.Header.Set("Authorization", "Bearer ")
	w := httptest.NewRecorder()
	i.Handler().ServeHTTP(w, req)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("got %d, want 401", w.Code)
	}
}

func TestManySendersShareALook(t *testing.T) {
	calls := 0
	l := &looks{}
	i := notify.New(notify.Options{Token: token, Known: func(string) bool { return true }, Look: func(ctx context.Context, b string, keys []string) (catalog.Observed, error) {
		calls++
		return l.look(ctx, b, keys)
	}})
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for n := range 100 {
		group.Go(func() {
			if err := i.Put(t.Context(), []notify.Hint{{Bucket: "voice", Key: fmt.Sprint(n)}}); err != nil {
				t.Error(err)
			}
		})
	}
	var running sync.WaitGroup
	running.Go(func() { i.Run(ctx) })
	group.Wait()
	stop()
	running.Wait()
	if len(l.seen()) != 100 || calls > 10 || i.Looked() != 100 {
		t.Errorf("%d keys in %d looks, %d counted", len(l.seen()), calls, i.Looked())
	}
}

// TestWhoWaitsWhenItStopsIsToSendAgain: at once, whether the hints were being looked at, waited, or came later.
func TestWhoWaitsWhenItStopsIsToSendAgain(t *testing.T) {
	looking := make(chan struct{}, 1)
	i := notify.New(notify.Options{Token: token, Known: func(string) bool { return true }, Look: func(ctx context.Context, _ string, _ []string) (catalog.Observed, error) {
		looking <- struct{}{}
		<-ctx.Done()
		return catalog.Observed{}, ctx.Err()
	}})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { i.Run(ctx) })
	answers := make(chan int, 3)
	send := func(key string) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/events", strings.NewReader(`{"Records":[`+record("s3:ObjectCreated:Put", "voice", key)+`]}`))
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		i.Handler().ServeHTTP(w, req)
		answers <- w.Code
	}
	go send("looked-at")
	<-looking
	go send("waiting")
	time.Sleep(50 * time.Millisecond)
	stop()
	running.Wait()
	go send("late")
	for range 3 {
		select {
		case code := <-answers:
			if code != http.StatusServiceUnavailable {
				t.Errorf("a sender was answered %d, want 503", code)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("a sender is not answered")
		}
	}
}

func FuzzParseEvents(f *testing.F) {
	f.Add([]byte(`{"Records":[` + record("s3:ObjectCreated:Put", "voice", "a+b%20c") + `]}`))
	f.Add([]byte(`{"Records":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		hints, err := notify.ParseEvents(text)
		for _, h := range hints {
			if err != nil || h.Bucket == "" || h.Key == "" {
				t.Fatalf("%+v, %v", h, err)
			}
		}
	})
}
