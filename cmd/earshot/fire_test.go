package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"earshot/audit"
	"earshot/storage/catalog/catalogtest"

	"golang.org/x/mod/sumdb/tlog"
)

// The log under fire: two processes announce, act and answer through one catalog and one log, while
// they are killed, stopped, and have the catalog restored from a backup under them. An outside reader
// watches the checkpoint, and in the end what was done (objects in a bucket that only the writers
// touch) is compared with what the log says.

// Names of the environment that makes the test binary a writer.
const (
	envFire    = "EARSHOT_FIRE"    // name of the writer
	envControl = "EARSHOT_CONTROL" // a fault that is built in on purpose
	envRound   = "EARSHOT_ROUND"   // changes with every restore: what a writer does after one is new
)

// range of fire.
type battle struct {
	t       *testing.T
	app     *app
	inst    *installation
	control string
	pg      *catalogtest.Postgres // where the catalog is; nil: a file
	round   int
	rng     *rand.Rand

	mu    sync.Mutex
	seen  map[int64]tlog.Hash // what the outside reader saw
	last  int64
	fault []string

	kills, stops, restores, held, halts, crashes int
}

func newBattle(t *testing.T, control, engine string) *battle {
	t.Helper()
	a := &app{in: strings.NewReader(""), out: discard{}, err: discard{}, as: "general"}
	dir := filepath.Join(t.TempDir(), "site")
	o := initOptions{deaf: true, origin: "example.org/log", bucket: demoBucket, packs: []string{"voice-assistant"}}
	var pg *catalogtest.Postgres
	if engine == "postgres" {
		pg = newServer(t)
		var err1, err2 error
		o.catalog, err1 = pg.Schema(t.Context(), "fire_0_")
		o.subjectKeys, err2 = pg.Schema(t.Context(), "subject_keys")
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.initialise(t.Context(), dir, o); err != nil {
		t.Fatal(err)
	}
	i, err := a.connect(t.Context()) // the store stays up; the catalog is the writers'
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.close)
	if err := i.store.MakeBucket(t.Context(), "acts", false, false); err != nil {
		t.Fatal(err)
	}
	return &battle{t: t, app: a, inst: i, control: control, pg: pg, rng: rand.New(rand.NewPCG(3, 4)), seen: map[int64]tlog.Hash{}}
}

func (b *battle) start(name string) *exec.Cmd {
	b.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envFire+"="+name, "EARSHOT_CONFIG="+b.app.configPath, envControl+"="+b.control, fmt.Sprintf("%s=%d", envRound, b.round))
	if b.pg == nil {
		cmd.Stderr = os.Stderr // with a database that is killed there is much to say
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	return cmd
}

// rage runs two writers and does harm to them until enough has been done.
func (b *battle) rage(kills, restores int) {
	names := []string{"a", "b"}
	running := map[string]*exec.Cmd{}
	defer end(running, names...)
	backup, published := "", 0
	for b.kills < kills || b.restores < restores {
		for _, n := range names {
			if running[n] == nil {
				running[n] = b.start(n)
			}
		}
		published = b.published(published)
		time.Sleep(time.Duration(20+b.rng.IntN(120)) * time.Millisecond)
		victim := names[b.rng.IntN(2)]
		switch r := b.rng.IntN(10); {
		case r == 0 && b.pg != nil:
			b.pg.Kill() // at once, with all that was not committed
			if err := b.pg.Start(); err != nil {
				b.t.Fatal(err)
			}
			b.crashes++
		case r < 6:
			end(running, victim)
			b.kills++
		case r < 8:
			_ = running[victim].Process.Signal(syscall.SIGSTOP)
			b.stops++
			time.Sleep(time.Duration(30+b.rng.IntN(100)) * time.Millisecond)
			_ = running[victim].Process.Signal(syscall.SIGCONT)
		case r == 8 && backup == "":
			backup = b.backup()
		case backup != "" && b.restores < restores:
			b.haunt(running, victim, backup)
			backup = ""
		}
		b.mend()
	}
}

// end kills writers.
func end(running map[string]*exec.Cmd, names ...string) {
	for _, name := range names {
		cmd := running[name]
		if cmd == nil {
			continue
		}
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		delete(running, name)
	}
}

// haunt restores a backup while one writer lives on and believes in the old times; the others are dead.
func (b *battle) haunt(running map[string]*exec.Cmd, name, backup string) {
	zombie := running[name]
	delete(running, name)
	left, release := b.hold()
	end(running, slices.Collect(maps.Keys(running))...)
	_ = zombie.Process.Signal(syscall.SIGSTOP)
	release()
	b.restore(backup)
	if asleep := b.rng.IntN(4) > 0; asleep { // else it publishes what it was stopped at, if it is quick
		b.recover()
		_ = zombie.Process.Signal(syscall.SIGCONT)
	} else {
		_ = zombie.Process.Signal(syscall.SIGCONT)
		b.recover()
	}
	b.restores++
	b.round++
	running["c"] = b.start("c") // and works beside it, past what was left behind
	b.reached(left + 2)
	time.Sleep(time.Duration(b.rng.IntN(150)) * time.Millisecond)
	end(running, "c")
	grace := time.AfterFunc(5*time.Second, func() { _ = zombie.Process.Kill() })
	defer grace.Stop()
	var exit *exec.ExitError
	if err := zombie.Wait(); errors.As(err, &exit) && exit.ExitCode() == fireHalted {
		b.halts++
	}
}

