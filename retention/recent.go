package retention

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"earshot/storage"
	"earshot/storage/catalog"

	"golang.org/x/sync/errgroup"
)

// ErrNotRecent says that the layout or the bucket does not allow a listing of the recent dates only. Scan.
var ErrNotRecent = errors.New("recent recordings cannot be listed by themselves")

const day = 24 * time.Hour

// ScanRecent lists only what the keys say was captured in the last `within`, and a day about it, since
// devices have other time zones. It concludes nothing of what it does not list: neither that older
// recordings are gone, nor that the bucket was listed. What came late, under an older date, is found by
// the next full scan, and so are companions and event logs with rules of their own.
func (r *Runner) ScanRecent(ctx context.Context, within time.Duration, names ...string) ([]Scanned, error) {
	if err := r.Activate(ctx); err != nil {
		return nil, err
	}
	scopes, err := r.rules.scopes(names)
	if err != nil {
		return nil, err
	}
	dated, err := r.layout.dated()
	if err != nil {
		return nil, err
	}
	return r.eachScope(ctx, scopes, "scanning the recent part of", func(s Scope) (Scanned, error) { return r.scanRecent(ctx, s, dated, within) })
}

// Refresh brings the catalog up to date as the options say: by a listing of the recent dates where
// that is possible and the last full scan is not too long ago, else by a full scan.
func (r *Runner) Refresh(ctx context.Context, names ...string) ([]Scanned, error) {
	full := r.o.Recent == 0
	scopes, err := r.rules.scopes(names)
	if err != nil {
		return nil, err
	}
	for _, s := range scopes {
		last, err := r.o.Catalog.LastScan(ctx, s.Bucket, s.Prefix)
		if err != nil {
			return nil, err
		}
		under, err := r.o.Catalog.Ranges(ctx, s.Bucket, s.Prefix)
		if err != nil {
			return nil, err
		}
		full = full || under > 0 || last.IsZero() || r.now().Sub(last) >= r.o.FullEvery
	}
	if !full {
		out, err := r.ScanRecent(ctx, r.o.Recent, names...)
		if !errors.Is(err, ErrNotRecent) {
			return out, err
		}
		r.o.Logger.WarnContext(ctx, "listing everything", "err", err)
	}
	return r.Scan(ctx, names...)
}

func (r *Runner) scanRecent(ctx context.Context, s Scope, dated datedKeys, within time.Duration) (Scanned, error) {
	out := Scanned{Scope: s, Recent: true}
	b, err := r.bucket(ctx, s.Bucket)
	if err != nil {
		return out, err
	}
	prefixes, err := r.recentPrefixes(ctx, b, s, dated, within)
	if err != nil {
		return out, err
	}
	var mu sync.Mutex // guards out
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(r.o.Lists)
	for _, p := range prefixes {
		group.Go(func() error {
			return r.listPrefix(inner, b, p, func(o catalog.Observed, other int) {
				mu.Lock()
				defer mu.Unlock()
				out.Add(o)
				out.Listed += o.New + o.Changed + o.Same
				out.Other += other
				r.o.Progress("scan", out.Listed, 0)
			})
		})
	}
	return out, group.Wait()
}

// listPrefix lists one prefix to its end into the catalog.
func (r *Runner) listPrefix(ctx context.Context, b *storage.Bucket, prefix string, count func(o catalog.Observed, other int)) error {
	began := time.Now() // as in lister.pages
	page := catalog.Page{Bucket: b.Name(), Prefix: prefix, Stem: r.layout.stem, AsOf: began}
	inPage, other := 0, 0
	write := func() error {
		o, _, err := r.o.Catalog.Observe(ctx, page, r.now())
		if err == nil {
			count(o, other)
		}
		return err
	}
	for rec, err := range b.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		page.Through = rec.ID.Key
		if r.layout.isRecording(rec.ID.Key) {
			page.Recordings = append(page.Recordings, rec)
		} else {
			other++
		}
		if inPage++; inPage == writePage {
			if err := write(); err != nil {
				return err
			}
			page.After, page.AsOf, page.Recordings = page.Through, began, page.Recordings[:0]
			inPage, other, began = 0, 0, time.Now()
		}
	}
	page.Last = true
	return write()
}

// datedKeys is how the layout's keys begin, up to and with the date.
type datedKeys struct {
	literal string           // what all begin with, when there are no folders to be found
	folders []*regexp.Regexp // the path's parts that are not known beforehand, from the first of them on
	before  string           // what stands before the date in its own part of the path
	date    string           // Go time layout of the leading part of the date that says no more than the day
}

