package wyoming

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of what is read.
const (
	maxLine    = 64 << 10
	maxData    = 4 << 20 // info of a server with many models
	maxPayload = 4 << 20
)

// event is one message, with its data in one piece.
type event struct {
	kind    string
	data    map[string]json.RawMessage
	payload []byte
}

type header struct {
	Type          string                     `json:"type"`
	Data          map[string]json.RawMessage `json:"data,omitempty"`
	DataLength    *int64                     `json:"data_length,omitempty"`
	PayloadLength *int64                     `json:"payload_length,omitempty"`
	Version       *string                    `json:"version,omitempty"`
}

// readEvent reads one event. io.EOF means that none began.
func readEvent(r *bufio.Reader) (event, error) {
	line, err := readLine(r)
	if err != nil {
		return event{}, err
	}
	var h header
	if err := json.Unmarshal(line, &h); err != nil {
		return event{}, fmt.Errorf("an event's header: %w", err)
	}
	if h.Type == "" {
		return event{}, errors.New("an event without a type")
	}
	if h.Version != nil && *h.Version != "" && !strings.HasPrefix(*h.Version, "1.") {
		return event{}, fmt.Errorf("version %.20q of the protocol, want 1", *h.Version)
	}
	e := event{kind: h.Type, data: h.Data}
	data, err := readPart(r, h.DataLength, maxData, "data")
	if err != nil {
		return event{}, err
	}
	if len(data) > 0 {
		var over map[string]json.RawMessage
		if err := json.Unmarshal(data, &over); err != nil {
			return event{}, fmt.Errorf("the data of a %.40q event: %w", e.kind, err)
		}
		if e.data == nil {
			e.data = map[string]json.RawMessage{}
		}
		for k, v := range over {
			e.data[k] = v
		}
	}
	e.payload, err = readPart(r, h.PayloadLength, maxPayload, "payload")
	return e, err
}

// readLine reads up to a line feed.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("an event's header of more than %d bytes", maxLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		return line, nil
	}
}

// readPart reads what a header announces. It allocates as bytes come, not as they are announced.
func readPart(r io.Reader, n *int64, most int64, what string) ([]byte, error) {
	if n == nil || *n == 0 {
		return nil, nil
	}
	if *n < 0 || *n > most {
		return nil, fmt.Errorf("an event's %s of %d bytes, the most is %d", what, *n, most)
	}
	b, err := io.ReadAll(io.LimitReader(r, *n))
	if err == nil && int64(len(b)) < *n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("an event's %s: %w", what, err)
	}
	return b, nil
}

// writeEvent writes one event as the Python library does: the data behind the header.
func writeEvent(w io.Writer, kind string, data any, payload []byte) error {
	h := header{Type: kind}
	var body []byte
	if data != nil {
		var err error
		if body, err = json.Marshal(data); err != nil {
			return fmt.Errorf("writing a %q event: %w", kind, err)
		}
		n := int64(len(body))
		h.DataLength = &n
	}
	if len(payload) > 0 {
		n := int64(len(payload))
		h.PayloadLength = &n
	}
	line, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("writing a %q event: %w", kind, err)
	}
	_, err = w.Write(append(append(append(line, '\n'), body...), payload...))
	return err
}
