package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"earshot"
	"earshot/storage"

	"github.com/spf13/cobra"
)

// finding is one thing that doctor looked at.
type finding struct {
	Check  string `json:"check"`
	Level  string `json:"level"` // ok, warning or fault
	Detail string `json:"detail,omitempty"`
	Do     string `json:"do,omitempty"` // what to do about it
}

func newDoctor(a *app) *cobra.Command {
	return command("doctor", "Check the installation and say what to do about what is wrong",
		`Endpoint, credentials, clock, buckets, versioning, object lock, the permissions that runs need (tried out on an
object of doctor's own below .earshot-doctor/, removed afterwards), conditional writes, catalog, keys, policies.`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			faults := 0
			for f := range a.diagnose(cmd.Context()) {
				if f.Level == "fault" {
					faults++
				}
				if err := a.emit(f, func(w io.Writer) {
					fmt.Fprintf(w, "%-8s %s", f.Level, f.Check)
					if f.Detail != "" {
						fmt.Fprintf(w, ": %s", f.Detail)
					}
					if f.Do != "" {
						fmt.Fprintf(w, "\n         -> %s", f.Do)
					}
					fmt.Fprintln(w)
				}); err != nil {
					return err
				}
			}
			if faults > 0 {
				return fmt.Errorf("%d fault(s)", faults)
			}
			return nil
		})
}

// diagnose goes from the outside in and stops where nothing further can be told.
func (a *app) diagnose(ctx context.Context) func(yield func(finding) bool) {
	return func(yield func(finding) bool) {
		cfg, err := a.config()
		if err != nil {
			yield(finding{"configuration", "fault", oneLine(err), "mend the file; earshot init makes one to begin with"})
			return
		}
		if !yield(finding{Check: "configuration", Level: "ok", Detail: a.configPath}) {
			return
		}
		i, err := a.connectTo(ctx, cfg)
		if err != nil {
			yield(finding{"store", "fault", oneLine(err), "see store: in the configuration"})
			return
		}
		defer i.close()
		if !yield(clockSkew(ctx, i.options.Endpoint)) || !yield(checkCredentials(ctx, i)) {
			return
		}
		by, err := a.principal()
		if err == nil {
			err = a.openRest(ctx, i, by)
		}
		if err != nil {
			yield(finding{"log, catalog, keys and policies", "fault", oneLine(err), "earshot policy check names errors in policies; keys and catalog are made by earshot init and come from a backup otherwise"})
			return
		}
		if !yield(finding{Check: "log, catalog, keys and policies", Level: "ok", Detail: fmt.Sprintf("%d policies", len(i.policies))}) {
			return
		}
		seen := map[string]bool{}
		for _, p := range i.policies {
			name := p.Scope().Bucket
			if seen[name] {
				continue
			}
			seen[name] = true
			for _, f := range checkBucket(ctx, i.store, name) {
				if !yield(f) {
					return
				}
			}
		}
		for _, f := range checkLogBucket(ctx, i) {
			if !yield(f) {
				return
			}
		}
	}
}

// clockSkew compares our clock with the store's: signatures fail beyond 15 minutes, and retention
// dates are wrong before that.
func clockSkew(ctx context.Context, endpoint string) finding {
	f := finding{Check: "store and clock", Level: "fault"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		f.Detail = oneLine(err)
		return f
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.Detail, f.Do = oneLine(err), "is the endpoint right, and does the store run?"
		return f
	}
	defer resp.Body.Close()
	there, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return finding{"store and clock", "warning", "the store tells no time, so the clocks could not be compared", ""}
	}
	skew := time.Since(there).Abs()
	switch {
	case skew > 5*time.Minute:
		f.Detail, f.Do = fmt.Sprintf("our clock and the store's differ by %s", skew.Round(time.Second)), "set the clock (NTP)"
		return f
	case skew > 5*time.Second:
		return finding{"store and clock", "warning", fmt.Sprintf("our clock and the store's differ by %s", skew.Round(time.Second)), "set the clock (NTP)"}
	}
	return finding{Check: "store and clock", Level: "ok", Detail: endpoint}
}

// checkCredentials asks the store for the log's bucket, which is there in any installation.
func checkCredentials(ctx context.Context, i *installation) finding {
	_, err := i.store.Bucket(ctx, i.cfg.Log.Bucket)
	switch {
	case errors.Is(err, storage.ErrCredentials):
		return finding{"credentials", "fault", oneLine(err), "set $EARSHOT_ACCESS_KEY and $EARSHOT_SECRET_KEY, or the files that store.access_key_file and store.secret_key_file name"}
	case errors.Is(err, storage.ErrDenied):
		return finding{"credentials", "fault", oneLine(err), "the store knows them or not, and does not let them read the log's bucket"}
	case errors.Is(err, storage.ErrNotFound):
		return finding{"credentials", "fault", "the log's bucket " + i.cfg.Log.Bucket + " is not there", "make it, best with object lock; if there was one, restore it, and do not run init again"}
	case err != nil:
		return finding{"credentials", "fault", oneLine(err), "does the store run?"}
	}
	return finding{Check: "credentials", Level: "ok"}
}

