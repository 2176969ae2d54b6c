package main

import (
	"fmt"
	"strings"
	"time"
)

// stored is the key of a recording that is not due, spread over subjects; due is one that is.
func stored(i int) string {
	return fmt.Sprintf("clips/s%04d/dev/%s/r%07d.wav", i%1000, time.Now().UTC().AddDate(0, 0, -10).Format("2006/01/02"), i)
}

func due(i int) string { return fmt.Sprintf("clips/s%04d/dev/2026/01/05/d%07d.wav", i%1000, i) }

// measure is a contender's run of one command.
func (b *bench) measure(c command) func() (measured, error) {
	return func() (measured, error) {
		m, _, err := b.run(c)
		return m, err
	}
}

// scan compares the first full scan, and one that finds nothing new, with listings that keep nothing.
func (b *bench) scan() error {
	const bucket = "stored"
	if err := b.stored(bucket); err != nil {
		return err
	}
	said := func(want string) func() (measured, error) {
		return func() (measured, error) {
			m, out, err := b.run(b.cmd("earshot", "--json", "scan"))
			if err == nil && !strings.Contains(out, want) {
				err = fmt.Errorf("the scan did not find %s: %s", want, out)
			}
			return m, err
		}
	}
	cs := []contender{
		{"earshot scan, the first", func() error { return b.site(bucket) }, said(fmt.Sprintf(`"new":%d,`, b.objects))},
		{"earshot scan, nothing new", nil, said(fmt.Sprintf(`"same":%d`, b.objects))},
		{"rclone lsf -R --fast-list", nil, b.measure(b.cmd("rclone", "lsf", "-R", "--fast-list", "local:"+bucket))},
		{"mc ls -r", nil, b.measure(b.cmd("mc", "ls", "-r", "local/"+bucket))},
	}
	ms, err := b.inTurn(cs)
	if err != nil {
		return err
	}
	b.table(fmt.Sprintf("Scan of %d objects", b.objects), cs, ms)
	return nil
}

// stored fills the large bucket, once.
func (b *bench) stored(bucket string) error {
	if ok, err := b.server.client.BucketExists(b.ctx, bucket); err != nil || ok {
		return err
	}
	if err := b.server.fresh(b.ctx, bucket, false); err != nil {
		return err
	}
	began := time.Now()
	err := b.server.fill(b.ctx, bucket, b.objects, stored)
	fmt.Fprintf(b.say, "%d objects stored in %s\n", b.objects, time.Since(began).Round(time.Second))
	return err
}

// expiry compares the expiry of everything in a bucket.
func (b *bench) expiry() error {
	const bucket = "expire"
	refill := func() error {
		if err := b.server.fresh(b.ctx, bucket, false); err != nil {
			return err
		}
		if err := b.server.fill(b.ctx, bucket, b.expire, due); err != nil {
			return err
		}
		time.Sleep(2 * time.Second) // older than a second, for those who go by the time of storage
		return nil
	}
	scanned := func() error {
		if err := refill(); err != nil {
			return err
		}
		_, _, err := b.run(b.cmd("earshot", "scan"))
		return err
	}
	if err := b.site(bucket); err != nil {
		return err
	}
	cs := []contender{
		{"earshot plan + apply", scanned, func() (measured, error) { return b.dispose(b.expire) }},
		{"earshot scan + plan + apply", refill, func() (measured, error) {
			scan, _, err := b.run(b.cmd("earshot", "scan"))
			if err != nil {
				return scan, err
			}
			rest, err := b.dispose(b.expire)
			return scan.plus(rest), err
		}},
		{"mc rm -r --older-than", refill, b.measure(b.cmd("mc", "rm", "-r", "--force", "--quiet", "--older-than", "1s", "local/"+bucket))},
		{"rclone delete --min-age", refill, b.measure(b.cmd("rclone", "delete", "--min-age", "1s", "--use-server-modtime", "--fast-list", "local:"+bucket))},
	}
	for _, n := range []int{1, 2, 4} {
		cs = append(cs, contender{fmt.Sprintf("earshot plan + apply, workers: %d", n), func() error {
			if err := scanned(); err != nil {
				return err
			}
			return b.configure(b.server.addr, n)
		}, func() (measured, error) {
			m, err := b.dispose(b.expire)
			if err == nil {
				err = b.configure(b.server.addr, 8)
			}
			return m, err
		}})
	}
	for i, c := range cs { // nothing counts that did not do its work
		do := c.do
		cs[i].do = func() (measured, error) {
			m, err := do()
			if err != nil {
				return m, err
			}
			left, err := b.server.count(b.ctx, bucket)
			if err == nil && left > 0 {
				err = fmt.Errorf("%d objects are left", left)
			}
			return m, err
		}
	}
	ms, err := b.inTurn(cs)
	if err != nil {
		return err
	}
	b.table(fmt.Sprintf("Expiry of %d objects; earshot with intents, outcomes and proof of absence", b.expire), cs, ms)
	return nil
}

// few compares the expiry of a few among many.
func (b *bench) few() error {
	const bucket = "stored"
	if err := b.stored(bucket); err != nil {
		return err
	}
	if err := b.site(bucket); err != nil {
		return err
	}
	first, _, err := b.run(b.cmd("earshot", "scan"))
	if err != nil {
		return err
	}
	time.Sleep(young) // so that only the due ones are young
	var reconcile []measured
	arrive := func() error { return b.server.fill(b.ctx, bucket, b.due, due) }
	known := func() error {
		if err := arrive(); err != nil {
			return err
		}
		m, _, err := b.run(b.cmd("earshot", "scan"))
		reconcile = append(reconcile, m)
		return err
	}
	age := young.String()
	cs := []contender{
		{"earshot plan + apply", known, func() (measured, error) { return b.dispose(b.due) }},
		{"mc rm -r, by age", arrive, b.measure(b.cmd("mc", "rm", "-r", "--force", "--quiet", "--newer-than", age, "local/"+bucket))},
		{"rclone delete, by age", arrive, b.measure(b.cmd("rclone", "delete", "--max-age", age, "--use-server-modtime", "--fast-list", "local:"+bucket))},
	}
	for i, c := range cs {
		do := c.do
		cs[i].do = func() (measured, error) {
			m, err := do()
			if err != nil {
				return m, err
			}
			n, err := b.server.count(b.ctx, bucket)
			if err == nil && n != b.objects {
				err = fmt.Errorf("%d objects are left, not the %d that are not due", n, b.objects)
			}
			if i > 0 {
				time.Sleep(young)
			}
			return m, err
		}
	}
	ms, err := b.inTurn(cs)
	if err != nil {
		return err
	}
	b.table(fmt.Sprintf("%d stored and %d due", b.objects, b.due), cs, ms)
	fmt.Fprintf(b.out, "\nBeside it: building the catalog once %.2f s; finding the due ones by a full reconcile %.2f s.\n",
		first.wall.Seconds(), median(reconcile, func(m measured) int64 { return int64(m.wall) }).Seconds())
	return nil
}

// young is the age by which mc and rclone tell the due ones from the stored ones.
const young = 30 * time.Second
