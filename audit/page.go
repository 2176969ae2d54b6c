package audit

import (
	"bytes"
	"fmt"
	"html/template"
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
{{with .Residuals}}<h2>Where copies may remain</h2><ul>{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
<h2>What this does not say</h2>
<ul>{{range .Limits}}<li>{{.}}</li>{{end}}</ul>
<h2>How to check it</h2>
<p>This page is a rendering. The certificate is the JSON file of the same name; it is checked, without a network, by
<code>earshot audit verify CERTIFICATE.json --policy FILE</code>, where the policy file names the log's key and its
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
	facts := []pageFact{{"Issued", c.IssuedAt.Format(time.RFC1123)}, {"Issuer", c.Issuer}}
	if c.Opening != nil {
		facts = append(facts, pageFact{"Recording", "s3://" + c.Opening.Bucket + "/" + c.Opening.Key})
	}
	facts = append(
		facts,
		pageFact{"Action", in.Action}, pageFact{"By rule", in.Rule}, pageFact{"Announced", v.Intent.Time().Format(time.RFC1123)},
		pageFact{"Ended", v.Outcome.Time().Format(time.RFC1123)}, pageFact{"Result", out.Result + " " + out.Code},
		pageFact{"Versions before", fmt.Sprint(out.VersionsBefore)}, pageFact{"Versions after", fmt.Sprint(out.VersionsAfter)},
		pageFact{"Objects destroyed", fmt.Sprint(out.CopiesGone)}, pageFact{"Run", v.Intent.Run}, pageFact{"Program", v.Outcome.Producer},
	)
	for _, s := range v.Checkpoint.Cosigned {
		facts = append(facts, pageFact{"Cosigned", s.Witness + " at " + s.At.Format(time.RFC1123)})
	}
	data := struct {
		Title, Wording, Second, Log, VKey, Quorum, Intent, Outcome, Verification string
		Size                                                                     int64
		Facts                                                                    []pageFact
		Limits, Residuals                                                        []string
	}{
		v.Title(), v.Wording(), v.Second(), c.Log, c.VKey, trust.Quorum(), c.Intent.Entry, c.Outcome.Entry, "",
		v.Checkpoint.Size, facts, c.Limits, c.Residuals,
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
