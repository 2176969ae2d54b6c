package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// figure is one value for a monitor.
type figure struct {
	name, help string
	counter    bool // else a gauge
	labels     string
	value      float64
}

// figures gives what an operator is woken by. A policy that no longer runs does no harm that anybody
// sees: alert on the age of its last run.
func (w *watching) figures(ctx context.Context) ([]figure, error) {
	published, err := w.i.db.Head().Published(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	requests, recordings, err := w.i.db.Overdue(ctx, now, now.Add(-overdueAfter))
	if err != nil {
		return nil, err
	}
	failing, blocked, err := w.i.db.Troubled(ctx)
	if err != nil {
		return nil, err
	}
	size, at, gap := w.i.log.Witnessed()
	missing := 0.0
	if gap != nil {
		missing = 1
	}
	load := w.i.store.Load()
	var looked, unlooked int64
	if w.inbox != nil {
		looked, unlooked = w.inbox.Looked(), w.inbox.Missed()
	}
	out := []figure{
		{name: "earshot_events_followed", help: "Keys that this process looked at because the store told of them.", value: float64(looked)},
		{name: "earshot_events_missed", help: "Keys that the store told of and that could not be looked at; the next listing makes up for them.", value: float64(unlooked)},
		{name: "earshot_log_published_entries", help: "Size of the published log.", value: float64(published)},
		{name: "earshot_log_cosigned_entries", help: "Size of the tree that the quorum of witnesses cosigned last; 0 without witnesses.", value: float64(size)},
		{name: "earshot_log_cosigned_timestamp_seconds", help: "When that was, by the witnesses' clocks; 0 for never.", value: seconds(at)},
		{name: "earshot_log_cosign_gap", help: "1 while the newest tree lacks the quorum of witnesses.", value: missing},
		{name: "earshot_requests_overdue", help: "Data subjects' requests that are open beyond their deadline.", value: float64(requests)},
		{name: "earshot_recordings_overdue", help: "Recordings whose date came more than two days ago and that no plan has looked at since.", value: float64(recordings)},
		{name: "earshot_recordings_failing", help: "Recordings that something failed on and that are tried again by themselves.", value: float64(failing)},
		{name: "earshot_recordings_blocked", help: "Recordings that failed so often that a person must look at them: earshot attention list.", value: float64(blocked)},
		{name: "earshot_reconcile_vanished_versions", help: "Object versions that the last reconcile of this process found gone without an entry.", value: float64(w.vanished.Load())},
		{name: "earshot_reconcile_timestamp_seconds", help: "When this process last reconciled; 0 for never.", value: float64(w.last.Load())},
		{name: "earshot_store_slowdowns_total", help: "Answers of the store that said to slow down.", counter: true, value: float64(load.Slowdowns)},
		{name: "earshot_store_pace_requests_per_second", help: "Requests a second that seem right to the store; 0: no bound was found.", value: load.Found},
	}
	if !w.i.cfg.ofMany {
		out = append(out, ofProcess()...)
	}
	for _, p := range w.i.policies {
		if p.Schedule() == "" {
			continue
		}
		at, err := w.i.db.LastRun(ctx, p.Name())
		if err != nil {
			return nil, err
		}
		out = append(out, figure{
			name: "earshot_policy_last_run_timestamp_seconds", help: "When the policy's scheduled run began last; 0 for never.",
			labels: fmt.Sprintf("policy=%q", p.Name()), value: seconds(at),
		})
	}
	return out, nil
}

// ofProcess tells what this process holds: all of it should stay flat for years.
func ofProcess() []figure {
	out := []figure{{name: "earshot_goroutines", help: "Goroutines of this process.", value: float64(runtime.NumGoroutine())}}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	out = append(out, figure{name: "earshot_heap_bytes", help: "Memory of this process that Go looks after, without what the catalog caches.", value: float64(memory.HeapAlloc)})
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		out = append(out, figure{name: "earshot_open_files", help: "Open files and connections of this process.", value: float64(len(files))})
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		var size, resident int
		if _, err := fmt.Sscan(string(text), &size, &resident); err == nil {
			out = append(out, figure{name: "earshot_resident_bytes", help: "Memory of this process.", value: float64(resident * os.Getpagesize())})
		}
	}
	return out
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

// ServeHTTP writes the figures in the Prometheus text format.
func (w *watching) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	all, err := w.figures(r.Context())
	if err != nil {
		http.Error(rw, "the catalog does not answer", http.StatusServiceUnavailable)
		return
	}
	rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	expose(rw, all)
}

// expose writes figures, those of one name together as the format wants it.
func expose(w io.Writer, all []figure) {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b figure) int { return strings.Compare(a.name, b.name) })
	for i, f := range all {
		if i == 0 || all[i-1].name != f.name {
			kind := "gauge"
			if f.counter {
				kind = "counter"
			}
			fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, kind)
		}
		labels := ""
		if f.labels != "" {
			labels = "{" + f.labels + "}"
		}
		fmt.Fprintf(w, "%s%s %s\n", f.name, labels, strings.TrimSuffix(fmt.Sprintf("%.3f", f.value), ".000"))
	}
}
