//go:build !(goexperiment.simd && amd64)

package net

const vectors = false

func productVector([]float32, int, []float32, int, int, []float32, int, int, int) {}

func mulAdd(y, w, x []float32) {
	w, x = w[:len(y)], x[:len(y)]
	for i := range y {
		y[i] += w[i] * x[i]
	}
}
