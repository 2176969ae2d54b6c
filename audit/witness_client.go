package audit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// larger is ErrDisputed: the witness has cosigned a tree that is larger than ours.
type larger struct {
	witness    string
	seen, ours int64
}

func (e *larger) Error() string {
	return fmt.Sprintf("%v: witness %s has seen %d entries, and there are %d", ErrDisputed, e.witness, e.seen, e.ours)
}

func (e *larger) Unwrap() error { return ErrDisputed }

// ask sends a checkpoint to a witness and returns its signature lines. known is the size that it
// is believed to have cosigned last, and is corrected from its answer.
func (w Witnessing) ask(ctx context.Context, client *http.Client, c Checkpoint, signed []byte, known int64, reader tlog.HashReader) (lines []byte, err error) {
	for range 3 {
		if known > c.Size {
			return nil, &larger{w.Name, known, c.Size}
		}
		var proof tlog.TreeProof
		if known > 0 && known < c.Size {
			if proof, err = tlog.ProveTree(c.Size, known, reader); err != nil {
				return nil, fmt.Errorf("proving the tree to witness %s: %w", w.Name, err)
			}
		}
		body := fmt.Appendf(nil, "old %d\n", known)
		for _, h := range proof {
			body = fmt.Appendf(body, "%s\n", h)
		}
		body = append(append(body, '\n'), signed...)
		status, answer, err := post(ctx, client, w.URL+"/add-checkpoint", body)
		switch {
		case err != nil:
			return nil, fmt.Errorf("asking witness %s: %w", w.Name, err)
		case status == http.StatusOK:
			return answer, nil
		case status == http.StatusUnprocessableEntity:
			return nil, fmt.Errorf("%w: witness %s says that this tree does not extend what it saw before", ErrDisputed, w.Name)
		case status != http.StatusConflict:
			return nil, fmt.Errorf("witness %s answered with status %d", w.Name, status)
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64)
		if err == nil && size == known && known == c.Size {
			return nil, fmt.Errorf("%w: witness %s has seen another tree of %d entries", ErrDisputed, w.Name, known)
		}
		if err != nil || size < 0 || size == known {
			return nil, fmt.Errorf("witness %s answered with a conflict that makes no sense", w.Name)
		}
		known = size
	}
	return nil, fmt.Errorf("witness %s keeps changing its mind", w.Name)
}

func post(ctx context.Context, client *http.Client, url string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAddCheckpoint))
	return res.StatusCode, answer, err
}
