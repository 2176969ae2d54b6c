package net

const tiles = true

// tile adds the product of four rows of A (ai apart, steps of ap) and eight columns of B (rows ldb
// apart) to C (rows ldc apart), k of at least 1. It multiplies and adds in the order of the plain
// loops, with the same roundings: the same bits.
//
//go:noescape
func tile(c *float32, ldc int, a *float32, ai, ap int, b *float32, ldb, k int)

// wide says whether the machine has AVX, which tileWide and mulAddWide take.
//
//nolint:gochecknoglobals // what the machine is, found once
var wide = hasAVX()

func hasAVX() bool

// tileWide is tile for sixteen columns.
//
//go:noescape
func tileWide(c *float32, ldc int, a *float32, ai, ap int, b *float32, ldb, k int)

// mulAddWide adds w*x to y for n/8*8 values, n of at least 8.
//
//go:noescape
func mulAddWide(y, w, x *float32, n int)
