package catalog_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"earshot"
	"earshot/storage/catalog"
	"earshot/storage/catalog/catalogtest"
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
	keys, err := k.Keys(t.Context(), []earshot.SubjectID{"subject-one", "subject-two"})
	first, second := keys["subject-one"], keys["subject-two"]
	if err != nil || len(first) != 32 {
		t.Fatal(len(first), err)
	}
	if bytes.Equal(first, second) {
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

// TestKeysOfManyPeople: whoever asks first makes a key, all others are given that one, however many are asked for at
// once, and what was destroyed does not come back.
func TestKeysOfManyPeople(t *testing.T) {
	kek := bytes.Repeat([]byte{7}, 32)
	for name, where := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "subjects.db") },
		"postgres": func(t *testing.T) string { return catalogtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			path := where(t)
			open := func() *catalog.KeyRing {
				k, err := catalog.OpenKeyRing(t.Context(), path, kek)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { k.Close() })
				return k
			}
			people := make([]earshot.SubjectID, 0, 701)
			for i := range 700 {
				people = append(people, earshot.SubjectID(fmt.Sprintf("s%d", i)))
			}
			people = append(people, "s0") // twice
			got := make([]map[earshot.SubjectID][]byte, 4)
			var group sync.WaitGroup
			for i := range got { // processes of their own, each with others first
				k, from := open(), i*150
				group.Go(func() {
					some, err := k.Keys(t.Context(), people[from:from+100])
					if err == nil {
						got[i], err = k.Keys(t.Context(), people)
					}
					for s, key := range some {
						if err == nil && !bytes.Equal(key, got[i][s]) {
							t.Errorf("%s has two keys", s)
						}
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			seen := map[string]bool{}
			for s, key := range got[0] {
				for i := range got {
					if !bytes.Equal(got[i][s], key) {
						t.Fatalf("%s has another key in another process", s)
					}
				}
				seen[string(key)] = len(key) == 32
			}
			if len(got[0]) != 700 || len(seen) != 700 {
				t.Fatalf("%d people have %d keys", len(got[0]), len(seen))
			}
			k := open()
			if gone, err := k.Destroy(t.Context(), "s5"); !gone || err != nil {
				t.Fatal(gone, err)
			}
			if _, ok, err := k.Existing(t.Context(), "s5"); ok || err != nil {
				t.Errorf("it is still found: %v, %v", ok, err)
			}
			again, err := k.Keys(t.Context(), people[4:7])
			if err != nil || bytes.Equal(again["s5"], got[0]["s5"]) || !bytes.Equal(again["s6"], got[0]["s6"]) {
				t.Errorf("a key came back, or is another one: %v", err)
			}
		})
	}
}
