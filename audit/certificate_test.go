package audit_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"earshot"
	"earshot/audit"
)

// TestAnOpenCertificateIsAboutTheRecordingItNames: with the subject's key in it, naming another
// recording is found out.
func TestAnOpenCertificateIsAboutTheRecordingItNames(t *testing.T) {
	f := newFixture(t)
	key := []byte("0123456789abcdef0123456789abcdef")
	tags, err := audit.NewTagger(key)
	if err != nil {
		t.Fatal(err)
	}
	in := entry(t, audit.KindIntent, 1)
	in.Intent.Recording = tags.Of(key).Tag("recording", in.ID, "b/mine.wav")
	f.head.say(leafOf(t, in), leafOf(t, entry(t, audit.KindOutcome, 1)))
	f.publish(t)
	for name, want := range map[string]bool{"mine.wav": true, "other.wav": false} {
		c, err := f.log.Certify(t.Context(), audit.Subject{Intent: 0, Outcome: 1, Opening: &audit.Opening{Bucket: "b", Key: name, TagKey: key}})
		if want && err != nil || !want && !errors.Is(err, audit.ErrUnverified) {
			t.Errorf("%s: %v", name, err)
		}
		if v, err := c.Verify(audit.TrustKey(f.keys.Verifier)); want && (err != nil || v.Recording != "b/mine.wav") {
			t.Errorf("%s: %q, %v", name, v.Recording, err)
		}
	}
}

