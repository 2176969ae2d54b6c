package catalog_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"earshot/storage/catalog"
)

func TestADestroyedKeyIsGoneFromTheFileToo(t *testing.T) {
	path, kek := filepath.Join(t.TempDir(), "subjects.db"), bytes.Repeat([]byte{7}, 32)
	open := func() *catalog.KeyRing {
		k, err := catalog.OpenKeyRing(t.Context(), path, kek)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k := open()
	first, err := k.Key(t.Context(), "subject-one")
	if err != nil || len(first) != 32 {
		t.Fatal(len(first), err)
	}
	second, err := k.Key(t.Context(), "subject-two")
	if err != nil || bytes.Equal(first, second) {
		t.Fatal("two subjects share a key", err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, first) || bytes.Contains(raw, []byte("subject-one")) {
		t.Error("the file names a subject, or holds a key in the clear")
	}
	k = open()
	again, ok, err := k.Existing(t.Context(), "subject-one")
	if err != nil || !ok || !bytes.Equal(again, first) {
		t.Fatalf("the key is another one after opening again: %v, %v", ok, err)
	}
	// The row's id is in the file until the key is destroyed, and nowhere after that.
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := k.Destroy(t.Context(), "subject-one"); err != nil || !gone {
		t.Fatal(gone, err)
	}
	if gone, err := k.Destroy(t.Context(), "subject-one"); err != nil || gone {
		t.Errorf("destroyed twice: %v, %v", gone, err)
	}
	if _, ok, err := k.Existing(t.Context(), "subject-one"); ok || err != nil {
		t.Errorf("it is still found: %v, %v", ok, err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	survivors := 0
	for i := 0; i+16 <= len(before); i += 16 {
		chunk := before[i : i+16]
		if !bytes.Equal(chunk, make([]byte, 16)) && bytes.Contains(after, chunk) {
			survivors++
		}
	}
	if bytes.Equal(before, after) || survivors == 0 {
		t.Fatalf("the comparison says nothing: %d chunks survive", survivors)
	}
	if _, err := catalog.OpenKeyRing(t.Context(), path, []byte("short")); err == nil {
		t.Error("a short key-encryption key was taken")
	}
}
