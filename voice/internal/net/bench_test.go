package net

import "testing"

func BenchmarkProduct(b *testing.B) {
	const m, n, k = 200, 64, 64
	c, a, w := make([]float32, m*n), make([]float32, m*k), make([]float32, k*n)
	for b.Loop() {
		product(c, n, a, k, 1, w, n, m, n, k)
	}
	b.ReportMetric(float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
}
