package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/tlog"
)

// CertificateSchema names the form of a certificate.
const CertificateSchema = "earshot.certificate/v1"

// Certificate proves offline that the log holds an intent and its outcome: what was going to be
// done to one recording, and what became of it. The entries' bytes are the evidence; everything
// else is there to be read.
type Certificate struct {
	Schema   string    `json:"schema"`
	IssuedAt time.Time `json:"issued_at"`
	Issuer   string    `json:"issuer,omitempty"`
	Log      string    `json:"log"`  // origin
	VKey     string    `json:"vkey"` // as the issuer states it; compare with the one you were given
	Title    string    `json:"title"`
	Wording  string    `json:"wording"`
	Limits   []string  `json:"limits"` // what the certificate does not say
	Intent   Proved    `json:"intent"`
	Outcome  Proved    `json:"outcome"`
	// Verification is the entry of a second look at the store, by another component.
	Verification *Proved `json:"verification,omitempty"`
	// Residuals say where copies may still be, and until when, as the operator states it.
	Residuals []string `json:"residuals,omitempty"`
	// Opening is what ties the tags to a recording, for those entitled to know. It is not proved by
	// the log unless the tag key is disclosed too.
	Opening *Opening `json:"opening,omitempty"`
}

// Proved is one entry with the proof that the log holds it.
type Proved struct {
	Entry string `json:"entry"` // the exact bytes
	Proof string `json:"proof"` // C2SP tlog-proof, with the signed checkpoint
}

// Opening names what the tags of a certificate stand for.
type Opening struct {
	Bucket string `json:"bucket"`
	Key    string `json:"key"`
	// TagKey is the data subject's key. With it the certificate proves which recording it is about;
	// whoever has it finds all entries of that person in the log.
	TagKey []byte `json:"tag_key,omitempty"`
}

// Prove gives the entry at index with its proof under the published tree.
func (l *Log) Prove(ctx context.Context, index int64) (Proved, error) {
	return Prove(ctx, l.opts.Tiles, l.opts.Trust, index)
}

// Prove gives the entry at index with its proof under the published tree, from the log's objects
// alone.
func Prove(ctx context.Context, tiles Tiles, trust *Trust, index int64) (Proved, error) {
	signed, _, err := tiles.Get(ctx, "checkpoint")
	if err != nil {
		return Proved{}, fmt.Errorf("proving entry %d: %w", index, err)
	}
	c, err := trust.Open(signed)
	if err != nil {
		return Proved{}, fmt.Errorf("proving entry %d: %w", index, err)
	}
	if index < 0 || index >= c.Size {
		return Proved{}, fmt.Errorf("proving entry %d: the published log has %d entries", index, c.Size)
	}
	width := int(min(tileWidth, c.Size-index&^(tileWidth-1)))
	bundle, _, err := tiles.Get(ctx, tilePath("entries", index>>tileHeight, width))
	if err != nil {
		return Proved{}, fmt.Errorf("proving entry %d: %w", index, err)
	}
	entries, err := parseBundle(bundle, width)
	if err != nil {
		return Proved{}, fmt.Errorf("proving entry %d: %w: %w", index, ErrUnverified, err)
	}
	reader := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, &tileReader{ctx, tiles})
	hashes, err := tlog.ProveRecord(c.Size, index, reader)
	if err != nil {
		return Proved{}, fmt.Errorf("proving entry %d: %w", index, err)
	}
	p := proof.TLogProof{Index: uint64(index), Checkpoint: signed}
	for _, h := range hashes {
		p.Hashes = append(p.Hashes, h)
	}
	return Proved{Entry: string(entries[index%tileWidth]), Proof: string(p.Marshal())}, nil
}

// tileReader fetches tiles for package tlog, which checks them against the signed root.
type tileReader struct {
	ctx   context.Context
	tiles Tiles
}

func (r *tileReader) Height() int                     { return tileHeight }
func (r *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		data, _, err := r.tiles.Get(r.ctx, tilePath(strconv.Itoa(t.L), t.N, t.W))
		if err != nil {
			return nil, err
		}
		out[i] = data
	}
	return out, nil
}

