package storagetest

import (
	"testing"

	"earshot/storage"

	"github.com/google/go-cmp/cmp"
)

// testLooks: a look at a key shows what a listing does, and folders are found.
func testLooks(t *testing.T, b *storage.Bucket) {
	for _, key := range []string{"c/s1/a.wav", "c/s1/a.wav.txt", "c/s2/x/b.wav", "c/top.wav", "other/z"} {
		put(t, b, key, "sound of "+key)
	}
	put(t, b, "c/s1/a.wav", "the newer sound")
	listed := 0
	for want, err := range b.List(t.Context(), "c/", "") {
		if err != nil {
			t.Fatal(err)
		}
		listed++
		got, ok, err := b.Newest(t.Context(), want.ID.Key)
		if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
			t.Errorf("a look shows otherwise than the listing (-listing +look): %v, %v\n%s", ok, err, diff)
		}
	}
	if listed != 4 {
		t.Errorf("%d keys were listed, want 4", listed)
	}
	if got, ok, err := b.Newest(t.Context(), "c/s1/a"); ok || err != nil {
		t.Errorf("a key that only begins others: got %+v, %v", got, err)
	}
	for after, want := range map[string][]string{"": {"c/s1/", "c/s2/"}, "c/s1/zzz": {"c/s2/"}, "c/s2/zzz": nil} {
		var folders []string
		for f, err := range b.Folders(t.Context(), "c/", after, 0) {
			if err != nil {
				t.Fatal(err)
			}
			if f > after { // whether the folder that the key itself lies in is shown, stores see differently
				folders = append(folders, f)
			}
		}
		if diff := cmp.Diff(want, folders); diff != "" {
			t.Errorf("folders behind %q (-want +got):\n%s", after, diff)
		}
	}
}