func checkBucket(ctx context.Context, store *storage.Store, name string) []finding {
	check := "bucket " + name
	b, err := store.Bucket(ctx, name)
	if errors.Is(err, storage.ErrNotFound) {
		return []finding{{check, "fault", "it is not there", "make it, or correct scope.bucket in the policy"}}
	}
	if err != nil {
		return []finding{{check, "fault", oneLine(err), "the credentials need s3:ListBucket, s3:GetBucketVersioning and s3:GetBucketObjectLockConfiguration"}}
	}
	var out []finding
	switch b.Versioning() {
	case storage.Versioned:
		out = append(out, finding{Check: check + " versioning", Level: "ok", Detail: "enabled"})
	case storage.Suspended:
		out = append(out, finding{check + " versioning", "warning", "suspended: old versions are destroyed by runs, new ones overwrite", "switch it on, so that an object replaced during a run is never lost"})
	case storage.Unversioned:
		out = append(out, finding{check + " versioning", "warning", "never switched on: S3 has no conditional delete, so an object replaced within the moment of its deletion is lost", "switch versioning on"})
	}
	if b.Locking() {
		out = append(out, finding{Check: check + " object lock", Level: "ok", Detail: "on; what it protects is kept and reported"})
	}
	return append(out, tryOut(ctx, b, check)...)
}

// tryOut does with an object of its own what runs do with recordings.
func tryOut(ctx context.Context, b *storage.Bucket, check string) []finding {
	const key = ".earshot-doctor/probe"
	fault := func(what string, err error, permission string) []finding {
		return []finding{{check + " permissions", "fault", what + ": " + oneLine(err), "the credentials need " + permission}}
	}
	if _, err := b.Put(ctx, key, []byte("probe"), "text/plain", nil, nil); err != nil {
		return fault("storing", err, "s3:PutObject")
	}
	head, err := b.Head(ctx, key, "")
	if err != nil {
		return fault("reading metadata", err, "s3:GetObject and s3:GetObjectTagging")
	}
	stale := head
	stale.ETag = "00000000000000000000000000000000"
	body := func() io.ReadSeeker { return strings.NewReader("probed") }
	_, err = b.Replace(ctx, stale, body(), 6, map[string]string{"earshot-redacted": "doctor-stale"})
	if !errors.Is(err, storage.ErrChanged) {
		return []finding{{check + " conditional writes", "fault", "the store does not heed If-Match on PUT: a redaction could overwrite a newer recording", "use a store that has conditional writes"}}
	}
	if _, err := b.Replace(ctx, head, body(), 6, map[string]string{"earshot-redacted": "doctor"}); err != nil {
		return fault("replacing", err, "s3:PutObject and s3:PutObjectTagging")
	}
	left, err := b.Present(ctx, key)
	if err != nil {
		return fault("listing versions", err, "s3:ListBucketVersions and s3:ListBucketMultipartUploads")
	}
	for _, v := range left.Versions {
		if err := b.Destroy(ctx, []earshot.RecordingID{v.ID})[0]; err != nil {
			return fault("destroying a version", err, "s3:DeleteObject and s3:DeleteObjectVersion")
		}
	}
	if left, err = b.Present(ctx, key); err != nil || !left.Gone() {
		return []finding{{check + " permissions", "fault", "what was destroyed is still listed", "is there a replication or lifecycle rule that brings it back?"}}
	}
	return []finding{{Check: check + " permissions", Level: "ok", Detail: "store, read, replace if unchanged, list versions, destroy"}}
}

func checkLogBucket(ctx context.Context, i *installation) []finding {
	name := i.cfg.Log.Bucket
	check := "log bucket " + name
	var out []finding
	b, err := i.store.Bucket(ctx, name)
	if err != nil {
		return []finding{{check, "fault", oneLine(err), "make the bucket, best with object lock"}}
	}
	switch {
	case b.Locking() && i.cfg.Log.retain > 0:
		out = append(out, finding{Check: check, Level: "ok", Detail: "what is written to it is locked for " + i.cfg.Log.Retain})
	case b.Locking():
		out = append(out, finding{check, "warning", "object lock is on, but nothing is put under retention", "set log.retain, or a default retention of the bucket"})
	default:
		out = append(out, finding{check, "warning", "no object lock: who may write to the bucket can remove the log", "use a bucket with object lock, in another account"})
	}
	for _, p := range i.policies {
		if p.Scope().Bucket == name {
			out = append(out, finding{check, "fault", "the policy " + p.Name() + " has the log in its scope", "keep the log in a bucket of its own"})
		}
	}
	return out
}
