//go:build !amd64

package net

const tiles = false

func tile(*float32, int, *float32, int, int, *float32, int, int) {}
