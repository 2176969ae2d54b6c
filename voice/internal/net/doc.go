// Package net is the small neural network code of package voice: convolutions over time, batch
// normalisation, pooling, Adam, and files of weights. Activations lie as [sequence][time][channel],
// float32. It must not know sound, words or children.
//
// Training uses vector instructions where the toolchain offers them (GOEXPERIMENT=simd on amd64);
// listening always runs the plain loops, whose order of operations is fixed, so that a recording
// gives the same bits at each run.
package net
