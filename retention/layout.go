package retention

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"earshot"
	"earshot/storage"
)

// Layout tells which object is what: how a key is read, where companions lie, and which metadata
// carries facts.
type Layout struct {
	// Recording is the form of a recording's key, such as
	// clips/{subject}/{device}/{captured:2006/01/02}/{id}.{coding}. Names stand for one part of
	// the path each; captured takes a Go time layout. Empty: every object is a recording.
	Recording  string
	Companions []CompanionLayout
	// Copies names, for a bucket, others that hold copies of its objects under the same keys.
	Copies   map[string][]string
	Logs     []LogLayout // event logs; what they match is no recording
	Metadata MetadataNames
}

// CompanionLayout is where the companions of one class lie.
type CompanionLayout struct {
	Class string
	Key   string // such as transcripts/{id}.json; must contain {id}
	// OnRedact is what becomes of it when its recording is redacted and the policy does not say.
	// Default: trim for transcripts, keep for events, delete for everything else.
	OnRedact earshot.CompanionRule
}

// MetadataNames are the names of object metadata or tags (lower case, without x-amz-meta-) that
// carry facts. Empty fields have the defaults that DefaultMetadata gives.
type MetadataNames struct {
	Captured, Subject, Device, Locale, Source string
	WakeStart, WakeEnd, WakeWord              string
}

// DefaultMetadata is the names that are looked for where the configuration names none.
func DefaultMetadata() MetadataNames {
	return MetadataNames{
		Captured: "captured-at", Subject: "subject", Device: "device", Locale: "locale", Source: "source",
		WakeStart: "wake-word-start-ms", WakeEnd: "wake-word-end-ms", WakeWord: "wake-word",
	}
}

func (m MetadataNames) withDefaults() MetadataNames {
	d := DefaultMetadata()
	for _, p := range [][2]*string{
		{&m.Captured, &d.Captured}, {&m.Subject, &d.Subject}, {&m.Device, &d.Device}, {&m.Locale, &d.Locale}, {&m.Source, &d.Source},
		{&m.WakeStart, &d.WakeStart}, {&m.WakeEnd, &d.WakeEnd}, {&m.WakeWord, &d.WakeWord},
	} {
		if *p[0] == "" {
			*p[0] = *p[1]
		}
		*p[0] = strings.ToLower(*p[0])
	}
	return m
}

// layout is a Layout that has been checked.
type layout struct {
	key        *regexp.Regexp // nil: every key is a recording's
	timeLayout string
	companions []CompanionLayout
	logs       []logLayout
	classes    []classLayout // companions with rules of their own
	template   string        // of recordings' keys
	meta       MetadataNames
}

var (
	placeholder = regexp.MustCompile(`\{([^{}]*)\}`)
	timeChars   = regexp.MustCompile(`^[0-9/:._TZ-]+$`)
	digits      = regexp.MustCompile(`[0-9]+`)
)

// partNames are the attributes that a key can carry.
var partNames = []string{"id", "subject", "device", "locale", "source", "coding", "any"}

// compileLayout checks a layout. A companion whose key does not name its recording would be
// shared between recordings and go with the first of them, so it is refused.
func compileLayout(l Layout) (*layout, error) {
	out := &layout{template: l.Recording, meta: l.Metadata.withDefaults()}
	var err error
	if out.logs, err = compileLogs(l.Logs); err != nil {
		return nil, err
	}
	if l.Recording != "" {
		if out.key, out.timeLayout, err = compileKey(l.Recording); err != nil {
			return nil, fmt.Errorf("layout of recordings %q: %w", l.Recording, err)
		}
	}
	for _, c := range l.Companions {
		switch {
		case c.Class == "":
			return nil, fmt.Errorf("layout of companions %q: the class has no name", c.Key)
		case l.Recording == "":
			return nil, fmt.Errorf("layout of companions %q: it needs a layout of recordings to take {id} from", c.Class)
		case !strings.Contains(c.Key, "{id}"):
			return nil, fmt.Errorf("layout of companions %q: %q must contain {id}, or the companions of one recording would go with another", c.Class, c.Key)
		}
		if _, _, err := compileKey(c.Key); err != nil {
			return nil, fmt.Errorf("layout of companions %q: %w", c.Class, err)
		}
		for _, m := range placeholder.FindAllStringSubmatch(c.Key, -1) {
			if !strings.Contains(l.Recording, m[0]) {
				return nil, fmt.Errorf("layout of companions %q: %s does not occur in the layout of recordings", c.Class, m[0])
			}
		}
		if c.OnRedact == "" {
			c.OnRedact = map[string]earshot.CompanionRule{"event": earshot.CompanionKeep, "transcript": earshot.CompanionTrim}[c.Class]
		}
		if c.OnRedact == "" {
			c.OnRedact = earshot.CompanionDelete
		}
		out.companions = append(out.companions, c)
	}
	slices.SortFunc(out.companions, func(a, b CompanionLayout) int { return strings.Compare(a.Class, b.Class) })
	return out, nil
}

