package net

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkProduct(b *testing.B) {
	const m, n, k = 200, 64, 64
	c, a, w := make([]float32, m*n), make([]float32, m*k), make([]float32, k*n)
	for b.Loop() {
		product(c, n, a, k, 1, w, n, m, n, k)
	}
	b.ReportMetric(float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
}

// However the product is taken apart, it has the bits of the plain sum.
func TestProductHasTheBitsOfThePlainSum(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	draw := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	for range 300 {
		m, n, k := 1+r.IntN(13), 1+r.IntN(45), 1+r.IntN(20)
		ai, ap := k, 1
		if r.IntN(2) == 0 {
			ai, ap = 1, m
		}
		a, b, c := draw(m*k), draw(k*n), draw(m*n)
		want := append([]float32(nil), c...)
		for i := range m {
			for j := range n {
				sum := want[i*n+j]
				for p := range k {
					sum += float32(a[i*ai+p*ap] * b[p*n+j])
				}
				want[i*n+j] = sum
			}
		}
		product(c, n, a, ai, ap, b, n, m, n, k)
		for i := range c {
			if c[i] != want[i] {
				t.Fatalf("%d by %d by %d, [%d]: %v, plain %v", m, n, k, i, c[i], want[i])
			}
		}
	}
}
