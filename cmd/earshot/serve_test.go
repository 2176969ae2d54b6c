package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"earshot/retention/schedule"
)

func TestEndpoints(t *testing.T) {
	i := newInstalled(t)
	watch := &watching{i: i.inst}
	s, err := schedule.New(schedule.Options{Runner: i.inst.runner, Catalog: i.inst.db, Policies: i.inst.policies, Chores: []schedule.Chore{{
		Name: "reconcile", Spec: i.inst.cfg.Reconcile, Run: func(ctx context.Context) (string, error) { return watch.reconcile(ctx, i.inst.runner) },
	}}})
	if err != nil {
		t.Fatal(err)
	}
	h := endpoints(i.inst, s, watch)
	ask := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w
	}
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusOK, "/schedule": http.StatusOK, "/other": http.StatusNotFound} {
		if got := ask(path).Code; got != want {
			t.Errorf("%s: got %d, want %d", path, got, want)
		}
	}
	var st []schedule.Status
	if err := json.Unmarshal(ask("/schedule").Body.Bytes(), &st); err != nil || len(st) != 4 || !st[0].Next.After(time.Now()) {
		t.Errorf("schedule: %+v, %v", st, err)
	}
	if err := i.inst.store.MakeBucket(t.Context(), "voice", true, false); err != nil {
		t.Fatal(err)
	}
	if text, err := watch.reconcile(t.Context(), i.inst.runner); err != nil || !strings.Contains(text, "0 vanished") {
		t.Errorf("reconcile: %q, %v", text, err)
	}
	metrics := ask("/metrics").Body.String()
	for _, want := range []string{"earshot_log_published_entries ", "earshot_log_cosign_gap 0\n", "earshot_reconcile_vanished_versions 0\n", "earshot_requests_overdue 0\n", "earshot_recordings_overdue 0\n", "earshot_policy_last_run_timestamp_seconds{policy=\"voice-assistant\"} 0\n", "# TYPE earshot_reconcile_timestamp_seconds gauge"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if strings.Contains(metrics, "earshot_reconcile_timestamp_seconds 0\n") {
		t.Error("metrics say that nothing was reconciled")
	}
	if err := i.inst.db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ask("/readyz").Code; got != http.StatusServiceUnavailable {
		t.Errorf("/readyz without a catalog: got %d, want 503", got)
	}
	if got := ask("/healthz").Code; got != http.StatusOK {
		t.Errorf("/healthz without a catalog: got %d, want 200", got)
	}
}
