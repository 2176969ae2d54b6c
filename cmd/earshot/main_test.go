package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"earshot/audit"
	"earshot/storage/embedded"
	"earshot/storage/storagetest"

	"github.com/rogpeppe/go-internal/testscript"
)

// envMain makes the test binary be earshot itself.
const envMain = "EARSHOT_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(embedded.EnvChild) != "" {
		if err := embedded.Serve(context.Background(), os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if name := os.Getenv(envFire); name != "" {
		os.Exit(writer(name))
	}
	if os.Getenv(envMain) != "" {
		os.Exit(run())
	}
	storagetest.InMemory()
	testscript.Main(m, map[string]func(){"earshot": main})
}

// TestScripts runs the command line's manual.
func TestScripts(t *testing.T) {
	sample, err := filepath.Abs("samples/clip-00.wav")
	if err != nil {
		t.Fatal(err)
	}
	cmds := storyCommands()
	cmds["report"] = inStore(writeReport)
	// runid puts the first run that the last command printed into $RUN.
	cmds["runid"] = func(ts *testscript.TestScript, _ bool, _ []string) {
		id := regexp.MustCompile(`run-[0-9TZ]+-[0-9a-f]+`).FindString(ts.ReadFile("stdout"))
		if id == "" {
			ts.Fatalf("no run was printed")
		}
		ts.Setenv("RUN", id)
	}
	// deleted puts a recording that the first run deleted into $DELETED.
	cmds["deleted"] = func(ts *testscript.TestScript, _ bool, _ []string) {
		for n := range 60 {
			text, err := os.ReadFile(ts.MkAbs(fmt.Sprintf("certs/%s-%d.json", ts.Getenv("RUN"), n)))
			var c audit.Certificate
			if err == nil && json.Unmarshal(text, &c) == nil && strings.HasPrefix(c.Title, "Certificate of destruction") {
				ts.Setenv("DELETED", "s3://"+c.Opening.Bucket+"/"+c.Opening.Key)
				return
			}
		}
		ts.Fatalf("there is no certificate of destruction")
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: func(e *testscript.Env) error {
		e.Setenv("SAMPLE", sample)
		e.Setenv("SAMPLES", filepath.Dir(sample))
		return nil
	}, Cmds: cmds})
}