func TestCertificate(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 300)
	f.publish(t)
	c, err := f.log.Certify(t.Context(), audit.Subject{VKey: f.keys.VKey, Issuer: audit.Issuer{Name: "Example Ltd"}, Intent: 20, Outcome: 21, Opening: &audit.Opening{Bucket: "b", Key: "k"}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.JSON()
	if err != nil {
		t.Fatal(err)
	}
	read, err := audit.ParseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	v, err := read.Verify(audit.TrustKey(f.keys.Verifier))
	if err != nil || v.Outcome.Outcome.CopiesGone != 2 || v.Checkpoint.Size != 600 {
		t.Fatalf("got %+v, %v", v, err)
	}
	other := newFixture(t)
	if _, err := read.Verify(audit.TrustKey(other.keys.Verifier)); !errors.Is(err, audit.ErrUnverified) {
		t.Errorf("another log's key: got %v, want ErrUnverified", err)
	}
	if _, err := f.log.Certify(t.Context(), audit.Subject{VKey: f.keys.VKey, Intent: 20, Outcome: 23}); !errors.Is(err, audit.ErrUnverified) {
		t.Errorf("an outcome of another intent: got %v, want ErrUnverified", err)
	}
	bad := 0
	for i := range text {
		broken := slices.Clone(text)
		broken[i] ^= 1
		if p, err := audit.ParseCertificate(broken); err == nil {
			if _, err := p.Verify(audit.TrustKey(f.keys.Verifier)); err == nil && i > strings.Index(string(text), `"title"`) && i < strings.Index(string(text), `"limits"`) {
				t.Errorf("byte %d of the certificate was changed and it still verifies: %q", i, text[max(0, i-20):min(len(text), i+20)])
			}
		}
		bad++
	}
	t.Logf("%d changed bytes", bad)
}

// TestACertificateSaysNoMoreThanItsEntries: words, limits and keys are checked, always.
func TestACertificateSaysNoMoreThanItsEntries(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 5)
	f.publish(t)
	c, err := f.log.Certify(t.Context(), audit.Subject{VKey: f.keys.VKey, Intent: 2, Outcome: 3})
	if err != nil {
		t.Fatal(err)
	}
	good, err := c.JSON()
	if err != nil {
		t.Fatal(err)
	}
	other := newFixture(t)
	for name, change := range map[string]func(d map[string]any){
		"noTitle": func(d map[string]any) {
			d["title"], d["wording"] = "", "All copies everywhere were physically destroyed."
		},
		"titleLeftOut":  func(d map[string]any) { delete(d, "title"); d["wording"] = "Everything is gone." },
		"wording":       func(d map[string]any) { d["wording"] = "Everything is gone." },
		"limitsLeftOut": func(d map[string]any) { delete(d, "limits") },
		"limits":        func(d map[string]any) { d["limits"] = []string{"All backups are purged per NIST 800-88 Purge."} },
		"anotherKey":    func(d map[string]any) { d["vkey"] = other.keys.VKey },
		"noKey":         func(d map[string]any) { d["vkey"] = "x" },
		"id":            func(d map[string]any) { d["cert_id"] = strings.Repeat("0", 32) },
		"bucket":        func(d map[string]any) { d["opening"] = map[string]string{"bucket": "voice/clips", "key": "x.wav"} },
		"command":       func(d map[string]any) { d["command"] = "curl https://example.org | sh" },
	} {
		var d map[string]any
		if err := json.Unmarshal(good, &d); err != nil {
			t.Fatal(err)
		}
		change(d)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		read, err := audit.ParseCertificate(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := read.Verify(audit.TrustKey(f.keys.Verifier)); !errors.Is(err, audit.ErrUnverified) {
			t.Errorf("%s: got %v, want ErrUnverified", name, err)
		}
	}
	for name, text := range map[string]string{
		"twice":       strings.Replace(string(good), "{", `{"wording":"a lie",`, 1),
		"caseVariant": strings.Replace(string(good), `"wording"`, `"Wording"`, 1),
		"bothCases":   strings.Replace(string(good), "{", `{"Wording":"a lie",`, 1),
		"folded":      strings.Replace(string(good), `"issued_at"`, `"i\u017f\u017fued_at"`, 1),
		"nestedTwice": strings.Replace(string(good), `"entry":`, `"entry":"x","entry":`, 1),
		"unknown":     strings.Replace(string(good), "{", `{"seal":"gold",`, 1),
		"more":        string(good) + "{}",
	} {
		if _, err := audit.ParseCertificate([]byte(text)); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
	if _, err := audit.ParseCertificate(good); err != nil {
		t.Error(err)
	}
}

// TestNoApprovalCountsTwice: one person's consent, shown twice, is not that of two.
func TestNoApprovalCountsTwice(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 1)
	digest := strings.Repeat("a", 64)
	plan, consent := entry(t, audit.KindIntent, 0), entry(t, audit.KindIntent, 0)
	plan.ID, plan.Kind, plan.Intent, plan.Plan = audit.EntryID("plan"), audit.KindPlanned, nil, &audit.Plan{Digest: digest}
	consent.ID, consent.Kind, consent.Intent, consent.Approval = audit.EntryID("consent"), audit.KindApproval, nil, &audit.Approval{Digest: digest}
	f.head.say(leafOf(t, plan), leafOf(t, consent))
	f.publish(t)
	at := int64(2)
	c, err := f.log.Certify(t.Context(), audit.Subject{Intent: 0, Outcome: 1, Plan: &at, Approvals: []int64{3}})
	if err != nil {
		t.Fatal(err)
	}
	c.Approvals = append(c.Approvals, c.Approvals[0])
	if _, err := c.Verify(audit.TrustKey(f.keys.Verifier)); !errors.Is(err, audit.ErrUnverified) {
		t.Errorf("got %v, want ErrUnverified", err)
	}
}

// TestAProofHasOneForm: no bit of it can be changed unseen, and nothing be put beside what is signed.
func TestAProofHasOneForm(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 20)
	f.publish(t)
	p, err := audit.Prove(t.Context(), f.tiles, audit.TrustKey(f.keys.Verifier), 7)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Verify(audit.TrustKey(f.keys.Verifier)); err != nil {
		t.Fatal(err)
	}
	good := p.Proof
	for i := range good {
		for bit := range 7 {
			b := []byte(good)
			b[i] ^= 1 << bit
			p.Proof = string(b)
			if _, _, err := p.Verify(audit.TrustKey(f.keys.Verifier)); err == nil {
				t.Fatalf("bit %d of byte %d, %q, can be changed", bit, i, good[i])
			}
		}
	}
	p.Proof = strings.Replace(good, "index ", "extra cHVyZ2Vk\nindex ", 1)
	if _, _, err := p.Verify(audit.TrustKey(f.keys.Verifier)); err == nil {
		t.Error("words that nobody signed can be put into a proof")
	}
}

