// Package net is the small neural network code of package voice: convolutions over time, batch
// normalisation, pooling, Adam, and files of weights. Activations lie as [sequence][time][channel],
// float32. It must not know sound, words or children.
//
// Vector instructions (amd64, AVX where the machine has it) keep the order of operations and the
// roundings of the plain loops, so that a recording gives the same bits at each run and on each of
// these machines.
package net