// dated takes the layout apart. What comes before the date must be a path whose parts can be found by
// listing folders.
func (l *layout) dated() (datedKeys, error) {
	refuse := func(why string) error {
		return fmt.Errorf("%w: layout.recording %s; scan without --recent", ErrNotRecent, why)
	}
	head, rest, found := strings.Cut(l.template, "{captured:")
	switch {
	case !found:
		return datedKeys{}, refuse("has no {captured:...}, so that keys do not tell what is recent")
	case strings.Contains(head, "{any}"):
		return datedKeys{}, refuse("has {any} before {captured:...}, so that the folders of a date are not known")
	}
	format, _, _ := strings.Cut(rest, "}")
	var d datedKeys
	if d.date = dayPart(format); d.date == "" {
		return datedKeys{}, refuse("has a {captured:...} that does not begin with the day, such as {captured:2006/01/02}")
	}
	cut := strings.LastIndexByte(head, '/') + 1
	if d.before = head[cut:]; strings.Contains(d.before, "{") {
		return datedKeys{}, refuse("has something else in the part of the path in which the date begins, so that its folders are not known")
	}
	path := head[:cut]
	fixed := path
	if i := strings.IndexByte(path, '{'); i >= 0 {
		fixed = path[:strings.LastIndexByte(path[:i], '/')+1]
	}
	d.literal = fixed
	for part := range strings.SplitSeq(strings.TrimSuffix(path[len(fixed):], "/"), "/") {
		if part == "" {
			continue
		}
		re, _, err := compileKey(part)
		if err != nil {
			return datedKeys{}, refuse(err.Error())
		}
		d.folders = append(d.folders, re)
	}
	return d, nil
}

// dayPart is the longest leading part of a time layout whose text begins that of the whole and is the
// same all day long.
func dayPart(format string) string {
	last := ""
	for n := 1; n <= len(format); n++ {
		whole, constant := true, true
		for m := range 36 { // days, hours and years enough to tell the layout's parts apart
			at := time.Date(2013+m%7, time.Month(1+m%12), 1+(m*5)%28, 0, 0, 0, 0, time.UTC)
			late := at.Add(day - time.Second)
			whole = whole && strings.HasPrefix(at.Format(format), at.Format(format[:n])) && strings.HasPrefix(late.Format(format), late.Format(format[:n]))
			constant = constant && at.Format(format[:n]) == late.Format(format[:n])
		}
		if whole && constant {
			last = format[:n]
		}
	}
	if last != "" && time.Date(2013, 4, 5, 0, 0, 0, 0, time.UTC).Format(last) == time.Date(2021, 9, 17, 0, 0, 0, 0, time.UTC).Format(last) {
		return "" // it says nothing of the date
	}
	return last
}

// leastRequests is how many listings a recent scan may always cost, however small the bucket.
const leastRequests = 1000

// recentPrefixes are the prefixes under which recent recordings lie. Where there are so many folders
// that listing everything is cheaper, it is refused.
func (r *Runner) recentPrefixes(ctx context.Context, b *storage.Bucket, s Scope, d datedKeys, within time.Duration) ([]string, error) {
	tally, err := r.o.Catalog.Tally(ctx, s.Bucket, s.Prefix)
	if err != nil {
		return nil, err
	}
	budget := max(leastRequests, tally["total"]/scanPage)
	var days []string
	for at := r.now().Add(-within - day); !at.After(r.now().Add(day)); at = at.Add(day) {
		days = append(days, at.Format(d.date))
	}
	days = slices.Compact(append(days, r.now().Add(day).Format(d.date)))
	meets := func(p string) bool { return strings.HasPrefix(p, s.Prefix) || strings.HasPrefix(s.Prefix, p) }
	folders := []string{d.literal}
	for _, part := range d.folders {
		var next []string
		for _, f := range folders {
			for sub, err := range b.Folders(ctx, f, "", 0) {
				if err != nil {
					return nil, err
				}
				if part.MatchString(strings.TrimSuffix(sub[len(f):], "/")) && meets(sub) {
					next = append(next, sub)
				}
				if len(next)*len(days) > budget {
					return nil, fmt.Errorf("%w: there are so many folders before the date that %d listings are not enough, and listing everything is cheaper; scan without --recent", ErrNotRecent, budget)
				}
			}
		}
		folders = next
	}
	var out []string
	for _, f := range folders {
		for _, text := range days {
			if p := f + d.before + text; strings.HasPrefix(p, s.Prefix) {
				out = append(out, p)
			} else if strings.HasPrefix(s.Prefix, p) {
				out = append(out, s.Prefix)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
