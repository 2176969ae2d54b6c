//go:build !amd64

package net

const (
	tiles = false
	wide  = false
)

func tile(*float32, int, *float32, int, int, *float32, int, int) {}

func tileWide(*float32, int, *float32, int, int, *float32, int, int) {}

func mulAddWide(*float32, *float32, *float32, int) {}
