package storage_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"earshot/storage"
)

// answering is a store of which only the pace counts.
type answering func(n int64) (status int, takes time.Duration)

func (f answering) transport(n *atomic.Int64) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		status, takes := f(n.Add(1))
		time.Sleep(takes)
		body := `<ListBucketResult></ListBucketResult>`
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: req}, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// asking sends requests, eight at once, for some (false) time and returns how many were answered in it.
func asking(t *testing.T, o storage.Pace, f answering, during time.Duration) (n int64, load storage.Load) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int64
		p := storage.NewPacer(f.transport(&count), o)
		stop := make(chan struct{})
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://store/bucket?list-type=2", nil)
					if resp, err := p.RoundTrip(req); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				}
			})
		}
		time.Sleep(during)
		n, load = count.Load(), storage.LoadOf(p)
		close(stop)
		all.Wait()
	})
	return n, load
}

func TestNeverMoreRequestsThanConfigured(t *testing.T) {
	quick := func(int64) (int, time.Duration) { return http.StatusOK, time.Millisecond }
	if n, _ := asking(t, storage.Pace{Requests: 50}, quick, 10*time.Second); n > 510 || n < 450 {
		t.Errorf("%d requests in 10 s at 50 a second", n)
	}
	if n, _ := asking(t, storage.Pace{Requests: 50, Slow: func(time.Time) float64 { return 5 }}, quick, 10*time.Second); n > 60 || n < 40 {
		t.Errorf("%d requests in 10 s at 5 a second", n)
	}
	if n, _ := asking(t, storage.Pace{}, quick, 2*time.Second); n < 15_000 {
		t.Errorf("%d requests in 2 s without a bound", n)
	}
}

// TestBoundsAreKeptTogether changes how many share the bounds while requests go.
func TestBoundsAreKeptTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int64
		p := storage.NewPacer(answering(func(int64) (int, time.Duration) { return http.StatusOK, time.Millisecond }).transport(&count), storage.Pace{Requests: 60, Bandwidth: 600 * 1000})
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for ctx.Err() == nil {
					req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://store/bucket?list-type=2", nil)
					if resp, err := p.RoundTrip(req); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				}
			})
		}
		for _, c := range []struct{ among, least, most int }{{1, 550, 610}, {3, 180, 215}, {math.MaxInt, 5, 25}, {1, 550, 610}} {
			storage.ShareOf(p, c.among)
			before := count.Load()
			time.Sleep(10 * time.Second)
			if n := int(count.Load() - before); n < c.least || n > c.most {
				t.Errorf("%d requests in 10 s as one of %d at 60 a second", n, c.among)
			}
		}
		stop()
		all.Wait()
	})
}

func TestAStoreThatSaysSlowDownIsAskedLess(t *testing.T) {
	// It takes 200 requests a second and refuses what is beyond.
	var second, taken atomic.Int64
	refusing := func(int64) (int, time.Duration) {
		if now := time.Now().Unix(); second.Swap(now) != now {
			taken.Store(0)
		}
		if taken.Add(1) > 200 {
			return http.StatusServiceUnavailable, time.Millisecond
		}
		return http.StatusOK, time.Millisecond
	}
	n, load := asking(t, storage.Pace{}, refusing, 60*time.Second)
	if n > 20_000 || n < 4_000 {
		t.Errorf("%d requests in a minute to a store that takes 12,000", n)
	}
	if load.Slowdowns == 0 || load.Found == 0 || load.Slowdowns > n/3 {
		t.Errorf("%+v of %d", load, n)
	}
}

func TestAStoreThatGetsSlowIsAskedLessAndRecovers(t *testing.T) {
	busy := func(n int64) (int, time.Duration) {
		if n > 2000 && n < 2100 {
			return http.StatusOK, 3 * time.Second
		}
		return http.StatusOK, 10 * time.Millisecond
	}
	_, during := asking(t, storage.Pace{}, busy, 20*time.Second)
	if during.Found == 0 {
		t.Error("nothing was found while answers took three hundred times as long")
	}
	if _, after := asking(t, storage.Pace{}, busy, 10*time.Minute); after.Found != 0 {
		t.Errorf("long after, it is still held to %.0f a second", after.Found)
	}
}

func TestOneSlowAnswerSlowsNothing(t *testing.T) {
	odd := func(n int64) (int, time.Duration) {
		if n%200 == 0 {
			return http.StatusOK, time.Second
		}
		return http.StatusOK, 10 * time.Millisecond
	}
	if _, load := asking(t, storage.Pace{}, odd, time.Minute); load.Found != 0 {
		t.Errorf("%+v", load)
	}
}

// TestARequestIsSentOnlyWhereItsSenderIsSure: at two a second the last of ten deletions have their turn when the time
// in which they may be sent is over.
func TestARequestIsSentOnlyWhereItsSenderIsSure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		p := storage.NewPacer(answering(func(int64) (int, time.Duration) { return http.StatusNoContent, 0 }).transport(&sent), storage.Pace{Requests: 2})
		errOver := errors.New("over")
		until := time.Now().Add(1900 * time.Millisecond)
		ctx := storage.Sure(t.Context(), func() error {
			if time.Now().After(until) {
				return errOver
			}
			return nil
		})
		var refused atomic.Int64
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				req, _ := http.NewRequestWithContext(ctx, http.MethodDelete, "http://store/bucket/key", nil)
				resp, err := p.RoundTrip(req)
				if errors.Is(err, errOver) {
					refused.Add(1)
				} else if err == nil {
					resp.Body.Close()
				}
			})
		}
		all.Wait()
		if sent.Load() != 4 || refused.Load() != 6 {
			t.Errorf("%d were sent and %d refused, want 4 and 6", sent.Load(), refused.Load())
		}
		req, _ := http.NewRequestWithContext(ctx, http.MethodHead, "http://store/bucket/key", nil)
		if resp, err := p.RoundTrip(req); err != nil {
			t.Errorf("reading changes nothing, and was refused: %v", err)
		} else {
			resp.Body.Close()
		}
	})
}

func TestBandwidthIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		big := strings.Repeat("x", 1<<20)
		p := storage.NewPacer(roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Body != nil {
				_, _ = io.Copy(io.Discard, req.Body)
			}
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(big)), Request: req}, nil
		}), storage.Pace{Bandwidth: 1 << 20})
		start := time.Now()
		for range 4 {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://store/bucket/key", strings.NewReader(big))
			resp, err := p.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
		}
		if took := time.Since(start); took < 6*time.Second || took > 9*time.Second {
			t.Errorf("8 MiB at 1 MiB a second took %s", took)
		}
	})
}
