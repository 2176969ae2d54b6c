package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"

	"earshot/storage/embedded"

	"github.com/spf13/cobra"
)

// release is the version of this source; release builds have it in their build information too.
const release = "0.1.0-dev"

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return release
}

func newVersion(a *app) *cobra.Command {
	return command("version", "Print the version", "", cobra.NoArgs, func(*cobra.Command, []string) error {
		v := map[string]string{"version": version()}
		if info, ok := debug.ReadBuildInfo(); ok {
			v["go"] = info.GoVersion
		}
		return a.emit(v, func(w io.Writer) { fmt.Fprintf(w, "earshot %s (%s)\n", v["version"], v["go"]) })
	})
}

// newStore is the child process that the embedded store runs in.
func newStore() *cobra.Command {
	c := command("store", "Run the embedded S3 server (started by earshot itself)", "", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		return embedded.Serve(context.WithoutCancel(cmd.Context()), cmd.InOrStdin())
	})
	c.Hidden = true
	return c
}
