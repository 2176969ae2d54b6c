package storagetest

import (
	"os"
	"path/filepath"
	"syscall"
)

// memoryRoom is how many bytes must be free in memory's file system for tests to use it. Containers often have
// a small one.
const memoryRoom = 4 << 30

// memory is a folder in memory, or empty where there is none that will do. MinIO writes past the kernel's cache,
// which file systems in memory allow from Linux 6.6 on.
func memory() string {
	const dir = "/dev/shm"
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < memoryRoom {
		return ""
	}
	probe, err := os.MkdirTemp(dir, "earshot-")
	if err != nil {
		return ""
	}
	defer os.RemoveAll(probe)
	f, err := os.OpenFile(filepath.Join(probe, "direct"), os.O_CREATE|os.O_WRONLY|syscall.O_DIRECT, 0o600)
	if err != nil {
		return ""
	}
	f.Close()
	return dir
}
