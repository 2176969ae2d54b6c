//go:build goexperiment.simd && amd64

package net

import "simd/archsimd"

const vectors = true

// productVector does sixteen columns, four rows at a time.
func productVector(c []float32, ldc int, a []float32, ai, ap int, b []float32, ldb int, m, k int) {
	i := 0
	for ; i+4 <= m; i += 4 {
		c0, c1, c2, c3 := c[i*ldc:], c[(i+1)*ldc:], c[(i+2)*ldc:], c[(i+3)*ldc:]
		x0, y0 := archsimd.LoadFloat32x8Slice(c0), archsimd.LoadFloat32x8Slice(c0[8:])
		x1, y1 := archsimd.LoadFloat32x8Slice(c1), archsimd.LoadFloat32x8Slice(c1[8:])
		x2, y2 := archsimd.LoadFloat32x8Slice(c2), archsimd.LoadFloat32x8Slice(c2[8:])
		x3, y3 := archsimd.LoadFloat32x8Slice(c3), archsimd.LoadFloat32x8Slice(c3[8:])
		at := i * ai
		for p, q := 0, 0; p < k; p, q = p+1, q+ldb {
			w := b[q : q+16 : q+16]
			v, u := archsimd.LoadFloat32x8Slice(w), archsimd.LoadFloat32x8Slice(w[8:])
			s := archsimd.BroadcastFloat32x8(a[at])
			x0, y0 = s.MulAdd(v, x0), s.MulAdd(u, y0)
			s = archsimd.BroadcastFloat32x8(a[at+ai])
			x1, y1 = s.MulAdd(v, x1), s.MulAdd(u, y1)
			s = archsimd.BroadcastFloat32x8(a[at+2*ai])
			x2, y2 = s.MulAdd(v, x2), s.MulAdd(u, y2)
			s = archsimd.BroadcastFloat32x8(a[at+3*ai])
			x3, y3 = s.MulAdd(v, x3), s.MulAdd(u, y3)
			at += ap
		}
		x0.StoreSlice(c0)
		y0.StoreSlice(c0[8:])
		x1.StoreSlice(c1)
		y1.StoreSlice(c1[8:])
		x2.StoreSlice(c2)
		y2.StoreSlice(c2[8:])
		x3.StoreSlice(c3)
		y3.StoreSlice(c3[8:])
	}
	for ; i < m; i++ {
		row := c[i*ldc:]
		x, y := archsimd.LoadFloat32x8Slice(row), archsimd.LoadFloat32x8Slice(row[8:])
		at := i * ai
		for p, q := 0, 0; p < k; p, q = p+1, q+ldb {
			w := b[q : q+16 : q+16]
			s := archsimd.BroadcastFloat32x8(a[at])
			x, y = s.MulAdd(archsimd.LoadFloat32x8Slice(w), x), s.MulAdd(archsimd.LoadFloat32x8Slice(w[8:]), y)
			at += ap
		}
		x.StoreSlice(row)
		y.StoreSlice(row[8:])
	}
}

func mulAdd(y, w, x []float32) {
	w, x = w[:len(y)], x[:len(y)]
	i := 0
	for ; i+8 <= len(y); i += 8 {
		archsimd.LoadFloat32x8Slice(w[i:]).MulAdd(archsimd.LoadFloat32x8Slice(x[i:]), archsimd.LoadFloat32x8Slice(y[i:])).StoreSlice(y[i:])
	}
	for ; i < len(y); i++ {
		y[i] += w[i] * x[i]
	}
}
