package export

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"earshot/audit"

	"github.com/parquet-go/parquet-go"
)

// Format is the form of an export.
type Format string

// The formats of tables, and the one of events.
const (
	CSV     Format = "csv"
	JSONL   Format = "jsonl"
	Parquet Format = "parquet"
	OCSF    Format = "ocsf"
)

// Schema names the form of a manifest.
const Schema = "earshot.export/v1"

// Row is one entry as tables have it. Entry holds the exact bytes; the other columns are there to
// be filtered by.
type Row struct {
	Index    int64  `json:"index" parquet:"index"`
	LeafHash string `json:"leaf_hash" parquet:"leaf_hash"` // RFC 9162, hexadecimal
	Time     string `json:"time" parquet:"time"`           // RFC 3339, UTC, the operator's clock
	Kind     string `json:"kind" parquet:"kind"`
	ID       string `json:"id" parquet:"id"`
	Run      string `json:"run" parquet:"run"`
	Actor    string `json:"actor_tag" parquet:"actor_tag"`
	Action   string `json:"action" parquet:"action"`
	Rule     string `json:"rule" parquet:"rule"`
	IntentID string `json:"intent_id" parquet:"intent_id"`
	Result   string `json:"result" parquet:"result"`
	Code     string `json:"code" parquet:"code"`
	Entry    string `json:"entry" parquet:"entry"`
}

func columns() []string {
	return []string{"index", "leaf_hash", "time", "kind", "id", "run", "actor_tag", "action", "rule", "intent_id", "result", "code", "entry"}
}

// RowOf makes the row of an entry.
func RowOf(index int64, body []byte) (Row, error) {
	e, err := audit.Parse(body)
	if err != nil {
		return Row{}, err
	}
	leaf := audit.LeafHash(body)
	r := Row{Index: index, LeafHash: hex.EncodeToString(leaf[:]), Time: e.Time().Format(time.RFC3339Nano), Kind: string(e.Kind), ID: e.ID, Run: e.Run, Entry: string(body)}
	if e.Actor != nil {
		r.Actor = e.Actor.Tag
	}
	switch {
	case e.Intent != nil:
		r.Action, r.Rule, r.IntentID = e.Intent.Action, e.Intent.Rule, e.ID
	case e.Outcome != nil:
		r.IntentID, r.Result, r.Code = e.Outcome.IntentID, e.Outcome.Result, e.Outcome.Code
	case e.Skip != nil:
		r.Result, r.Code = "skipped", e.Skip.Code
	case e.Verification != nil:
		r.Result = e.Verification.Result
	}
	return r, nil
}

// Manifest says what an export holds and lets anyone check it.
type Manifest struct {
	Schema string `json:"schema"`
	File   string `json:"file"`
	Format Format `json:"format"`
	SHA256 string `json:"sha256"` // of the file
	Rows   int64  `json:"rows"`
	First  int64  `json:"first_index"`
	Last   int64  `json:"last_index"`
	// Complete: the rows are all entries of the tree, so that its root can be computed from them.
	Complete   bool   `json:"complete"`
	Query      Query  `json:"query,omitzero"`
	Checkpoint string `json:"checkpoint"` // as signed
}

// Query is what was asked for, so that it can be asked again. Empty fields were not asked for.
type Query struct {
	Kind        string `json:"kind,omitempty"`
	Run         string `json:"run,omitempty"`
	Rule        string `json:"rule,omitempty"`
	Disposition string `json:"disposition,omitempty"`
	Since       string `json:"since,omitempty"` // RFC 3339
	Until       string `json:"until,omitempty"`
	Behind      int64  `json:"behind,omitempty"` // only entries with at least this index
	Limit       int64  `json:"limit,omitempty"`
	// Of is recording or subject where only one was asked for; which is not said.
	Of string `json:"of,omitempty"`
}

