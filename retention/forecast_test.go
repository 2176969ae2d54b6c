package retention_test

import (
	"testing"

	"earshot"
	"earshot/policies"
	"earshot/storage/storagetest"
)

// TestAForecastSaysWhatRunsThenDo: week by week a run does what was foreseen.
func TestAForecastSaysWhatRunsThenDo(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), false, false)
	w.policy = "apiVersion: earshot/v1\nkind: Policy\nmetadata: {name: household}\nspec:\n  scope: {bucket: " + w.name + "}\n  otherwise: keep\n  rules:\n    - {name: period, keep: {for: 90d, from: captured}, then: delete}\n"
	for i, age := range []int{400, 89, 88, 80, 75, 60, 10, 3} {
		w.put("clips/s1/"+string(rune('a'+i))+".wav", clip(100), w.ago(age))
	}
	p := w.mustStart()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	const weeks = 8
	f, err := p.runner.Forecast(t.Context(), weeks)
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	if f.Recordings != 8 || f.Now.Deletes+f.Now.Redacts == 0 {
		t.Fatalf("%+v", f)
	}
	act := func() int {
		p := w.mustStart()
		defer p.stop()
		planned, err := p.plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if planned.Run.Actions > 0 {
			if _, err := p.runner.Apply(t.Context(), planned.Run.ID); err != nil {
				t.Fatal(err)
			}
		}
		return planned.Run.Actions
	}
	if got := act(); got != f.Now.Deletes+f.Now.Redacts {
		t.Errorf("now: %d done, %d foreseen", got, f.Now.Deletes+f.Now.Redacts)
	}
	some := 0
	for i, week := range f.Weeks {
		w.now = week.From.AddDate(0, 0, 7)
		got := act()
		some += got
		if got != week.Deletes+week.Redacts {
			t.Errorf("week %d: %d done, %d foreseen", i, got, week.Deletes+week.Redacts)
		}
	}
	if some == 0 {
		t.Error("nothing happened in any week: the test says nothing")
	}
}

func TestADiffSaysWhatOtherPoliciesWouldDo(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), false, false)
	for i, age := range []int{400, 40, 20, 1} {
		w.put("clips/s1/"+string(rune('a'+i))+".wav", clip(100), w.ago(age))
	}
	p := w.mustStart()
	defer p.stop()
	if _, err := p.plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	ps := w.compiled()
	same, err := p.runner.Diff(t.Context(), ps...)
	if err != nil || len(same.Changes) > 0 || same.Same != 4 || same.Wider != 0 {
		t.Fatalf("the same policies: %+v, %v", same, err)
	}
	doc, err := policies.Parse("new.yaml", []byte("apiVersion: earshot/v1\nkind: Policy\nmetadata: {name: other}\nspec:\n  scope: {bucket: "+w.name+"}\n  limits: {maxShare: 30%, approvals: 1}\n  otherwise: keep\n  rules:\n    - {name: short, keep: {for: 10d, from: captured}, then: delete}\n"))
	if err != nil {
		t.Fatal(err)
	}
	next, err := policies.Compile(doc)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.runner.Diff(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	wider := 0
	for _, c := range d.Changes {
		if c.To == "delete" {
			wider += c.Count
		}
		if len(c.Examples) == 0 {
			t.Errorf("%+v names no example", c)
		}
	}
	if d.Wider == 0 || wider < d.Wider || d.Exceeds != "other" {
		t.Errorf("%+v, want more deletions, beyond the limit", d)
	}
}

// TestAForecastCountsEachRecordingOnce, and says nothing hangs on facts that nobody will ever have.
func TestAForecastCountsEachRecordingOnce(t *testing.T) {
	w := newWorld(t, storagetest.Embedded(t), false, false)
	w.policy = "apiVersion: earshot/v1\nkind: Policy\nmetadata: {name: household}\nspec:\n  scope: {bucket: " + w.name + "}\n  otherwise: keep\n  rules:\n    - {name: child, when: child.probability > 0.8, then: delete}\n    - {name: period, keep: {for: 90d, from: captured}, then: delete}\n"
	for i, subject := range []string{"s1", "s1", "s2"} {
		w.put("clips/"+subject+"/"+string(rune('a'+i))+".wav", clip(100), w.ago(10))
	}
	p := w.mustStart()
	defer p.stop()
	if _, err := p.runner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.runner.PlaceHold(t.Context(), earshot.Hold{Matter: "m", Subject: "s2"}); err != nil {
		t.Fatal(err)
	}
	f, err := p.runner.Forecast(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	deletes := 0
	for _, week := range f.Weeks {
		deletes += week.Deletes
	}
	if f.Recordings != 3 || deletes != 2 || f.Held != 1 || f.Never+f.OnFacts+f.ForReview != 0 {
		t.Errorf("%d deleted in some week: %+v", deletes, f)
	}
}
