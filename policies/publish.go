package policies

import (
	"bytes"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
)

// publishText is the written retention policy that 16 CFR 312.10 and Cal. Civ. Code 1798.100(a)(3)
// ask for: what is kept, for what, and until when.
const publishText = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>How long recordings are kept</title>
<style>
body { font: 12pt/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem; color: #111; background: #fff; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid #ccc; padding: .4rem .6rem .4rem 0; }
code { font-size: 85%; overflow-wrap: anywhere; }
caption { text-align: left; color: #444; padding-bottom: .4rem; }
small { color: #444; }
</style>
</head>
<body>
<h1>How long recordings are kept</h1>
<p>This page is made from the rules that are carried out, and says nothing else than they do.</p>
{{range .}}
<h2>{{.Title}}</h2>
<table>
<caption>{{.About}}</caption>
<thead><tr><th scope="col">Which recordings</th><th scope="col">What happens</th><th scope="col">Why</th></tr></thead>
<tbody>
{{range .Rules}}<tr><td>{{.Which}}{{with .Condition}}<br><small><code>{{.}}</code></small>{{end}}</td><td>{{.What}}</td><td>{{.Why}}</td></tr>
{{end}}{{if .Rules}}<tr><td>All others</td><td>{{.Otherwise}}</td><td></td></tr>
{{end}}</tbody>
</table>
{{if .Rows}}<table>
<caption>Event logs: what is written down of each motion, ring or tap</caption>
<thead><tr><th scope="col">Which events</th><th scope="col">What happens</th><th scope="col">Why</th></tr></thead>
<tbody>
{{range .Rows}}<tr><td>{{.Which}}</td><td>{{.What}}</td><td>{{.Why}}</td></tr>
{{end}}</tbody>
</table>
{{end}}{{with .Owner}}<p>Who answers for this: {{.}}</p>{{end}}
<p><small>Policy {{.Name}}, digest {{.Digest}}</small></p>
{{end}}
<h2>What comes before every rule</h2>
<ul>
<li>A legal hold, or a lock that the store itself enforces: nothing is changed or deleted while it stands.</li>
<li>Your request for erasure: your recordings are deleted at once, with everything made from them.</li>
<li>A doubt about a recording: it is kept until a person has looked.</li>
</ul>
</body>
</html>
`

type publishedPolicy struct {
	Title, About, Name, Digest, Owner, Otherwise string
	Rules, Rows                                  []publishedRule
}

type publishedRule struct{ Which, Condition, What, Why string }

// Publish writes policies as a page in plain language, as HTML: which recordings, what happens to
// them when, and why.
func Publish(ps ...*Policy) ([]byte, error) {
	var all []publishedPolicy
	for _, p := range ps {
		out := publishedPolicy{
			Title: p.doc.Metadata.Description, Name: p.Name(), Digest: p.Digest().String(), Owner: p.Owner(),
			About: "Recordings in the bucket " + p.Scope().Bucket,
		}
		if out.Title == "" {
			out.Title = p.Name()
		}
		if prefix := p.Scope().Prefix; prefix != "" {
			out.About += ", below " + prefix
		}
		out.Otherwise = "are kept"
		if p.doc.Spec.Otherwise == "review" {
			out.Otherwise = "a person looks at them"
		}
		for _, r := range p.doc.Spec.Rules {
			out.Rules = append(out.Rules, publishedRule{
				Which: capital(strings.ReplaceAll(r.Name, "-", " ")), Condition: strings.Join(strings.Fields(r.When), " "), What: r.plain(), Why: r.Because,
			})
		}
		for _, r := range p.doc.Spec.Rows {
			which := capital(strings.ReplaceAll(r.Name, "-", " "))
			if len(r.Of) > 0 {
				which += " (" + strings.Join(r.Of, ", ") + ")"
			}
			out.Rows = append(out.Rows, publishedRule{Which: which, What: r.plain(), Why: r.Because})
		}
		all = append(all, out)
	}
	t, err := template.New("policy").Parse(publishText)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, all)
	return b.Bytes(), err
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// plain says what a rule does, in words.
func (r *Rule) plain() string {
	var s string
	switch r.Then {
	case "delete":
		s = "deleted"
	case "redact":
		s = "what was said " + plainSpans(r.Spans) + " is erased"
	case "keep":
		s = "kept"
	case "review":
		s = "a person looks at them"
	}
	if r.Keep != nil {
		s += " " + plainPeriod(*r.Keep)
	} else if r.Then == "delete" || r.Then == "redact" {
		s += " at the next run"
	}
	for _, class := range slices.Sorted(maps.Keys(r.Companions)) {
		s += fmt.Sprintf("; %s: %s", class, plainCompanion(r.Companions[class]))
	}
	if r.Then == "delete" && len(r.Companions) == 0 {
		s += ", with everything made from them"
	}
	return capital(s)
}

func plainSpans(spans []string) string {
	words := map[string]string{
		"before-wake-word": "before the wake word", "wake-word": "as the wake word", "after-wake-word": "after the wake word",
		"after-command": "after the command", "child-speech": "by a child", "everything": "in the whole recording",
	}
	var out []string
	for _, s := range spans {
		if w, ok := words[s]; ok {
			s = w
		} else {
			s = "in " + s
		}
		out = append(out, s)
	}
	return strings.Join(out, " and ")
}

func plainPeriod(p Period) string {
	from := map[string]string{
		"captured": "they were recorded", "stored": "they were stored", "subject.lastActive": "the account was last used",
		"consent.withdrawn": "consent was withdrawn",
	}[p.From]
	if p.From == "consent.withdrawn" && p.Purpose != "" {
		from = "consent to " + p.Purpose + " was withdrawn"
	}
	length := plainLength(p.For)
	if p.For == "subject.autoDelete" {
		length = "the period that you chose"
	}
	return length + " after " + from
}

func plainLength(s string) string {
	for _, u := range []struct{ ending, word string }{{"mo", "months of 30 days"}, {"d", "days"}, {"w", "weeks"}, {"y", "years"}, {"h", "hours"}} {
		n, ok := strings.CutSuffix(s, u.ending)
		if !ok || strings.Trim(n, "0123456789") != "" {
			continue
		}
		if n == "1" && u.ending != "mo" {
			return n + " " + strings.TrimSuffix(u.word, "s")
		}
		return n + " " + u.word
	}
	return s
}

func plainCompanion(rule string) string {
	return map[string]string{"delete": "deleted too", "trim": "the same words are taken out", "keep": "kept", "review": "a person looks at them"}[rule]
}