// String is the query for people.
func (q Query) String() string {
	text, err := json.Marshal(q)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// ManifestFile is the name of the manifest beside the data.
const ManifestFile = "manifest.json"

// Writer writes an export.
type Writer struct {
	dir      string
	m        Manifest
	f        *os.File
	sum      hash.Hash
	buffered *bufio.Writer
	add      func(Row) error
	end      func() error
}

// Begin begins an export in dir, which must not hold one yet. size is that of the tree.
func Begin(dir string, format Format, signed []byte, query Query) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the export's folder: %w", err)
	}
	name := "entries." + string(format)
	if format == OCSF {
		name = "entries.ocsf.jsonl"
	}
	w := &Writer{dir: dir, sum: sha256.New(), m: Manifest{Schema: Schema, File: name, Format: format, Query: query, Checkpoint: string(signed), First: -1, Last: -1}}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("beginning the export: %w", err)
	}
	w.f, w.buffered = f, bufio.NewWriter(io.MultiWriter(f, w.sum))
	switch format {
	case CSV:
		c := csv.NewWriter(w.buffered)
		err = c.Write(columns())
		w.add = func(r Row) error {
			return c.Write([]string{strconv.FormatInt(r.Index, 10), r.LeafHash, r.Time, r.Kind, r.ID, r.Run, r.Actor, r.Action, r.Rule, r.IntentID, r.Result, r.Code, r.Entry})
		}
		w.end = func() error { c.Flush(); return c.Error() }
	case JSONL:
		enc := json.NewEncoder(w.buffered)
		enc.SetEscapeHTML(false)
		w.add, w.end = func(r Row) error { return enc.Encode(r) }, func() error { return nil }
	case Parquet:
		p := parquet.NewGenericWriter[Row](w.buffered)
		w.add = func(r Row) error { _, err := p.Write([]Row{r}); return err }
		w.end = p.Close
	case OCSF:
		enc := json.NewEncoder(w.buffered)
		enc.SetEscapeHTML(false)
		w.add = func(r Row) error {
			e, ok, err := ocsfOf(r)
			if err != nil || !ok {
				return err
			}
			return enc.Encode(e)
		}
		w.end = func() error { return nil }
	default:
		err = fmt.Errorf("format %q is not csv, jsonl, parquet or ocsf", format)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return w, nil
}

// Add adds an entry. Entries come in the order of the log.
func (w *Writer) Add(index int64, body []byte) error {
	r, err := RowOf(index, body)
	if err != nil {
		return err
	}
	if index <= w.m.Last {
		return fmt.Errorf("exporting entry %d after entry %d", index, w.m.Last)
	}
	if w.m.First < 0 {
		w.m.First = index
	}
	w.m.Last, w.m.Rows = index, w.m.Rows+1
	return w.add(r)
}

// Finish ends the export and writes its manifest. size is that of the signed tree.
func (w *Writer) Finish(size int64) (Manifest, error) {
	err := errors.Join(w.end(), w.buffered.Flush(), w.f.Sync(), w.f.Close())
	if err != nil {
		return w.m, fmt.Errorf("ending the export: %w", err)
	}
	w.m.SHA256, w.m.Complete = hex.EncodeToString(w.sum.Sum(nil)), w.m.Rows == size && w.m.Format != OCSF
	text, err := json.MarshalIndent(w.m, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, ManifestFile), append(text, '\n'), 0o600)
	}
	if err != nil {
		return w.m, fmt.Errorf("writing the manifest: %w", err)
	}
	return w.m, nil
}

// Checked is what the check of an export showed.
type Checked struct {
	Manifest Manifest `json:"manifest"`
	Findings []string `json:"findings"`
	// Proved says that the rows were shown to be the log's: they give the signed root, or were compared
	// with the log itself.
	Proved bool `json:"proved"`
	// Complete says that none is missing that was asked for.
	Complete bool `json:"complete"`
}

// Truth is what the log itself holds of an export.
type Truth struct {
	// Leaves are the leaf hashes of the log's entries by index, in hexadecimal: of those that the query
	// chooses, or, where All is set, of all, since nobody can ask the query again.
	Leaves map[int64]string
	All    bool
}

// ReadManifest reads the manifest of an export.
func ReadManifest(dir string) (m Manifest, err error) {
	text, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.DisallowUnknownFields()
		err = dec.Decode(&m)
	}
	if err == nil && (m.Schema != Schema || m.File != filepath.Base(m.File)) {
		err = fmt.Errorf("schema %q: this program reads %s", m.Schema, Schema)
	}
	if err != nil {
		return m, fmt.Errorf("reading the manifest: %w", err)
	}
	return m, nil
}

