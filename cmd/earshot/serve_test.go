package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"earshot/retention/schedule"
)

func TestEndpoints(t *testing.T) {
	i := newInstalled(t)
	h := endpoints(i.inst, schedule.New(schedule.Options{Runner: i.inst.runner, Catalog: i.inst.db, Policies: i.inst.policies}))
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
	if err := json.Unmarshal(ask("/schedule").Body.Bytes(), &st); err != nil || len(st) != 3 || !st[0].Next.After(time.Now()) {
		t.Errorf("schedule: %+v, %v", st, err)
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
