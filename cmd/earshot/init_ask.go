package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// questions compose a first policy: who answers yes gets the packs.
var questions = [...]struct {
	text  string
	packs []string
}{
	{"Are these recordings of a voice assistant with a wake word?", []string{"voice-assistant"}},
	{"Can children under 13 in the United States be heard?", []string{"child-voice-coppa"}},
	{"Can people under 18 in the United Kingdom be heard?", []string{"child-voice-uk"}},
	{"Can children in the European Union be heard?", []string{"child-consent-age-eu"}},
	{"Does the GDPR apply?", []string{"storage-limitation-gdpr"}},
	{"Are voiceprints made?", []string{"voiceprints-biometric"}},
	{"Are transcripts kept beside the recordings?", []string{"orphaned-transcripts"}},
	{"Are there event logs of doorbells or an app?", []string{"doorbell-events"}},
	{"Do people listen to copies in a bucket of their own?", []string{"human-review"}},
}

// askPacks asks for packs, question by question.
func askPacks(in io.Reader, out io.Writer) ([]string, error) {
	var chosen []string
	lines := bufio.NewScanner(in)
	for _, q := range questions {
		fmt.Fprintf(out, "%s [y/N] ", q.text)
		if !lines.Scan() {
			return nil, fmt.Errorf("%w: the questions were not answered to the end", errUsage)
		}
		if answer := strings.ToLower(strings.TrimSpace(lines.Text())); answer == "y" || answer == "yes" {
			chosen = append(chosen, q.packs...)
		}
	}
	fmt.Fprintln(out)
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%w: nothing applies: name packs with --pack (earshot policy packs lists them)", errUsage)
	}
	return chosen, nil
}

// withBucket puts a bucket's name in the place of the one that packs have; a pack for a bucket of copies
// gets that with the same ending.
func withBucket(policy, bucket string) string {
	scope := regexp.MustCompile(`(scope: \{bucket: )voice(-[a-z]+)?([,}])`)
	return scope.ReplaceAllString(policy, "${1}"+bucket+"${2}${3}")
}
