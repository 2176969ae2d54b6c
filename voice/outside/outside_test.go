package outside_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"earshot"
	"earshot/voice"
	"earshot/voice/outside"
)

// script makes a detector of a shell script.
func script(t *testing.T, text string, timeout time.Duration) *outside.Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "detector")
	// A process that another test forks meanwhile would hold the file open for writing: text file busy.
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	p, err := outside.New(outside.Options{Command: []string{path}, Version: "7", Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const done = `echo '{"done":true}'`

func TestAProgramsWordsAreTaken(t *testing.T) {
	p := script(t, `n=$(wc -c)
test "$n" = 64000 || exit 9
echo '{"word":"Alexa","start_ms":250.5,"end_ms":800,"score":0.75}'
echo
echo '{"word":"alexa","start_ms":1500,"end_ms":2100}'
`+done, time.Minute)
	got, err := p.Detect(t.Context(), make([]float32, 32000))
	if err != nil {
		t.Fatal(err)
	}
	want := []earshot.Span{{Start: 250500 * time.Microsecond, End: 800 * time.Millisecond}, {Start: 1500 * time.Millisecond, End: 2 * time.Second}}
	if len(got) != 2 || got[0].Span != want[0] || got[1].Span != want[1] || got[0].Word != "alexa" || got[0].Score != 0.75 || got[1].Score != 1 || got[0].Verdict != voice.Found {
		t.Errorf("got %+v, want words at %v", got, want)
	}
	if p.Name() != "outside:detector/7" {
		t.Errorf("name %q", p.Name())
	}
}

func TestDoneAloneMeansNothingFound(t *testing.T) {
	got, err := script(t, "cat >/dev/null; "+done, time.Minute).Detect(t.Context(), make([]float32, 100))
	if err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestFailureIsNeverNothingFound(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"silenceIsNoAnswer":      {"cat >/dev/null", "ends without"},
		"exitStatus":             {"cat >/dev/null; " + done + "; exit 3", "exit status 3"},
		"killedItself":           {"cat >/dev/null; kill -9 $$", "killed"},
		"soundNotRead":           {done, "did not read"},
		"linesBehindTheLast":     {"cat >/dev/null; " + done + "; " + done, "behind its last"},
		"noJSON":                 {"cat >/dev/null; echo alexa; " + done, "line 1"},
		"noWord":                 {`cat >/dev/null; echo '{"start_ms":1,"end_ms":2}'; ` + done, "line 1"},
		"controlCharacters":      {`cat >/dev/null; echo '{"word":"a\\u001b[2J","start_ms":1,"end_ms":2}'; ` + done, "line 1"},
		"noUTF8":                 {`cat >/dev/null; printf '{"word":"a\377","start_ms":1,"end_ms":2}\n'; ` + done, "line 1"},
		"longWord":               {`cat >/dev/null; echo '{"word":"` + strings.Repeat("a", 101) + `","start_ms":1,"end_ms":2}'; ` + done, "line 1"},
		"reversed":               {`cat >/dev/null; echo '{"word":"a","start_ms":5,"end_ms":2}'; ` + done, "line 1"},
		"behindTheEnd":           {`cat >/dev/null; echo '{"word":"a","start_ms":50000,"end_ms":60000}'; ` + done, "line 1"},
		"scoreOfTwo":             {`cat >/dev/null; echo '{"word":"a","start_ms":1,"end_ms":2,"score":2}'; ` + done, "line 1"},
		"endlessOutput":          {"cat >/dev/null; yes '{}'", "more than 1048576 bytes"},
		"endlessLine":            {"cat >/dev/null; head -c 100000 /dev/zero | tr '\\0' x; " + done, "token too long"},
		"noTimeLeft":             {"cat >/dev/null; sleep 60; " + done, "no answer within"},
		"ignoresItsTermination":  {"trap '' TERM; cat >/dev/null; while true; do sleep 1; done", "no answer within"},
		"whatWasSaidIsNotQuoted": {"cat >/dev/null; echo 'secret words' >&2; echo secret words; exit 1", "exit status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := script(t, c.text, 3*time.Second).Detect(t.Context(), make([]float32, 1600*100))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") || got != nil {
				t.Errorf("got %+v, %v, want an error with %q", got, err, c.want)
			}
		})
	}
}

// What the program started dies with it, though it holds the output open.
func TestTheWholeGroupIsKilled(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	start := time.Now()
	_, err := script(t, "sleep 300 & echo $! >"+pid+"; cat >/dev/null; sleep 300", time.Second).Detect(t.Context(), make([]float32, 100))
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 10*time.Second {
		t.Fatalf("got %v after %s", err, time.Since(start))
	}
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 { // until somebody reaps it
		if err := syscall.Kill(n, 0); errors.Is(err, syscall.ESRCH) || zombie(n) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("process %d is alive", n)
}

func zombie(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && strings.Contains(string(text), ") Z ")
}

func TestCredentialsDoNotReachIt(t *testing.T) {
	t.Setenv("EARSHOT_SECRET_KEY", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	_, err := script(t, `cat >/dev/null; env | grep -q SECRET && exit 7; `+done, time.Minute).Detect(t.Context(), make([]float32, 10))
	if err != nil {
		t.Error(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range [][]string{nil, {""}, {"/nowhere/at/all"}} {
		if _, err := outside.New(outside.Options{Command: c}); err == nil {
			t.Errorf("%q is taken", c)
		}
	}
}
