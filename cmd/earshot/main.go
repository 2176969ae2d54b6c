// Command earshot finds out what an operator holds of people's voices, disposes of what policies say
// must go, and proves it.
//
// This package is the face: it reads the configuration, puts the parts together, and shows what
// came of it. It must not decide anything.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

// run is main with an exit status, so that tests can run it as a command of their scripts.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.SetOutput(io.Discard) // a decoder of somebody else's writes there; ours is slog
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	return a.execute(ctx, os.Args[1:])
}