// TestACertificateOfWhatIsContradictedSaysSo, and its entries belong together, in their order, under one
// checkpoint.
func TestACertificateOfWhatIsContradictedSaysSo(t *testing.T) {
	f := newFixture(t)
	f.act(t, 0, 5)
	out := entry(t, audit.KindOutcome, 1)
	look := entry(t, audit.KindVerification, 1)
	look.Verification = &audit.Verification{OutcomeID: out.ID, Verifier: "other", Method: "list_versions", Result: "contradicted", Left: 1}
	early := entry(t, audit.KindVerification, 77)
	early.Verification = &audit.Verification{OutcomeID: audit.EntryID(string(audit.KindOutcome), "90"), Result: "confirmed"}
	f.head.say(leafOf(t, look), leafOf(t, early))
	f.act(t, 90, 1)
	f.publish(t)
	trust := audit.TrustKey(f.keys.Verifier)
	at := int64(10)
	c, err := f.log.Certify(t.Context(), audit.Subject{VKey: f.keys.VKey, Intent: 2, Outcome: 3, Verification: &at})
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Verify(trust)
	if err != nil || !v.Contradicted() || !strings.Contains(c.Title, "contradicts") || !strings.Contains(c.Wording, "contradicts") {
		t.Errorf("%+v, %v", c, err)
	}
	at = 11 // before its outcome
	if _, err := f.log.Certify(t.Context(), audit.Subject{VKey: f.keys.VKey, Intent: 12, Outcome: 13, Verification: &at}); !errors.Is(err, audit.ErrUnverified) {
		t.Errorf("a look before the deed: %v", err)
	}
	f.act(t, 200, 1)
	f.publish(t)
	later, err := f.log.Certify(t.Context(), audit.Subject{VKey: f.keys.VKey, Intent: 2, Outcome: 3, Verification: nil})
	if err != nil {
		t.Fatal(err)
	}
	mixed := c
	mixed.Outcome = later.Outcome
	if _, err := mixed.Verify(trust); !errors.Is(err, audit.ErrUnverified) {
		t.Errorf("proofs under two checkpoints: %v", err)
	}
}

// TestACertificateTellsHowItCameAbout: plan, approvals and policies are proved, and none of another run.
func TestACertificateTellsHowItCameAbout(t *testing.T) {
	f := newFixture(t)
	digest := earshot.DigestOf([]byte("policy text"))
	together := earshot.DigestOf(digest[:])
	policy := entry(t, audit.KindPolicy, 1)
	policy.Policy = &audit.Policy{Name: "household", SHA256: digest.String()}
	plan := entry(t, audit.KindPlanned, 1)
	plan.Plan, plan.Policy = &audit.Plan{Digest: "d1"}, &audit.Policy{Name: "household", SHA256: together.String()}
	yes, no, foreign := entry(t, audit.KindApproval, 1), entry(t, audit.KindApproval, 2), entry(t, audit.KindApproval, 3)
	yes.Approval, no.Approval, foreign.Approval = &audit.Approval{Digest: "d1"}, &audit.Approval{Digest: "d2"}, &audit.Approval{Digest: "d1"}
	foreign.Run = "run-y"
	wrong := entry(t, audit.KindPolicy, 2)
	wrong.Policy = &audit.Policy{Name: "other", SHA256: together.String()}
	f.head.say(leafOf(t, policy), leafOf(t, plan), leafOf(t, yes), leafOf(t, no), leafOf(t, foreign), leafOf(t, wrong))
	f.act(t, 1, 1)
	f.publish(t)
	at := int64(1)
	draw := func(approvals, policies []int64) (audit.Certificate, error) {
		return f.log.Certify(t.Context(), audit.Subject{VKey: f.keys.VKey, Intent: 6, Outcome: 7, Plan: &at, Approvals: approvals, Policies: policies})
	}
	c, err := draw([]int64{2}, []int64{0})
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Verify(audit.TrustKey(f.keys.Verifier))
	if err != nil || len(v.Approvals) != 1 || v.Policies[0].Policy.Name != "household" || slices.ContainsFunc(c.Limits, func(l string) bool { return strings.Contains(l, "approval") }) {
		t.Errorf("%+v, %v", v, err)
	}
	for name, of := range map[string][2][]int64{
		"ofAnotherDigest": {{3}, nil}, "ofAnotherRun": {{4}, nil}, "aPolicyOfAnother": {nil, {5}}, "noPolicyAtAll": {nil, {1}}, "onePolicyTooMany": {nil, {0, 5}},
	} {
		if _, err := draw(of[0], of[1]); !errors.Is(err, audit.ErrUnverified) {
			t.Errorf("%s: got %v, want ErrUnverified", name, err)
		}
	}
	c.Approvals = nil
	if _, err := c.Verify(audit.TrustKey(f.keys.Verifier)); !errors.Is(err, audit.ErrUnverified) {
		t.Errorf("an approval was taken out: %v", err)
	}
}

// TestACertificateOfRowsSpeaksOfRows: an event log has no sound that could be erased.
func TestACertificateOfRowsSpeaksOfRows(t *testing.T) {
	for action, want := range map[string]string{"redact": "7 row(s) of the event log had been taken out and 2 changed", "delete": "It was an event log of 7 row(s)."} {
		in, out := entry(t, audit.KindIntent, 1), entry(t, audit.KindOutcome, 1)
		in.Intent.Action, out.Outcome.RowsGone, out.Outcome.RowsChanged = action, 7, 2
		text := audit.Verdict{Intent: in, Outcome: out}.Wording()
		if !strings.Contains(text, want) || strings.Contains(text, "spans") {
			t.Errorf("%s: %s", action, text)
		}
	}
}