// Verify checks the proof with the log's key alone and returns the entry and the checkpoint that
// it was proved under. It needs neither a network nor a database.
func (p Proved) Verify(trust *Trust) (Entry, Checkpoint, error) {
	var tp proof.TLogProof
	if err := tp.Unmarshal([]byte(p.Proof)); err != nil {
		return Entry{}, Checkpoint{}, fmt.Errorf("proof: %w: %w", ErrUnverified, err)
	}
	c, err := trust.Open(tp.Checkpoint)
	if err != nil {
		return Entry{}, Checkpoint{}, err
	}
	hashes := make(tlog.RecordProof, len(tp.Hashes))
	for i, h := range tp.Hashes {
		hashes[i] = h
	}
	if tp.Index >= uint64(c.Size) {
		return Entry{}, Checkpoint{}, fmt.Errorf("proof: %w: entry %d of a tree of %d", ErrUnverified, tp.Index, c.Size)
	}
	if err := tlog.CheckRecord(hashes, c.Size, c.Root, int64(tp.Index), tlog.RecordHash([]byte(p.Entry))); err != nil {
		return Entry{}, Checkpoint{}, fmt.Errorf("proof: %w: %w", ErrUnverified, err)
	}
	e, err := Parse([]byte(p.Entry))
	if err != nil {
		return Entry{}, Checkpoint{}, fmt.Errorf("proved entry: %w: %w", ErrUnverified, err)
	}
	return e, c, nil
}

// Subject is what a certificate is to be about: places in the log, and what stands beside them.
type Subject struct {
	VKey, Issuer    string
	Intent, Outcome int64
	Verification    *int64 // nil where nobody has looked a second time
	Opening         *Opening
	Residuals       []string
}

// Certify draws the certificate of the entries at the given places in the log.
func (l *Log) Certify(ctx context.Context, s Subject) (Certificate, error) {
	return Certify(ctx, l.opts.Tiles, l.opts.Trust, l.opts.Now(), s)
}

// Certify draws a certificate from a log's objects alone, as of a closed shard.
func Certify(ctx context.Context, tiles Tiles, trust *Trust, now time.Time, s Subject) (Certificate, error) {
	c := Certificate{Schema: CertificateSchema, IssuedAt: now.UTC().Truncate(time.Second), Issuer: s.Issuer,
		Log: trust.Origin(), VKey: s.VKey, Opening: s.Opening, Residuals: s.Residuals}
	var err error
	if c.Intent, err = Prove(ctx, tiles, trust, s.Intent); err != nil {
		return Certificate{}, err
	}
	if c.Outcome, err = Prove(ctx, tiles, trust, s.Outcome); err != nil {
		return Certificate{}, err
	}
	if s.Verification != nil {
		p, err := Prove(ctx, tiles, trust, *s.Verification)
		if err != nil {
			return Certificate{}, err
		}
		c.Verification = &p
	}
	v, err := c.Verify(trust)
	if err != nil {
		return Certificate{}, err
	}
	c.Title, c.Wording = v.Title(), v.Wording()
	c.Limits = limits()
	return c, nil
}

// Verdict is what a certificate proves.
type Verdict struct {
	Intent, Outcome Entry
	Verification    *Entry
	Checkpoint      Checkpoint // the larger of the trees
	// Recording is what the entries are proved to be about, as bucket/key; empty where the certificate
	// does not carry the key that proves it.
	Recording string
}

// errUnrelated is wrapped in ErrUnverified.
var errUnrelated = errors.New("intent and outcome do not belong together")