func compileKey(template string) (*regexp.Regexp, string, error) {
	var re strings.Builder
	re.WriteByte('^')
	rest, timeLayout, seen := template, "", map[string]bool{}
	for rest != "" {
		m := placeholder.FindStringSubmatchIndex(rest)
		if m == nil {
			re.WriteString(regexp.QuoteMeta(rest))
			break
		}
		re.WriteString(regexp.QuoteMeta(rest[:m[0]]))
		name, format, _ := strings.Cut(rest[m[2]:m[3]], ":")
		rest = rest[m[1]:]
		switch {
		case seen[name]:
			return nil, "", fmt.Errorf("{%s} occurs twice", name)
		case name == "captured":
			if !timeChars.MatchString(format) {
				return nil, "", fmt.Errorf("{captured:%s}: want a Go time layout of digits, such as {captured:2006/01/02}", format)
			}
			timeLayout = format
			pattern := digits.ReplaceAllStringFunc(regexp.QuoteMeta(format), func(d string) string { return fmt.Sprintf(`\d{%d}`, len(d)) })
			re.WriteString("(?P<captured>" + pattern + ")")
		case name == "any":
			re.WriteString("(?P<any>.*)")
		case slices.Contains(partNames, name) && format == "":
			re.WriteString("(?P<" + name + ">[^/]+)")
		default:
			return nil, "", fmt.Errorf("{%s}: want captured:LAYOUT or one of %s", name, strings.Join(partNames, ", "))
		}
		seen[name] = true
	}
	re.WriteByte('$')
	compiled, err := regexp.Compile(re.String())
	return compiled, timeLayout, err
}

// parts reads a key. ok is false for an object that is no recording.
func (l *layout) parts(key string) (map[string]string, bool) {
	if l.key == nil {
		return map[string]string{}, true
	}
	m := l.key.FindStringSubmatch(key)
	if m == nil {
		return nil, false
	}
	parts := make(map[string]string, len(m))
	for i, name := range l.key.SubexpNames() {
		if name != "" {
			parts[name] = m[i]
		}
	}
	return parts, true
}

// described reports whether the key tells nothing more: reading it is most of what a decision costs.
func (l *layout) described(r *earshot.Recording) bool {
	if l.key == nil {
		return r.Coding != ""
	}
	for _, name := range l.key.SubexpNames() {
		if name == "subject" && r.Subject == "" || name == "device" && r.Device == "" || name == "locale" && r.Locale == "" ||
			name == "source" && r.Source == "" || name == "captured" && r.CapturedAt.IsZero() {
			return false
		}
	}
	return r.Coding != ""
}

// describe fills in what the key tells of a recording.
func (l *layout) describe(r *earshot.Recording) {
	if l.describeClass(r) {
		return
	}
	if l.described(r) {
		return
	}
	parts, ok := l.parts(r.ID.Key)
	if !ok {
		return
	}
	set := func(to *string, name string) {
		if *to == "" {
			*to = parts[name]
		}
	}
	if r.Subject == "" {
		r.Subject = earshot.SubjectID(parts["subject"])
	}
	set(&r.Device, "device")
	set(&r.Locale, "locale")
	set(&r.Source, "source")
	if r.Coding == "" {
		r.Coding = codingOf(r.ID.Key)
	}
	if text := parts["captured"]; text != "" && r.CapturedAt.IsZero() {
		if t, err := time.Parse(l.timeLayout, text); err == nil {
			// A day without an hour, or a month without a day, counts from its end: nothing is deleted early.
			r.CapturedWithin = within(l.timeLayout)
			r.CapturedAt = t.Add(r.CapturedWithin).UTC()
		}
	}
}

// within is how much later a time may have been than its format tells; whole seconds count as exact.
func within(layout string) time.Duration {
	for _, part := range []struct {
		name string
		long time.Duration
	}{{"01", 366 * 24 * time.Hour}, {"02", 31 * 24 * time.Hour}, {"15", 24 * time.Hour}, {"04", time.Hour}, {"05", time.Minute}} {
		if !strings.Contains(layout, part.name) {
			return part.long
		}
	}
	return 0
}

func codingOf(key string) earshot.Coding {
	ext := key[strings.LastIndexByte(key, '.')+1:]
	switch strings.ToLower(ext) {
	case "wav", "wave", "bwf", "rf64":
		return earshot.CodingWAV
	case "mp3", "mp2", "mpga":
		return earshot.CodingMP3
	case "flac", "oga":
		return earshot.CodingFLAC
	case "opus", "ogg":
		return earshot.CodingOpus
	}
	return earshot.CodingOpaque
}

type companionKey struct {
	CompanionLayout
	key string
}

// companionKeys tells where the companions of a recording lie, if it has them.
func (l *layout) companionKeys(key string) []companionKey {
	parts, ok := l.parts(key)
	if !ok {
		return nil
	}
	out := make([]companionKey, 0, len(l.companions))
	for _, c := range l.companions {
		k := placeholder.ReplaceAllStringFunc(c.Key, func(p string) string {
			name, _, _ := strings.Cut(strings.Trim(p, "{}"), ":")
			return parts[name]
		})
		out = append(out, companionKey{c, k})
	}
	return out
}

// describeHead fills in what the object's own metadata and tags tell, which outranks the key.
func (l *layout) describeHead(r *earshot.Recording, metadata, tags map[string]string) error {
	all := maps.Clone(tags)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, metadata)
	take := func(name string) string {
		v := all[name]
		delete(all, name)
		return v
	}
	var err error
	subject := string(r.Subject)
	for name, to := range map[string]*string{l.meta.Device: &r.Device, l.meta.Locale: &r.Locale, l.meta.Source: &r.Source, l.meta.Subject: &subject} {
		switch v := take(name); {
		case v != "" && !storage.IsText(v): // no hold or request could name it, and no catalog hold it
			err = errors.New("the object's metadata is not in UTF-8")
		case v != "":
			*to = v
		}
	}
	r.Subject = earshot.SubjectID(subject)
	if v := take(l.meta.Captured); v != "" {
		t, parseErr := time.Parse(time.RFC3339Nano, v)
		if parseErr != nil {
			err = errors.New("the capture date in the object's metadata is not a date (RFC 3339)")
		}
		r.CapturedAt, r.CapturedWithin = t.UTC(), 0
	}
	if len(all) > 0 {
		r.Labels = all
	}
	return err
}

// CheckLayout reports what is wrong with a layout.
func CheckLayout(l Layout) error {
	_, err := compileLayout(l)
	return err
}
