package net

// product adds A*B to C. C is m by n with rows ldc apart, B is k by n with rows ldb apart, and
// A[i][p] = a[i*ai+p*ap]: with ap = 1 a plain matrix (whose rows may overlap: a convolution), with
// ai = 1 a transposed one. Rows of C must not overlap.
func product(c []float32, ldc int, a []float32, ai, ap int, b []float32, ldb int, m, n, k int) {
	if m <= 0 || n <= 0 || k <= 0 {
		return
	}
	j := 0
	if tiles && m >= 4 && n >= 8 {
		j = productTiles(c, ldc, a, ai, ap, b, ldb, m, n, k)
	}
	for ; j+4 <= n; j += 4 {
		productFour(c[j:], ldc, a, ai, ap, b[j:], ldb, m, k)
	}
	for ; j < n; j++ {
		for i := range m {
			sum := c[i*ldc+j]
			for p := range k {
				sum += a[i*ai+p*ap] * b[p*ldb+j]
			}
			c[i*ldc+j] = sum
		}
	}
}

// productTiles does the columns that fill whole tiles, and says how many those are.
func productTiles(c []float32, ldc int, a []float32, ai, ap int, b []float32, ldb int, m, n, k int) (j int) {
	// The ends of what the tiles touch, so that a fault of ours is caught here.
	rows := m / 4 * 4
	_, _, _ = a[(rows-1)*ai+(k-1)*ap], b[(k-1)*ldb+n-1], c[(rows-1)*ldc+n-1]
	for columns := 0; j+8 <= n; j += columns {
		if columns = 8; wide && j+16 <= n {
			columns = 16
		}
		for i := 0; i < rows; i += 4 {
			if columns == 16 {
				tileWide(&c[i*ldc+j], ldc, &a[i*ai], ai, ap, &b[j], ldb, k)
			} else {
				tile(&c[i*ldc+j], ldc, &a[i*ai], ai, ap, &b[j], ldb, k)
			}
		}
		for q := j; rows < m && q < j+columns; q += 4 {
			productFour(c[rows*ldc+q:], ldc, a[rows*ai:], ai, ap, b[q:], ldb, m-rows, k)
		}
	}
	return j
}

// mulAdd adds w*x to y, value by value, with the same bits on every machine.
func mulAdd(y, w, x []float32) {
	w, x = w[:len(y)], x[:len(y)]
	i := 0
	if wide && len(y) >= 8 {
		mulAddWide(&y[0], &w[0], &x[0], len(y))
		i = len(y) / 8 * 8
	}
	for ; i < len(y); i++ {
		y[i] += float32(w[i] * x[i])
	}
}

// productFour is the plain kernel: four columns, two rows at a time.
func productFour(c []float32, ldc int, a []float32, ai, ap int, b []float32, ldb int, m, k int) {
	i := 0
	for ; i+2 <= m; i += 2 {
		x, y := c[i*ldc:i*ldc+4:i*ldc+4], c[(i+1)*ldc:(i+1)*ldc+4:(i+1)*ldc+4]
		x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
		y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
		ra, rb := i*ai, (i+1)*ai
		for p, q := 0, 0; p < k; p, q = p+1, q+ldb {
			w := b[q : q+4 : q+4]
			u, v := a[ra], a[rb]
			x0 += u * w[0]
			x1 += u * w[1]
			x2 += u * w[2]
			x3 += u * w[3]
			y0 += v * w[0]
			y1 += v * w[1]
			y2 += v * w[2]
			y3 += v * w[3]
			ra += ap
			rb += ap
		}
		x[0], x[1], x[2], x[3] = x0, x1, x2, x3
		y[0], y[1], y[2], y[3] = y0, y1, y2, y3
	}
	for ; i < m; i++ {
		x := c[i*ldc : i*ldc+4 : i*ldc+4]
		x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
		ra := i * ai
		for p, q := 0, 0; p < k; p, q = p+1, q+ldb {
			w := b[q : q+4 : q+4]
			u := a[ra]
			x0 += u * w[0]
			x1 += u * w[1]
			x2 += u * w[2]
			x3 += u * w[3]
			ra += ap
		}
		x[0], x[1], x[2], x[3] = x0, x1, x2, x3
	}
}
