// Package work lets several processes share the work of one installation: jobs in PostgreSQL wake
// workers for a part of a run to be carried out, for recordings to be listened to, or for a part of a bucket
// to be listed.
//
// The catalog is the truth and the queue only wakes: a job that is lost, or comes twice, loses and
// doubles nothing, since what is to be done, and who is at it, is in the catalog. It must not know
// how anything is done. The queue is River's (MPL-2.0).
package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"earshot"
	"earshot/retention"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// Queue is where jobs wait. It is safe for concurrent use.
type Queue struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	o      Options
}

// Options of a Queue.
type Options struct {
	URL    string // of the catalog's PostgreSQL database
	Runner *retention.Runner
	Jobs   int // jobs worked at once by Run; default 2. Each handles several recordings at once
	// Quiet, if not nil, gives the end of the hours in which Run takes no job; the zero time outside of them.
	Quiet  func(now time.Time) time.Time
	Logger *slog.Logger // default: silent
}

// How large a job is, and how many a run is cut into at most: a job is a reason to look, not the work.
const (
	actionsPerJob = 500
	maxJobs       = 256
)

// turn is how long a job has its place: then it makes room for what comes before it by now, and comes back.
const turn = time.Minute

// inTurn works a part for one turn.
func inTurn(ctx context.Context, part func(ctx context.Context) error) error {
	within, end := context.WithCancel(ctx) // not by a deadline, which would look like one of the store or of a detector
	defer end()
	defer time.AfterFunc(turn, end).Stop()
	err := part(within)
	if within.Err() != nil && ctx.Err() == nil {
		return river.JobSnooze(time.Second)
	}
	return err
}

// The queue that jobs wait in, and what comes first: what people have asked for, since that has a date by
// law, then what is to be carried out, what a plan waits for, what is to be listed.
const (
	queueName      = "earshot"
	priorityPeople = 1
	priorityRun    = 2
	priorityHear   = 3
	priorityScan   = 4
)

// applyArgs is a part of a run to be carried out.
type applyArgs struct {
	Run  earshot.RunID `json:"run"  river:"unique"`
	Part int           `json:"part" river:"unique"`
}

func (applyArgs) Kind() string { return "apply" }

// scanArgs is a scope to help listing.
type scanArgs struct {
	Bucket string `json:"bucket" river:"unique"`
	Prefix string `json:"prefix" river:"unique"`
	Part   int    `json:"part"   river:"unique"`
	Layout string `json:"layout" river:"unique"`
}

func (scanArgs) Kind() string { return "scan" }

// hearArgs are recordings to be listened to.
type hearArgs struct {
	Part int `json:"part" river:"unique"`
}

func (hearArgs) Kind() string { return "hear" }

// Open connects to the queue and makes its tables where they are missing.
func Open(ctx context.Context, o Options) (*Queue, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Jobs == 0 {
		o.Jobs = 2
	}
	if o.Quiet == nil {
		o.Quiet = func(time.Time) time.Time { return time.Time{} }
	}
	cfg, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, errors.New("opening the queue: the PostgreSQL URL cannot be read") // the cause would repeat the password
	}
	cfg.MaxConns = int32(min(o.Jobs, 64)) + 4
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	q := &Queue{pool: pool, o: o}
	if err := q.begin(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	return q, nil
}

func (q *Queue) begin(ctx context.Context) error {
	driver := riverpgxv5.New(q.pool)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := q.alone(ctx, func() error {
		_, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
		return err
	}); err != nil {
		return err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &applyWorker{runner: q.o.Runner})
	river.AddWorker(workers, &scanWorker{runner: q.o.Runner})
	river.AddWorker(workers, &hearWorker{runner: q.o.Runner})
	q.client, err = river.NewClient(driver, &river.Config{
		Queues:  map[string]river.QueueConfig{queueName: {MaxWorkers: q.o.Jobs}},
		Workers: workers,
		Logger:  q.o.Logger,
		// One whose worker died is given to another by its age, which must be above what a job may take (what was begun
		// is brought to its end after a turn); that is no hurry, since whoever applies the run takes the dead worker's
		// actions over. Without a limit the engine would rescue none.
		JobTimeout: 10 * turn, RescueStuckJobsAfter: 15 * turn,
		FetchCooldown: 50 * time.Millisecond, FetchPollInterval: time.Second,
	})
	return err
}