// Verify checks the certificate against the log's key. Nothing but the certificate is needed. The
// certificate's own title and wording must be what its entries say.
func (c Certificate) Verify(trust *Trust) (Verdict, error) {
	if c.Schema != CertificateSchema {
		return Verdict{}, fmt.Errorf("certificate of schema %q: this program reads %s", c.Schema, CertificateSchema)
	}
	intent, first, err := c.Intent.Verify(trust)
	if err != nil {
		return Verdict{}, fmt.Errorf("intent: %w", err)
	}
	outcome, second, err := c.Outcome.Verify(trust)
	if err != nil {
		return Verdict{}, fmt.Errorf("outcome: %w", err)
	}
	if intent.Intent == nil || outcome.Outcome == nil || outcome.Outcome.IntentID != intent.ID || c.Log != trust.Origin() {
		return Verdict{}, fmt.Errorf("certificate: %w: %w", ErrUnverified, errUnrelated)
	}
	v := Verdict{Intent: intent, Outcome: outcome, Checkpoint: first}
	if second.Size > first.Size {
		v.Checkpoint = second
	}
	if o := c.Opening; o != nil && len(o.TagKey) > 0 {
		t, err := NewTagger(o.TagKey)
		if err != nil {
			return Verdict{}, fmt.Errorf("certificate: %w: %w", ErrUnverified, err)
		}
		v.Recording = o.Bucket + "/" + o.Key
		if t.Of(o.TagKey).Tag("recording", intent.ID, v.Recording) != intent.Intent.Recording {
			return Verdict{}, fmt.Errorf("certificate: %w: its entries are about another recording than the one it names", ErrUnverified)
		}
	}
	if c.Verification != nil {
		e, at, err := c.Verification.Verify(trust)
		if err != nil {
			return Verdict{}, fmt.Errorf("verification: %w", err)
		}
		if e.Verification == nil || e.Verification.OutcomeID != outcome.ID {
			return Verdict{}, fmt.Errorf("certificate: %w: %w", ErrUnverified, errUnrelated)
		}
		if e.Verification.Result == "contradicted" {
			return Verdict{}, fmt.Errorf("certificate: %w: a second look at the store, by %q, contradicts it", ErrUnverified, e.Verification.Verifier)
		}
		v.Verification = &e
		if at.Size > v.Checkpoint.Size {
			v.Checkpoint = at
		}
	}
	if c.Title != "" && (c.Title != v.Title() || c.Wording != v.Wording()) {
		return Verdict{}, fmt.Errorf("certificate: %w: its wording is not what its entries say", ErrUnverified)
	}
	return v, nil
}

// Title of the document.
func (v Verdict) Title() string {
	switch {
	case v.Outcome.Outcome.Result != "ok" && v.Outcome.Outcome.Result != "already_absent":
		return "Record of an action that was not completed"
	case v.Intent.Intent.Action == "delete":
		return "Certificate of destruction (logical deletion)"
	}
	return "Certificate of redaction"
}

// Wording says in one sentence what was done, claiming no more than the evidence carries.
func (v Verdict) Wording() string {
	at, o := v.Outcome.Time().Format("2006-01-02 15:04:05 MST"), v.Outcome.Outcome
	switch {
	case o.Result == "already_absent":
		return fmt.Sprintf("At %s the recording was found to be absent: a fresh listing of the store showed no version of it.", at)
	case o.Result != "ok":
		return fmt.Sprintf("At %s the action ended as %s (%s); the recording may still be there.", at, o.Result, o.Code)
	case v.Intent.Intent.Action == "delete":
		return fmt.Sprintf("By %s every version of the recording and of its companions (%d objects, delete markers and uploads included) had been deleted, and a fresh listing of the store showed none of them.", at, o.CopiesGone)
	}
	return fmt.Sprintf("By %s the named spans of the recording had been erased, the result had been verified by an independent reading, and all %d earlier versions had been deleted; a fresh listing of the store showed none of them.", at, o.CopiesGone)
}

// Second says in one sentence what the second look showed; empty where there was none.
func (v Verdict) Second() string {
	if v.Verification == nil {
		return ""
	}
	s := v.Verification.Verification
	return fmt.Sprintf("At %s the verifier %s looked at the store (%s): %s, %d version(s) left.",
		v.Verification.Time().Format("2006-01-02 15:04:05 MST"), s.Verifier, s.Method, s.Result, s.Left)
}

func limits() []string {
	return []string{
		"The log proves what earshot stated and when; that the bytes are gone was seen by listing the store through its S3 interface.",
		"Deletion is logical deletion of every version through S3. It is neither a purge of the media (NIST SP 800-88) nor cryptographic erasure.",
		"Backups, replicas and copies outside the store that earshot was configured with are not covered.",
		"Times are the operator's own clock.",
	}
}

// ParseCertificate reads a certificate; unknown keys are refused.
func ParseCertificate(text []byte) (Certificate, error) {
	var c Certificate
	if err := strictJSON(text, &c); err != nil {
		return c, fmt.Errorf("reading the certificate: %w", err)
	}
	return c, nil
}

// JSON is the certificate as it is handed out.
func (c Certificate) JSON() ([]byte, error) {
	out, err := json.MarshalIndent(c, "", "  ")
	return append(out, '\n'), err
}