// hold has writers stop where tiles lie in the store that no checkpoint covers, and waits until one has: left is the
// size of its tree. Who is killed before release leaves its tiles behind.
func (b *battle) hold() (left int64, release func()) {
	hold, held := filepath.Join(filepath.Dir(b.app.configPath), fireHold), filepath.Join(filepath.Dir(b.app.configPath), fireHeld)
	_ = os.Remove(held)
	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		b.t.Fatal(err)
	}
	for began := time.Now(); left == 0 && time.Since(began) < 10*time.Second; time.Sleep(3 * time.Millisecond) {
		if text, err := os.ReadFile(held); err == nil {
			left, _ = strconv.ParseInt(string(text), 10, 64)
		}
	}
	if left > 0 {
		b.held++
	}
	return left, func() { _ = os.Remove(hold) }
}

// mend recovers if a writer halted.
func (b *battle) mend() {
	db, o, i, err := b.catalog()
	if err != nil {
		return
	}
	defer i.close()
	_ = db
	if _, err := audit.Open(b.t.Context(), o); errors.Is(err, audit.ErrHalted) {
		if b.restores == 0 {
			b.fault = append(b.fault, "the log halted, and no backup was restored")
		}
		b.recover()
	}
}

func (b *battle) catalog() (audit.Head, audit.Options, *installation, error) {
	i, err := b.app.connect(b.t.Context())
	if err != nil {
		return nil, audit.Options{}, nil, err
	}
	o, err := b.app.openKeys(b.t.Context(), i)
	if err != nil {
		i.close()
		return nil, o, nil, err
	}
	return o.Head, o, i, nil
}

func (b *battle) recover() {
	_, o, i, err := b.catalog()
	if err != nil {
		b.fault = append(b.fault, "opening the restored catalog: "+err.Error())
		return
	}
	defer i.close()
	known := func(context.Context, string) (bool, error) { return true, nil }
	if _, err := audit.Recover(b.t.Context(), o, i.db.Head(), audit.RecoverOptions{Known: known}); err != nil && !errors.Is(err, audit.ErrHalted) {
		b.mu.Lock()
		b.fault = append(b.fault, "recovering: "+err.Error())
		b.mu.Unlock()
	}
}

// backup copies the catalog, as a backup by SQL does.
func (b *battle) backup() string {
	path := filepath.Join(b.t.TempDir(), fmt.Sprintf("backup-%d.db", b.kills))
	_, _, i, err := b.catalog()
	if err != nil {
		return ""
	}
	defer i.close()
	if b.pg != nil {
		return b.dump()
	}
	if err := i.db.Backup(b.t.Context(), path); err != nil {
		b.t.Logf("backup: %v", err)
		return ""
	}
	return path
}

// restore makes the backup the catalog, under another name: the old one stays, and whoever has it
// open goes on writing to it, as to an old primary.
func (b *battle) restore(path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		b.t.Fatal(err)
	}
	name := fmt.Sprintf("catalog-%d.db", b.restores)
	if b.pg != nil {
		name = b.undump(data)
	} else if err := os.WriteFile(filepath.Join(filepath.Dir(b.app.configPath), name), data, 0o600); err != nil {
		b.t.Fatal(err)
	}
	text, err := os.ReadFile(b.app.configPath)
	if err != nil {
		b.t.Fatal(err)
	}
	var lines []string
	for _, l := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(l, "catalog:") {
			lines = append(lines, l)
		}
	}
	if err := os.WriteFile(b.app.configPath, []byte("catalog: "+name+"\n"+strings.Join(lines, "\n")), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *battle) fight(kills, restores int) []string {
	ctx, stop := context.WithCancel(b.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.watch(ctx) })
	b.rage(kills, restores)
	stop()
	wg.Wait()
	return b.judge()
}

// engines that a catalog may be in.
var engines = []string{"sqlite", "postgres"}

func TestTheLogUnderFire(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for a minute")
	}
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			if found := newBattle(t, "", engine).fight(kills()*3, 8); len(found) > 0 {
				t.Errorf("%d findings:\n%s", len(found), strings.Join(found[:min(len(found), 20)], "\n"))
			}
		})
	}
}

// TestTheFireWouldFindAFaultyLog: with a fault built in the same test must find something.
func TestTheFireWouldFindAFaultyLog(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes for a minute")
	}
	// Whether a fault shows depends on where a kill happens to fall: the engines take turns until it does.
	for control, restores := range map[string]int{"no-if-match": 4, "gate-at-sequenced": 4, "no-orphan-rule": 4, "random-ids": 4, "publish-before-commit": 0} {
		t.Run(control, func(t *testing.T) {
			t.Parallel()
			for try := range 10 {
				engine := engines[try%len(engines)]
				if found := newBattle(t, control, engine).fight(16, restores); len(found) > 0 {
					t.Logf("found on %s: %s", engine, found[0])
					return
				}
			}
			t.Error("nothing was found: the test cannot see this fault")
		})
	}
}
