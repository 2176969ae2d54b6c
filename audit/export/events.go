package export

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"earshot/audit"
)

// ocsfEvent is an OCSF Datastore Activity event (class 6005, version 1.3.0): what SIEMs take.
type ocsfEvent struct {
	ActivityID   int          `json:"activity_id"`
	ActivityName string       `json:"activity_name"`
	CategoryUID  int          `json:"category_uid"` // 6, Application Activity
	ClassUID     int          `json:"class_uid"`    // 6005
	TypeUID      int          `json:"type_uid"`     // class * 100 + activity
	SeverityID   int          `json:"severity_id"`  // 1 informational, 3 medium
	StatusID     int          `json:"status_id"`    // 1 success, 2 failure, 0 unknown
	StatusDetail string       `json:"status_detail,omitempty"`
	Time         int64        `json:"time"` // milliseconds
	Message      string       `json:"message"`
	Metadata     ocsfMetadata `json:"metadata"`
	Actor        ocsfActor    `json:"actor"`
	SrcEndpoint  ocsfEndpoint `json:"src_endpoint"`
	Unmapped     Row          `json:"unmapped"`
}

type ocsfMetadata struct {
	Version string      `json:"version"`
	UID     string      `json:"uid"`
	Product ocsfProduct `json:"product"`
	LogName string      `json:"log_name"`
}

type ocsfProduct struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name"`
	Version    string `json:"version,omitempty"`
}

type ocsfActor struct {
	AppName string   `json:"app_name"`
	User    ocsfUser `json:"user"`
}

type ocsfUser struct {
	UID string `json:"uid"` // a tag, not a name
}

type ocsfEndpoint struct {
	Name string `json:"name"`
}

// ocsfOf translates outcomes; other entries have no counterpart that a SIEM would miss.
func ocsfOf(r Row) (ocsfEvent, bool, error) {
	e, err := audit.Parse([]byte(r.Entry))
	if err != nil || e.Outcome == nil {
		return ocsfEvent{}, false, err
	}
	o := ocsfEvent{
		ActivityID: 7, ActivityName: "Delete", CategoryUID: 6, ClassUID: 6005, SeverityID: 1, StatusID: 1, Time: e.TS / 1000,
		Metadata:    ocsfMetadata{Version: "1.3.0", UID: e.ID, Product: ocsfProduct{"earshot", "earshot", e.Producer}, LogName: "earshot.audit/v1"},
		Actor:       ocsfActor{AppName: "earshot", User: ocsfUser{UID: r.Actor}},
		SrcEndpoint: ocsfEndpoint{Name: "earshot"}, Unmapped: r,
	}
	if len(e.Outcome.Erased) > 0 || e.Outcome.After != "" {
		o.ActivityID, o.ActivityName = 2, "Update"
	}
	o.TypeUID = o.ClassUID*100 + o.ActivityID
	switch e.Outcome.Result {
	case "ok", "already_absent":
	case "failed", "stopped":
		o.StatusID, o.SeverityID, o.StatusDetail = 2, 3, e.Outcome.Code
	default:
		o.StatusID, o.StatusDetail = 0, e.Outcome.Result
	}
	o.Message = fmt.Sprintf("%s: %s %s", o.ActivityName, e.Outcome.Result, e.Outcome.Code)
	return o, true, nil
}

// cloudEvent is CloudEvents 1.0 in structured JSON.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Time            string          `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Index           string          `json:"logindex"`
	LeafHash        string          `json:"leafhash"`
	Data            json.RawMessage `json:"data"`
}

// Webhook sends entries to an HTTP address as batches of CloudEvents, and tries again when it fails.
type Webhook struct {
	URL    string
	Origin string // of the log
	Client *http.Client
	// Tries is how often a batch is sent before it is given up; default 6, over about a minute.
	Tries int
	// Wait gives the pause before try n, from 1; default 1 s, doubled each time.
	Wait func(n int) time.Duration

	batch []cloudEvent
}

// webhookBatch is how many events one request carries.
const webhookBatch = 100

// ErrRefused means: the receiver answered that it will not take the events, whatever is tried.
var ErrRefused = errors.New("the receiver refuses the events")

// Add sends an entry, or keeps it until a batch is full. sent tells up to which index (exclusive)
// the receiver has everything; it is 0 while nothing was sent.
func (w *Webhook) Add(ctx context.Context, index int64, body []byte) (sent int64, err error) {
	r, err := RowOf(index, body)
	if err != nil {
		return 0, err
	}
	w.batch = append(w.batch, cloudEvent{
		SpecVersion: "1.0", ID: r.ID, Source: w.Origin, Type: "earshot.audit.v1." + r.Kind, Time: r.Time,
		DataContentType: "application/json", Index: strconv.FormatInt(index, 10), LeafHash: r.LeafHash, Data: json.RawMessage(r.Entry),
	})
	if len(w.batch) < webhookBatch {
		return 0, nil
	}
	return index + 1, w.Flush(ctx)
}

// Flush sends what is kept.
func (w *Webhook) Flush(ctx context.Context) error {
	if len(w.batch) == 0 {
		return nil
	}
	body, err := json.Marshal(w.batch)
	if err != nil {
		return err
	}
	tries, wait := w.Tries, w.Wait
	if tries == 0 {
		tries = 6
	}
	if wait == nil {
		wait = func(n int) time.Duration { return time.Second << (n - 1) }
	}
	for n := 1; ; n++ {
		err := w.post(ctx, body)
		if err == nil {
			w.batch = w.batch[:0]
			return nil
		}
		if n == tries || errors.Is(err, ErrRefused) {
			return fmt.Errorf("sending %d events: %w", len(w.batch), err)
		}
		select {
		case <-time.After(wait(n)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *Webhook) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	req.Header.Set("Content-Type", "application/cloudevents-batch+json")
	client := w.Client
	if client == nil {
		client = &http.Client{Timeout: 30 * time.Second}
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return nil
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout, res.StatusCode >= 500:
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return fmt.Errorf("%w: status %d", ErrRefused, res.StatusCode)
}
