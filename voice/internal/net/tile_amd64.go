package net

const tiles = true

// tile adds the product of four rows of A (ai apart, steps of ap) and eight columns of B (rows ldb
// apart) to C (rows ldc apart), k of at least 1. It multiplies and adds in the order of the plain
// loops, with the same roundings: the same bits.
//
//go:noescape
func tile(c *float32, ldc int, a *float32, ai, ap int, b *float32, ldb, k int)
