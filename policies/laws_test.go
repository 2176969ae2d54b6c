package policies_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"earshot"
	"earshot/policies"

	"github.com/google/go-cmp/cmp"
)

func compile(t testing.TB, src string) *policies.Policy {
	t.Helper()
	doc, err := policies.Parse("test.yaml", []byte(src))
	if err != nil {
		t.Fatalf("parsing: %v\n%s", err, src)
	}
	p, err := policies.Compile(doc)
	if err != nil {
		t.Fatalf("compiling: %v\n%s", err, src)
	}
	return p
}

// rounds runs a law over random policies and facts, the same ones each time.
func rounds(t *testing.T, n int, law func(t *testing.T, r *rand.Rand, p *policies.Policy, f earshot.Facts)) {
	t.Helper()
	for seed := range n {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		src := randomPolicy(r)
		p := compile(t, src)
		for range 20 {
			law(t, r, p, randomFacts(r))
			if t.Failed() {
				t.Fatalf("seed %d, policy:\n%s", seed, src)
			}
		}
	}
}

// moments are the times at which a timeline is worth asking: around every boundary, and far away.
func moments(steps []earshot.Decision) []time.Time {
	out := []time.Time{{}, origin, time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, s := range steps[1:] {
		out = append(out, s.Since.Add(-1), s.Since, s.Since.Add(1), s.Since.In(time.FixedZone("", 3600)))
	}
	return out
}

func TestTimelineCoversAllTimeInDifferentSteps(t *testing.T) {
	rounds(t, 150, func(t *testing.T, _ *rand.Rand, p *policies.Policy, f earshot.Facts) {
		steps := p.Timeline(f)
		if !steps[0].Since.IsZero() || !steps[len(steps)-1].Until.IsZero() {
			t.Errorf("timeline runs from %v to %v, want from ever to ever", steps[0].Since, steps[len(steps)-1].Until)
		}
		for i := 1; i < len(steps); i++ {
			a, b := steps[i-1], steps[i]
			if !a.Until.Equal(b.Since) || b.Since.IsZero() || !b.Until.IsZero() && !b.Since.Before(b.Until) {
				t.Errorf("step %d until %v, then %v to %v", i-1, a.Until, b.Since, b.Until)
			}
			b.Since, b.Until = a.Since, a.Until
			if cmp.Equal(a, b) {
				t.Errorf("steps %d and %d are the same: %+v", i-1, i, a)
			}
		}
	})
}

func TestDecideIsTheStepOfTheTimelineAndConstantOnIt(t *testing.T) {
	rounds(t, 150, func(t *testing.T, _ *rand.Rand, p *policies.Policy, f earshot.Facts) {
		steps := p.Timeline(f)
		for _, now := range moments(steps) {
			i := slices.IndexFunc(steps, func(d earshot.Decision) bool { return d.At(now) })
			if i < 0 && now.Year() < 1 {
				i = 0
			}
			if diff := cmp.Diff(steps[i], p.Decide(f, now)); diff != "" {
				t.Errorf("at %v, timeline (-) and decide (+):\n%s", now, diff)
			}
		}
	})
}

func TestAHoldNeverMakesADecisionHarsher(t *testing.T) {
	rounds(t, 150, func(t *testing.T, r *rand.Rand, p *policies.Policy, f earshot.Facts) {
		before := p.Timeline(f)
		held := f
		if r.IntN(2) == 0 {
			held.Holds = []earshot.Hold{{ID: "h", PlacedAt: origin}}
		} else {
			held.Lock.LegalHold = true
		}
		for _, now := range moments(before) {
			if was, is := p.Decide(f, now), p.Decide(held, now); is.Disposition > was.Disposition || is.Disposition != earshot.Keep {
				t.Errorf("at %v: %s without a hold, %s with it", now, was.Disposition, is.Disposition)
			}
		}
		locked := f
		locked.Lock.RetainUntil = origin.Add(5 * 24 * time.Hour)
		if is := p.Decide(locked, origin); is.Disposition != earshot.Keep {
			t.Errorf("under object lock: %s", is.Disposition)
		}
	})
}

func TestNoFactsNoDeletion(t *testing.T) {
	rounds(t, 150, func(t *testing.T, _ *rand.Rand, p *policies.Policy, _ earshot.Facts) {
		for _, f := range []earshot.Facts{{}, {HeadKnown: true}} {
			for _, d := range p.Timeline(f) {
				if d.Disposition > earshot.Review {
					t.Errorf("no facts: %s by %s", d.Disposition, d.Rule)
				}
			}
		}
	})
}

func TestOrderOfRulesNeverBeatsLaw(t *testing.T) {
	rounds(t, 60, func(t *testing.T, r *rand.Rand, p *policies.Policy, f earshot.Facts) {
		doc := p.Document()
		r.Shuffle(len(doc.Spec.Rules), func(i, j int) {
			doc.Spec.Rules[i], doc.Spec.Rules[j] = doc.Spec.Rules[j], doc.Spec.Rules[i]
		})
		shuffled, err := policies.Compile(&doc)
		if err != nil {
			t.Fatal(err)
		}
		law := []string{policies.RuleHold, policies.RuleLock, policies.RuleErasure, policies.RuleFault}
		for _, now := range moments(p.Timeline(f)) {
			a, b := p.Decide(f, now), shuffled.Decide(f, now)
			if slices.Contains(law, a.Rule) != slices.Contains(law, b.Rule) || slices.Contains(law, a.Rule) && a.Disposition != b.Disposition {
				t.Errorf("%s by %s, and with rules in another order %s by %s", a.Disposition, a.Rule, b.Disposition, b.Rule)
			}
		}
	})
}

// TestDecisionsAreWellFormed: a reason for everything, missing facts only for review, redactions
// only for redact, and both are what the contract in the root package says.
func TestDecisionsAreWellFormed(t *testing.T) {
	rounds(t, 150, func(t *testing.T, _ *rand.Rand, p *policies.Policy, f earshot.Facts) {
		for _, d := range p.Timeline(f) {
			switch {
			case len(d.Reasons) == 0 || d.Reasons[0].Text == "" || d.Rule == "":
				t.Errorf("no reason: %+v", d)
			case d.Reasons[0].Rule != d.Rule:
				t.Errorf("decided by %s, first reason by %s", d.Rule, d.Reasons[0].Rule)
			case len(d.Missing) > 0 && d.Disposition != earshot.Review:
				t.Errorf("%s with missing %v", d.Disposition, d.Missing)
			case (len(d.Redactions) > 0) != (d.Disposition == earshot.Redact):
				t.Errorf("%s with %d redactions", d.Disposition, len(d.Redactions))
			case d.Policy != p.Digest():
				t.Errorf("digest %s", d.Policy)
			}
			for _, x := range d.Redactions {
				if len(x.Spans) == 0 || !slices.Equal(x.Spans, x.Spans.Merge()) {
					t.Errorf("spans %s", x.Spans)
				}
			}
			for _, m := range d.Missing {
				_, heard := f.Heard[earshot.Kind(m)]
				_, deaf := f.Deaf[earshot.Kind(m)]
				if heard || deaf || m == "head" && f.HeadKnown {
					t.Errorf("missing %q is known, or cannot be", m)
				}
			}
		}
	})
}

// TestWhatIsMissingCannotChangeADecision is the meaning of possible worlds: a decision to redact or
// delete made while a listening is unknown stands whatever is heard.
func TestWhatIsMissingCannotChangeADecision(t *testing.T) {
	decided := 0
	rounds(t, 300, func(t *testing.T, r *rand.Rand, p *policies.Policy, f earshot.Facts) {
		delete(f.Heard, earshot.KindWake)
		delete(f.Deaf, earshot.KindWake)
		d := p.Decide(f, origin)
		if d.Disposition == earshot.Review {
			return
		}
		decided++
		for range 8 {
			told := f
			told.Heard = map[earshot.Kind]earshot.Listening{}
			for k, v := range f.Heard {
				told.Heard[k] = v
			}
			l := earshot.Listening{Kind: earshot.KindWake, CommandEnd: time.Duration(r.IntN(3)) * time.Second}
			if r.IntN(2) == 0 {
				l.Findings = []earshot.Finding{{Kind: earshot.KindWake, Span: earshot.Span{Start: time.Duration(r.IntN(5)) * 250 * time.Millisecond, End: 2 * time.Second}, Score: 0.8, Word: "alexa"}}
			}
			told.Heard[earshot.KindWake] = l
			after := p.Decide(told, origin)
			if after.Disposition != d.Disposition || !cmp.Equal(after.Redactions, d.Redactions) || !cmp.Equal(after.Companions, d.Companions) {
				t.Errorf("%s by %s before listening, %s by %s after", d.Disposition, d.Rule, after.Disposition, after.Rule)
			}
		}
	})
	if decided < 500 {
		t.Errorf("only %d decisions were made without listening: the test shows too little", decided)
	}
}

func TestCombineTakesTheStrictestAndKeepsAllReasons(t *testing.T) {
	for seed := range 200 {
		r := rand.New(rand.NewPCG(uint64(seed), 9))
		a, b := compile(t, randomPolicy(r)), compile(t, randomPolicy(r))
		for range 20 {
			f := randomFacts(r)
			x, y := a.Decide(f, origin), b.Decide(f, origin)
			both := policies.Combine(x, y)
			if want := max(x.Disposition, y.Disposition); both.Disposition != want {
				t.Fatalf("%s and %s make %s, want %s", x.Disposition, y.Disposition, both.Disposition, want)
			}
			for _, reason := range append(x.Reasons, y.Reasons...) {
				if !slices.Contains(both.Reasons, reason) {
					t.Fatalf("reason %v is lost", reason)
				}
			}
			if !both.At(origin) || len(both.Missing) > 0 && both.Disposition != earshot.Review {
				t.Fatalf("joint decision %+v", both)
			}
		}
	}
	hold := earshot.Decision{Disposition: earshot.Keep, Rule: policies.RuleHold}
	if d := policies.Combine(earshot.Decision{Disposition: earshot.Delete, Rule: "x"}, hold); d.Disposition != earshot.Keep {
		t.Errorf("a hold and a delete make %s", d.Disposition)
	}
}

func TestCombineGivesCompanionsTheStrictestRuleEvenOfThoseNotNamed(t *testing.T) {
	type m = map[string]earshot.CompanionRule
	for law, c := range map[string]struct {
		a, b earshot.Decision
		want m
	}{
		"aRedactionThatNamesNoneTrimsAll": {
			earshot.Decision{Disposition: earshot.Redact, Companions: m{"event": "keep"}}, earshot.Decision{Disposition: earshot.Redact}, m{"event": "trim"},
		},
		"aRedactionIsNotMilderThanTheDeletionThatBeatsIt": {
			earshot.Decision{Disposition: earshot.Delete, Companions: m{"event": "keep"}}, earshot.Decision{Disposition: earshot.Redact, Companions: m{"event": "review"}}, m{"event": "review"},
		},
		"whatOnlyTheLoserNamesSharesTheWinnersFate": {
			earshot.Decision{Disposition: earshot.Delete}, earshot.Decision{Disposition: earshot.Redact, Companions: m{"event": "keep"}}, m{"event": "delete"},
		},
		"reviewDisposesOfNothing": {
			earshot.Decision{Disposition: earshot.Review}, earshot.Decision{Disposition: earshot.Keep}, nil,
		},
		"aHoldDisposesOfNothing": {
			earshot.Decision{Disposition: earshot.Keep, Rule: policies.RuleHold}, earshot.Decision{Disposition: earshot.Delete, Companions: m{"event": "keep"}}, nil,
		},
	} {
		t.Run(law, func(t *testing.T) {
			for _, d := range []earshot.Decision{policies.Combine(c.a, c.b), policies.Combine(c.b, c.a)} {
				if diff := cmp.Diff(c.want, d.Companions); diff != "" {
					t.Errorf("companions (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestTheFastEvaluatorMeansWhatCELMeans compares both on random conditions and facts.
func TestTheFastEvaluatorMeansWhatCELMeans(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	texts := slices.Clone(atoms)
	for range 400 {
		texts = append(texts, randomCondition(r, 3))
	}
	fastOnes, answers := 0, map[string]int{}
	for _, text := range texts {
		c, msg := policies.CompileCondition(text)
		if strings.Contains(msg, "may cost") {
			continue
		}
		if msg != "" {
			t.Errorf("%s: %s", text, msg)
			continue
		}
		for i := range 120 {
			f := randomFacts(r)
			fast, ours, cels, ourGaps, celGaps := policies.Ask(c, f)
			answers[cels]++
			if !fast {
				break
			}
			if i == 0 {
				fastOnes++
			}
			// Of a function's two sides CEL may report only the first that is missing; we report both.
			if ours != cels || (ourGaps == 0) != (celGaps == 0) {
				t.Errorf("%s: ours %s %x, CEL's %s %x, facts %+v", text, ours, ourGaps, cels, celGaps, f)
				break
			}
			if celGaps&^policies.Failed&^ourGaps != 0 {
				t.Errorf("%s: CEL lacks %x, we lack %x", text, celGaps, ourGaps)
			}
		}
	}
	t.Logf("%d conditions, %d of them fast; CEL answered %v", len(texts), fastOnes, answers)
	if fastOnes < len(texts)/3 || answers["maybe"] < 100 || answers["yes"] < 100 {
		t.Error("too few comparisons")
	}
}

func TestDecideNeverPanics(t *testing.T) {
	rounds(t, 100, func(t *testing.T, r *rand.Rand, p *policies.Policy, f earshot.Facts) {
		_ = p.Decide(f, randomTime(r))
		_ = p.Explain(f, randomTime(r)).String()
		_ = p.ReasonsFor(f, time.Time{})
	})
}
