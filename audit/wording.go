package audit

import "fmt"

// Contradicted reports whether a second look at the store has found what the outcome says was gone.
func (v Verdict) Contradicted() bool {
	return v.Verification != nil && v.Verification.Verification.Result == "contradicted"
}

// Title of the document.
func (v Verdict) Title() string {
	switch {
	case v.Contradicted():
		return "Record of an action that a second look at the store contradicts"
	case v.Outcome.Outcome.Result != "ok" && v.Outcome.Outcome.Result != "already_absent":
		return "Record of an action that was not completed"
	case v.Intent.Intent.Action == "delete":
		return "Certificate of destruction (logical deletion)"
	}
	return "Certificate of redaction"
}

// Wording says in a few sentences what was done, claiming no more than the evidence carries.
func (v Verdict) Wording() string {
	text := v.deed()
	if v.Contradicted() {
		text = "The log says this, and a later look at the store contradicts it: " + text + " " + v.Second()
	}
	return text
}

func (v Verdict) deed() string {
	at, o := v.Outcome.Time().Format("2006-01-02 15:04:05 MST"), v.Outcome.Outcome
	switch {
	case o.Result == "already_absent":
		return fmt.Sprintf("At %s the recording was found to be absent: a fresh listing of the store showed no version of it.", at)
	case o.Result != "ok":
		return fmt.Sprintf("At %s the action ended as %s (%s); the recording may still be there.", at, o.Result, o.Code)
	}
	// VersionsBefore are the recording's own; CopiesGone counts what was derived from it too, delete
	// markers and unfinished uploads besides, and after a crash what was left to do.
	text := fmt.Sprintf("By %s the %d version(s) of the recording that a listing had shown, and the objects derived from it that were to go with it, had been deleted (%d objects, delete markers and uploads in all).", at, o.VersionsBefore, o.CopiesGone)
	if v.Intent.Intent.Action != "delete" {
		text = fmt.Sprintf("By %s the named spans of the recording had been erased and the result had been verified by an independent reading; its %d earlier version(s), and the objects derived from it that were to go, had been deleted (%d objects, delete markers and uploads in all).", at, o.VersionsBefore, o.CopiesGone)
	}
	switch {
	case o.RowsGone+o.RowsChanged == 0:
	case v.Intent.Intent.Action != "delete":
		text = fmt.Sprintf("By %s %d row(s) of the event log had been taken out and %d changed, and the result had been verified by an independent reading; its %d earlier version(s) had been deleted (%d objects, delete markers and uploads in all).", at, o.RowsGone, o.RowsChanged, o.VersionsBefore, o.CopiesGone)
	default:
		text += fmt.Sprintf(" It was an event log of %d row(s).", o.RowsGone)
	}
	text += " A fresh listing of the store showed none of them."
	if o.Code == "newer_version" {
		text += " A newer object lies under the same name, which this does not speak of."
	}
	if o.CompanionsLeft > 0 {
		text += fmt.Sprintf(" %d object(s) derived from the recording stay, as the rule says.", o.CompanionsLeft)
	}
	return text
}

// Second says in one sentence what the second look showed; empty where there was none.
func (v Verdict) Second() string {
	if v.Verification == nil {
		return ""
	}
	s := v.Verification.Verification
	text := fmt.Sprintf("At %s the verifier %s looked at the store (%s): %s, %d version(s) left.",
		v.Verification.Time().Format("2006-01-02 15:04:05 MST"), s.Verifier, s.Method, s.Result, s.Left)
	if s.Newer > 0 {
		text += fmt.Sprintf(" %d object(s) or upload(s) under the same names are newer than the act.", s.Newer)
	}
	return text
}

// Limits say what the certificate does not say.
func (v Verdict) Limits() []string {
	out := []string{
		"The log proves what earshot stated and when; that the bytes are gone was seen by listing the store through its S3 interface.",
		"Deletion is logical deletion of every version through S3. It is neither a purge of the media (NIST SP 800-88) nor cryptographic erasure.",
		"Backups, replicas and copies outside the store that earshot was configured with are not covered.",
		"Times are the operator's own clock, but for those in the cosignatures of witnesses.",
		"Issuer, contact, place, residuals and the time of issue are stated by the issuer, and proved by nothing.",
	}
	if v.Intent.Intent.LogLock != "" {
		out = append(out, "The log's store ignores conditions on writing: that nobody wrote over the log at the same time was seen to by a lock in the operator's "+v.Intent.Intent.LogLock+" alone.")
	}
	if v.Verification == nil {
		out = append(out, "No second look at the store is included: nobody took one, or the issuer left it out.")
	}
	if len(v.Approvals) == 0 {
		out = append(out, "No approval is included: the run needed none, or the issuer left it out.")
	}
	if len(v.Policies) == 0 {
		out = append(out, "The policies that the plan was made under are not included: they were replaced since, or the issuer left them out.")
	}
	return out
}