// Origin is the name of the log that it says it is of.
func (m Manifest) Origin() string {
	origin, _, _ := strings.Cut(m.Checkpoint, "\n")
	return origin
}

// Check checks an export from its files: the file's sum, each row's leaf hash against its bytes and
// its columns, and, where the export is complete, the root against the checkpoint, whose signatures
// trust must accept. ask, if not nil, gives what the log itself holds: then rows that are missing are
// found too.
func Check(dir string, trust *audit.Trust, ask func(Manifest) (Truth, error)) (Checked, error) {
	var out Checked
	m, err := ReadManifest(dir)
	if err != nil {
		return out, err
	}
	out.Manifest = m
	if m.Format == OCSF {
		return out, errors.New("an export for a SIEM is a translation; it cannot be checked row by row")
	}
	find := func(format string, args ...any) { out.Findings = append(out.Findings, fmt.Sprintf(format, args...)) }
	c, err := trust.Open([]byte(m.Checkpoint))
	if err != nil {
		find("%v", err)
		return out, nil
	}
	data, err := os.ReadFile(filepath.Join(dir, m.File))
	if err != nil {
		return out, fmt.Errorf("reading the export: %w", err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != m.SHA256 {
		find("%s: its SHA-256 is not the one in the manifest", m.File)
	}
	rows, err := readRows(m.Format, data)
	if err != nil {
		find("%s: %v", m.File, err)
		return out, nil
	}
	var tree audit.Accumulator
	var truth Truth
	if ask != nil {
		if truth, err = ask(m); err != nil {
			return out, err
		}
	}
	have := map[int64]bool{}
	for i, r := range rows {
		want, err := RowOf(r.Index, []byte(r.Entry))
		switch {
		case err != nil:
			find("row %d: %v", i+1, err)
		case want != r:
			find("row %d: a column is not what the entry says", i+1)
		case i > 0 && r.Index <= rows[i-1].Index, r.Index >= c.Size:
			find("row %d: entry %d is out of order, or beyond the signed tree", i+1, r.Index)
		}
		tree.Add([]byte(r.Entry))
		if ask != nil && truth.Leaves[r.Index] != r.LeafHash {
			find("row %d: entry %d of the log is another one, or is not one that was asked for", i+1, r.Index)
		}
		have[r.Index] = true
		if len(out.Findings) > 50 {
			return out, nil
		}
	}
	if int64(len(rows)) != m.Rows {
		find("%s: %d rows, the manifest says %d", m.File, len(rows), m.Rows)
	}
	if m.Complete && (tree.Size() != c.Size || tree.Root() != [32]byte(c.Root)) {
		find("the rows do not give the root of the signed checkpoint: something was left out, added or changed")
	}
	if ask != nil && !truth.All {
		for _, index := range slices.Sorted(maps.Keys(truth.Leaves)) {
			if !have[index] && len(out.Findings) <= 50 {
				find("entry %d of the log was asked for, and is missing", index)
			}
		}
	}
	ok := len(out.Findings) == 0
	out.Proved, out.Complete = ok && (m.Complete || ask != nil), ok && (m.Complete || ask != nil && !truth.All)
	return out, nil
}

func readRows(format Format, data []byte) ([]Row, error) {
	switch format {
	case JSONL:
		var out []Row
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		for {
			var r Row
			if err := dec.Decode(&r); errors.Is(err, io.EOF) {
				return out, nil
			} else if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
	case CSV:
		return readCSV(data)
	case Parquet:
		return parquet.Read[Row](bytes.NewReader(data), int64(len(data)))
	case OCSF:
	}
	return nil, fmt.Errorf("format %q cannot be read back", format)
}

func readCSV(data []byte) ([]Row, error) {
	lines, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 || len(lines[0]) != len(columns()) {
		return nil, errors.New("the heading is missing")
	}
	var out []Row
	for n, l := range lines[1:] {
		index, err := strconv.ParseInt(l[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+2, err)
		}
		out = append(out, Row{index, l[1], l[2], l[3], l[4], l[5], l[6], l[7], l[8], l[9], l[10], l[11], l[12]})
	}
	return out, nil
}
