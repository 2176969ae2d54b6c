package redact_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"earshot"
	"earshot/redact"
)

// A tenth of a second goes out of a recording of one second; the caller proves the output before
// letting go of the input.
func Example() {
	f := wavFile{form: "RIFF", tag: 1, channels: 1, bits: 16, container: 2, rate: 16000, sound: make([]byte, 32000)}
	src := f.bytes()

	var spool bytes.Buffer
	report, err := redact.Redact(&spool, bytes.NewReader(src), int64(len(src)), redact.Edit{
		Spans: earshot.Spans{{Start: 200 * time.Millisecond, End: 300 * time.Millisecond}},
		Fill:  earshot.FillCut,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = redact.Verify(bytes.NewReader(src), int64(len(src)), bytes.NewReader(spool.Bytes()), report.AfterBytes, report)
	report.Verified = err == nil

	var printed struct {
		Erased   json.RawMessage `json:"erased"`
		Length   float64         `json:"length_ms"`
		After    int64           `json:"after_bytes"`
		Verified bool            `json:"verified"`
	}
	text, _ := json.Marshal(report)
	_ = json.Unmarshal(text, &printed)
	fmt.Printf("%s of %v ms, %d bytes left, verified: %v\n", printed.Erased, printed.Length, printed.After, printed.Verified)
	// Output: [{"start_ms":200,"end_ms":300}] of 1000 ms, 28844 bytes left, verified: true
}
