package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"earshot"
)

// kills is how many times the program is killed; EARSHOT_KILLS asks for more.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("EARSHOT_KILLS")); err == nil {
		return n
	}
	return 50
}

// TestKillNine kills the real program with SIGKILL again and again while it scans, plans and
// applies, and lets it finish in the end: nothing held is touched, nothing was done unannounced,
// every intent has its one outcome.
func TestKillNine(t *testing.T) {
	killed, rounds := 0, 0
	rng := rand.New(rand.NewPCG(1, 2))
	for killed < kills() {
		rounds++
		killed += killRound(t, rng, kills()-killed)
	}
	t.Logf("%d kills in %d installations", killed, rounds)
}

type installed struct {
	t    *testing.T
	app  *app
	inst *installation
	fill *filling
}

func newInstalled(t *testing.T) *installed {
	t.Helper()
	a := &app{in: strings.NewReader(""), out: discard{}, err: discard{}, as: "planner"}
	dir := filepath.Join(t.TempDir(), "site")
	if err := a.initialise(t.Context(), dir, initOptions{deaf: true, origin: "example.org/log", bucket: demoBucket, packs: []string{"child-voice-coppa", "storage-limitation-gdpr", "voice-assistant"}}); err != nil {
		t.Fatal(err)
	}
	i, err := a.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.close)
	f := &filling{app: a, inst: i, now: time.Now().UTC()}
	if err := f.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &installed{t, a, i, f}
}

// earshot runs the program, and kills it after a while if that is positive. It returns what the
// program printed and whether it was killed.
func (i *installed) earshot(after time.Duration, as string, args ...string) (string, bool) {
	i.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		i.t.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{"--config", i.app.configPath, "--json", "--as", as}, args...)...)
	cmd.Env = append(os.Environ(), envMain+"=1")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	if after > 0 {
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == -1 {
		return out.String(), true
	}
	if err != nil {
		i.t.Fatalf("earshot %s: %v: %s", strings.Join(args, " "), err, problems.String())
	}
	return out.String(), false
}

func (i *installed) run(out string) earshot.Run {
	i.t.Helper()
	line, _, _ := strings.Cut(out, "\n")
	var r earshot.Run
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		i.t.Fatalf("%q: %v", line, err)
	}
	return r
}

func killRound(t *testing.T, rng *rand.Rand, most int) int {
	i := newInstalled(t)
	before, err := i.fill.etags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	pause := func() time.Duration { return time.Duration(20+rng.IntN(160)) * time.Millisecond }
	plan := func() earshot.Run {
		for killed < min(most, 20) {
			if out, dead := i.earshot(pause(), "planner", "plan"); !dead {
				return i.run(out)
			}
			killed++
		}
		out, _ := i.earshot(0, "planner", "plan")
		return i.run(out)
	}
	run := plan()
	if run.State == earshot.RunSealed {
		i.earshot(0, "approver", "approve", string(run.ID), run.Digest.String())
	}
	for killed < most {
		if _, dead := i.earshot(pause(), "planner", "apply", string(run.ID)); !dead {
			break
		}
		killed++
	}
	i.earshot(0, "planner", "apply", string(run.ID))
	i.check(before)
	return killed
}

// check looks at the end: everything was done, once, and what is held is as it was.
func (i *installed) check(before map[string]string) {
	i.t.Helper()
	ctx := context.Background()
	out, _ := i.earshot(0, "planner", "plan")
	if r := i.run(out); r.Actions != 0 || r.Held == 0 {
		i.t.Errorf("in the end %d actions are left and %d recordings are held", r.Actions, r.Held)
	}
	runs, err := i.inst.db.RunsIn(ctx, earshot.RunDone)
	if err != nil {
		i.t.Fatal(err)
	}
	for _, r := range runs {
		if r.Actions > 0 {
			if err := i.fill.check(ctx, r, before); err != nil {
				i.t.Error(err)
			}
		}
	}
	report, err := i.inst.verify(ctx, i.inst.trust, filepath.Join(i.inst.cfg.dir, "seen"))
	if err != nil {
		i.t.Fatal(err)
	}
	if !report.OK() || report.Open != 0 || report.Intents != report.Outcomes || report.Intents == 0 {
		i.t.Errorf("the log: %d intents, %d outcomes, %d open, %v", report.Intents, report.Outcomes, report.Open, report.Findings)
	}
}
