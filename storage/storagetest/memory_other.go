//go:build !linux

package storagetest

func memory() string { return "" }
