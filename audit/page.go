package audit

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"
	"time"
)

// pageText is the certificate for people to print. It says what the JSON says, and that the JSON is
// the certificate.
const pageText = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>
body { font: 11pt/1.45 Georgia, serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; }
h2 { font-size: 1.05rem; margin-top: 1.6rem; }
dl { display: grid; grid-template-columns: 11rem 1fr; gap: .2rem 1rem; }
dt { color: #555; }
dd { margin: 0; overflow-wrap: anywhere; }
pre { font-size: 8pt; white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #ccc; padding: .5rem; }
@media print { body { margin: 0; max-width: none; } pre { break-inside: avoid; } }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
<p>{{.Wording}}</p>
{{with .Second}}<p>{{.}}</p>{{end}}
<h2>What was done</h2>
<dl>
{{range .Facts}}<dt>{{.Name}}</dt><dd>{{.Value}}</dd>
{{end}}</dl>
{{with .Stated}}<h2>Stated by the issuer</h2>
<dl>
{{range .}}<dt>{{.Name}}</dt><dd>{{.Value}}</dd>
{{end}}</dl>{{end}}
{{with .Residuals}}<h2>Where copies may remain, as the issuer states it</h2><ul>{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
<h2>What this does not say</h2>
<ul>{{range .Limits}}<li>{{.}}</li>{{end}}</ul>
<h2>How to check it</h2>
<p>This page is a rendering. The certificate is the JSON file of the same name; it is checked, without a network, by
<code>{{.Command}}</code>, where the policy file names the log's key and its
witnesses and has reached you by another way.</p>
<dl><dt>Log</dt><dd>{{.Log}}</dd><dt>Key, as stated</dt><dd>{{.VKey}}</dd><dt>Tree</dt><dd>{{.Size}} entries</dd><dt>Witnesses</dt><dd>{{.Quorum}}</dd></dl>
<h2>The entries</h2>
<pre>{{.Intent}}</pre>
<pre>{{.Outcome}}</pre>
{{with .Verification}}<pre>{{.}}</pre>{{end}}
</body>
</html>
`

type pageFact struct{ Name, Value string }

// stated lists what the issuer says and the log does not prove.
func (c Certificate) stated(v Verdict) []pageFact {
	facts := []pageFact{{"Issued", c.IssuedAt.Format(time.RFC1123)}}
	for _, f := range []pageFact{{"Issuer", c.Issuer.Name}, {"Contact", c.Issuer.Contact}, {"Data protection officer", c.Issuer.DPO}} {
		if f.Value != "" {
			facts = append(facts, f)
		}
	}
	if c.Opening != nil && v.Recording == "" {
		facts = append(facts, pageFact{"Recording", "s3://" + c.Opening.Bucket + "/" + c.Opening.Key})
	}
	if c.Place != nil {
		facts = append(facts, pageFact{"Store", strings.TrimSpace(c.Place.Endpoint + " " + c.Place.Region + ", bucket " + c.Place.Bucket)})
		if len(c.Place.Copies) > 0 {
			facts = append(facts, pageFact{"Looked for copies in", strings.Join(c.Place.Copies, ", ")})
		}
	}
	return facts
}

// HTML is the certificate as a page to print. It verifies the certificate first: what does not
// verify gets no page.
func (c Certificate) HTML(trust *Trust) ([]byte, error) {
	v, err := c.Verify(trust)
	if err != nil {
		return nil, err
	}
	t, err := template.New("certificate").Parse(pageText)
	if err != nil {
		return nil, err
	}
	in, out := v.Intent.Intent, v.Outcome.Outcome
	facts := []pageFact{
		{"Certificate", c.ID},
		{"Action", in.Action}, {"By rule", in.Rule}, {"Announced", v.Intent.Time().Format(time.RFC1123)},
		{"Ended", v.Outcome.Time().Format(time.RFC1123)}, {"Result", out.Result + " " + out.Code},
		{"Versions before", fmt.Sprint(out.VersionsBefore)}, {"Versions after", fmt.Sprint(out.VersionsAfter)},
		{"Objects destroyed", fmt.Sprint(out.CopiesGone)}, {"Run", v.Intent.Run}, {"Program", v.Outcome.Producer},
	}
	if v.Recording != "" {
		facts = append(facts, pageFact{"Recording", "s3://" + v.Recording})
	}
	if in.Due > 0 {
		facts = append(facts, pageFact{"Due", time.UnixMicro(in.Due).UTC().Format(time.RFC1123)})
	}
	if v.Request != nil {
		facts = append(facts, pageFact{"Asked for", v.Request.Time().Format(time.RFC1123) + " (" + v.Request.Request.Kind + ")"})
	}
	for _, a := range v.Approvals {
		facts = append(facts, pageFact{"Approved", a.Time().Format(time.RFC1123)})
	}
	for _, p := range v.Policies {
		facts = append(facts, pageFact{"Policy", p.Policy.Name + ", SHA-256 " + p.Policy.SHA256})
	}
	for _, s := range v.Checkpoint.Cosigned {
		facts = append(facts, pageFact{"Cosigned", s.Witness + " at " + s.At.Format(time.RFC1123)})
	}
	data := struct {
		Title, Wording, Second, Log, VKey, Quorum, Intent, Outcome, Verification, Command string
		Size                                                                              int64
		Facts, Stated                                                                     []pageFact
		Limits, Residuals                                                                 []string
	}{
		v.Title(), v.Wording(), v.Second(), c.Log, c.VKey, trust.Quorum(), c.Intent.Entry, c.Outcome.Entry, "", c.Command,
		v.Checkpoint.Size, facts, c.stated(v), c.Limits, c.Residuals,
	}
	if c.Verification != nil {
		data.Verification = c.Verification.Entry
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