// alone does what processes that begin at the same moment must do one after the other: the engine makes the
// queue's tables for each of them, and fails for all but one.
func (q *Queue) alone(ctx context.Context, do func() error) error {
	conn, err := q.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "select pg_advisory_lock(hashtext('earshot queue'))"); err != nil {
		return err
	}
	err = do()
	if _, unlock := conn.Exec(context.WithoutCancel(ctx), "select pg_advisory_unlock(hashtext('earshot queue'))"); unlock != nil {
		err = errors.Join(err, unlock, conn.Conn().Close(context.WithoutCancel(ctx))) // the lock ends with the connection
	}
	return err
}

// Close ends the connection. A queue that is being worked is stopped first, by the context of Run.
func (q *Queue) Close() { q.pool.Close() }

// unique: while a job waits or is being worked, another one for the same part would be for nothing.
func unique() river.UniqueOpts {
	return river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateRetryable, rivertype.JobStateScheduled,
	}}
}

// WakeRun puts jobs for a run into the queue. Failing costs speed and nothing else: it is reported
// and the run goes on without help.
func (q *Queue) WakeRun(ctx context.Context, run earshot.Run, urgent bool) {
	parts := min(maxJobs, (run.Actions+actionsPerJob-1)/actionsPerJob)
	if run.Actions <= actionsPerJob {
		return // done before anybody is awake
	}
	priority := priorityRun
	if urgent {
		priority = priorityPeople
	}
	jobs := make([]river.InsertManyParams, 0, parts)
	for part := range parts {
		jobs = append(jobs, river.InsertManyParams{Args: applyArgs{run.ID, part}, InsertOpts: &river.InsertOpts{Queue: queueName, Priority: priority, UniqueOpts: unique()}})
	}
	q.insert(ctx, jobs)
}

// scanJobs is how many workers are asked to help with a scan.
const scanJobs = 4

// WakeScan puts jobs for a scan into the queue, in the same way.
func (q *Queue) WakeScan(ctx context.Context, s retention.Scope) {
	var jobs []river.InsertManyParams
	for part := range scanJobs {
		jobs = append(jobs, river.InsertManyParams{Args: scanArgs{s.Bucket, s.Prefix, part, q.o.Runner.LayoutDigest().Short()}, InsertOpts: &river.InsertOpts{Queue: queueName, Priority: priorityScan, UniqueOpts: unique()}})
	}
	q.insert(ctx, jobs)
}

// recordingsPerJob is how many recordings that are to be heard are worth a job, hearJobs how many are at most
// put into the queue.
const (
	recordingsPerJob = 16
	hearJobs         = 64
)

// WakeHearing puts jobs for recordings that are to be listened to into the queue, in the same way.
func (q *Queue) WakeHearing(ctx context.Context, recordings int) {
	var jobs []river.InsertManyParams
	for part := range min(hearJobs, recordings/recordingsPerJob) {
		jobs = append(jobs, river.InsertManyParams{Args: hearArgs{part}, InsertOpts: &river.InsertOpts{Queue: queueName, Priority: priorityHear, UniqueOpts: unique()}})
	}
	if len(jobs) > 0 {
		q.insert(ctx, jobs)
	}
}

func (q *Queue) insert(ctx context.Context, jobs []river.InsertManyParams) {
	if _, err := q.client.InsertMany(ctx, jobs); err != nil && ctx.Err() == nil {
		q.o.Logger.WarnContext(ctx, "other workers could not be woken", "err", err)
	}
}

