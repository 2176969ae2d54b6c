package storage

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Pace bounds what earshot asks of a store. Below the bounds it finds its own pace: an answer that says
// "slow down" (503, 429) halves it; where half of the answers to reading take more than a second, and five
// times as long as they used to, it falls by a fifth; and quiet raises it again, by a tenth each second.
type Pace struct {
	Requests  float64 // a second, at most; 0: no bound
	Bandwidth int64   // bytes a second in both directions together, at most; 0: no bound
	// Slow, if not nil, lowers the bound on requests at certain hours; 0: it does not.
	Slow func(now time.Time) (requests float64)
}

// The pace that is found.
const (
	slowest = 1.0 // requests a second, however busy the store is
	// slowestBytes a second, however many share the bound: what waits for its turn waits at the pace of when it came.
	slowestBytes = 64 << 10
	// Answers faster than latencyTop are no reason to slow down, or a machine that is short of breath itself
	// would take its own for the store's; nor do slow ones alone slow it down below slowestUnasked.
	latencyTop     = time.Second
	slowestUnasked = 10.0
	adjustEach     = time.Second
	enough         = 8 // answers that say something about how long answers take
	forgetAt       = 4 // a found pace is forgotten when it is so many times what is asked for
)

// pacer carries requests at the pace. It is safe for concurrent use.
type pacer struct {
	next    http.RoundTripper
	pace    Pace
	request *rate.Limiter
	bytes   *rate.Limiter // nil: no bound

	mu       sync.Mutex // guards what follows
	among    int        // how many share the bounds
	found    float64    // requests a second; 0: none is found, the bound alone counts
	count    int        // requests since adjusted
	busy     bool       // the store said so since adjusted
	asked    int        // of them HEAD and GET, whose answers take a time that tells something
	slow     int        // of these, took long
	adjusted time.Time
	usual    map[string]time.Duration // how long answers of a kind take
	slowdown int64                    // answers that said "slow down"
	server   string                   // what the store calls itself
}

func newPacer(next http.RoundTripper, p Pace) *pacer {
	c := &pacer{next: next, pace: p, request: rate.NewLimiter(rate.Inf, 1), among: 1, usual: map[string]time.Duration{}, adjusted: time.Now()}
	c.set(time.Now())
	if p.Bandwidth > 0 {
		c.bytes = rate.NewLimiter(rate.Limit(p.Bandwidth), int(min(p.Bandwidth, 1<<20)))
	}
	return c
}

type sureKey struct{}

// Sure gives a context under which each request that changes something in the store is sent only where `sure` gives
// no error: it is asked when the request's turn has come, which at a slow pace may be long after it was decided upon.
func Sure(ctx context.Context, sure func() error) context.Context {
	return context.WithValue(ctx, sureKey{}, sure)
}

// RoundTrip implements http.RoundTripper.
func (c *pacer) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if err := c.request.Wait(ctx); err != nil {
		return nil, err
	}
	if sure, ok := ctx.Value(sureKey{}).(func() error); ok && req.Method != http.MethodGet && req.Method != http.MethodHead {
		if err := sure(); err != nil {
			return nil, err
		}
	}
	if req.Body != nil && c.bytes != nil {
		req = req.Clone(ctx)
		req.Body = &pacedBody{req.Body, ctx, c.bytes}
	}
	start := time.Now()
	resp, err := c.next.RoundTrip(req)
	c.learn(kindOf(req), time.Since(start), resp)
	if err == nil && c.bytes != nil {
		resp.Body = &pacedBody{resp.Body, ctx, c.bytes}
	}
	return resp, err
}

// kindOf tells requests apart that take different times.
func kindOf(req *http.Request) string {
	kind := req.Method
	for _, q := range []string{"list-type", "versions", "uploads", "delete"} {
		if req.URL.Query().Has(q) {
			kind += " " + q
		}
	}
	return kind
}

func (c *pacer) learn(kind string, took time.Duration, resp *http.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	if resp != nil {
		if c.server == "" {
			c.server = resp.Header.Get("Server")
		}
		if resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests {
			c.busy = true
			c.slowdown++
		}
	}
	usual, ok := c.usual[kind]
	reading := strings.HasPrefix(kind, http.MethodHead) || strings.HasPrefix(kind, http.MethodGet)
	switch {
	case !reading: // the time is that of what is sent
	case !ok:
		c.usual[kind] = took
	case took < usual: // what it can do is soon believed, what it does not do any more late
		c.usual[kind] = usual - (usual-took)/8
	default:
		c.usual[kind] = usual + (took-usual)/256
		if took > 5*usual && took > latencyTop {
			c.slow++
		}
	}
	if reading {
		c.asked++
	}
	if now := time.Now(); now.Sub(c.adjusted) >= adjustEach || c.busy && now.Sub(c.adjusted) >= adjustEach/10 {
		c.adjust(now)
	}
}

// adjust finds the pace for the next second.
func (c *pacer) adjust(now time.Time) {
	did := float64(c.count) / now.Sub(c.adjusted).Seconds()
	from := c.found
	if from == 0 {
		from = did
	}
	switch {
	case c.busy:
		c.found = max(slowest, min(from, did)/2)
	case c.asked >= enough && 2*c.slow > c.asked:
		c.found = max(slowestUnasked, min(from, did)*0.8)
	case c.found > 0:
		if c.found += max(1, c.found/10); c.found > forgetAt*max(did, 100) {
			c.found = 0
		}
	}
	c.count, c.busy, c.asked, c.slow, c.adjusted = 0, false, 0, 0, now
	c.set(now)
}

// set tells the limiter.
func (c *pacer) set(now time.Time) {
	limit := c.pace.Requests
	if c.pace.Slow != nil {
		if slow := c.pace.Slow(now); slow > 0 && (limit == 0 || slow < limit) {
			limit = slow
		}
	}
	if limit > 0 {
		limit = max(slowest, limit/float64(c.among))
	}
	if c.found > 0 && (limit == 0 || c.found < limit) {
		limit = c.found
	}
	if limit == 0 {
		c.request.SetLimit(rate.Inf)
		return
	}
	c.request.SetBurst(max(1, int(limit/10)))
	c.request.SetLimit(rate.Limit(limit))
}

// share has the bounds be those of n processes together.
func (c *pacer) share(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n = max(1, n); n == c.among {
		return
	}
	c.among = n
	if c.bytes != nil {
		c.bytes.SetLimit(rate.Limit(min(float64(c.pace.Bandwidth), max(slowestBytes, float64(c.pace.Bandwidth)/float64(n)))))
	}
	c.set(time.Now())
}

// Load is what a store was asked for and how it took it.
type Load struct {
	Slowdowns int64   // answers that said "slow down"
	Found     float64 // requests a second that seem right to it; 0: no need to find out
}

func (c *pacer) load() Load {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Load{Slowdowns: c.slowdown, Found: c.found}
}

// exactUploads: MinIO lists unfinished uploads only of exactly the key that is asked for.
func (c *pacer) exactUploads() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Contains(c.server, "MinIO")
}

// pacedBody lets bytes through at a pace.
type pacedBody struct {
	io.ReadCloser
	ctx   context.Context //nolint:containedctx // the request's own, for as long as its body is read
	bytes *rate.Limiter
}

func (b *pacedBody) Read(p []byte) (int, error) {
	p = p[:min(len(p), b.bytes.Burst())]
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		if waitErr := b.bytes.WaitN(b.ctx, n); waitErr != nil && err == nil {
			err = waitErr
		}
	}
	return n, err
}