// Run works jobs until ctx ends, then finishes those under way for at most `drain`: after that their
// contexts end too, no further recording is begun, and what was begun is brought to its end. When quiet hours begin
// it stops in the same way, and goes on behind them.
func (q *Queue) Run(ctx context.Context, drain time.Duration) error {
	for ctx.Err() == nil {
		if q.quiet() {
			select {
			case <-ctx.Done():
			case <-time.After(quietPoll):
			}
			continue
		}
		if err := q.runLoud(ctx, drain); err != nil {
			return err
		}
	}
	return nil
}

// quietPoll is how often a worker looks whether quiet hours have begun, or are over: clocks are set.
const quietPoll = time.Second

func (q *Queue) quiet() bool { return !q.o.Quiet(time.Now()).IsZero() }

// runLoud works jobs until ctx ends or quiet hours begin.
func (q *Queue) runLoud(ctx context.Context, drain time.Duration) error {
	firm := context.WithoutCancel(ctx)
	if err := q.client.Start(firm); err != nil {
		return fmt.Errorf("working the queue: %w", err)
	}
	tick := time.NewTicker(quietPoll)
	defer tick.Stop()
	for ctx.Err() == nil && !q.quiet() {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	soft, cancel := context.WithTimeout(firm, drain)
	defer cancel()
	err := q.client.Stop(soft)
	if errors.Is(err, context.DeadlineExceeded) {
		err = q.client.StopAndCancel(firm)
	}
	if err != nil {
		return fmt.Errorf("stopping the queue: %w", err)
	}
	return nil
}

// Pause keeps all workers from taking jobs, until Resume. Those under way are finished.
func (q *Queue) Pause(ctx context.Context) error {
	return wrap("pausing the queue", q.client.QueuePause(ctx, queueName, nil))
}

// Resume lets workers take jobs again.
func (q *Queue) Resume(ctx context.Context) error {
	return wrap("resuming the queue", q.client.QueueResume(ctx, queueName, nil))
}

// Status is how much waits.
type Status struct {
	Paused  bool `json:"paused"`
	Waiting int  `json:"waiting"`
	Running int  `json:"running"`
	Failing int  `json:"failing"` // failed at least once and wait for another try
}

// Status tells how much waits.
func (q *Queue) Status(ctx context.Context) (Status, error) {
	var s Status
	err := q.pool.QueryRow(ctx, `select coalesce((select paused_at is not null from river_queue where name = $1), false),
		count(*) filter (where state = 'available'), count(*) filter (where state = 'running'), count(*) filter (where state = 'retryable')
		from river_job where queue = $1`, queueName).Scan(&s.Paused, &s.Waiting, &s.Running, &s.Failing)
	return s, wrap("reading the queue", err)
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

type applyWorker struct {
	river.WorkerDefaults[applyArgs]
	runner *retention.Runner
}

// Work carries out a part of a run. A run that is over, or is not ours, is no reason to try again.
func (w *applyWorker) Work(ctx context.Context, job *river.Job[applyArgs]) error {
	return inTurn(ctx, func(ctx context.Context) error {
		_, err := w.runner.Assist(ctx, job.Args.Run, actionsPerJob)
		if errors.Is(err, retention.ErrStaleRun) {
			return river.JobCancel(err)
		}
		return err
	})
}

type scanWorker struct {
	river.WorkerDefaults[scanArgs]
	runner *retention.Runner
}

func (w *scanWorker) Work(ctx context.Context, job *river.Job[scanArgs]) error {
	if job.Args.Layout != w.runner.LayoutDigest().Short() { // another layout: what is a recording here may be none there
		return river.JobCancel(errors.New("the scan is by another layout than this worker's: restart the worker with the configuration of today"))
	}
	return inTurn(ctx, func(ctx context.Context) error {
		_, err := w.runner.AssistScan(ctx, retention.Scope{Bucket: job.Args.Bucket, Prefix: job.Args.Prefix})
		return err
	})
}

type hearWorker struct {
	river.WorkerDefaults[hearArgs]
	runner *retention.Runner
}

func (w *hearWorker) Work(ctx context.Context, _ *river.Job[hearArgs]) error {
	return inTurn(ctx, func(ctx context.Context) error {
		_, err := w.runner.Hear(ctx)
		return err
	})
}
