package retention

import (
	"context"
	"errors"
	"slices"
	"strings"

	"earshot/storage/catalog"
)

// What looking for a place to cut may cost: entries read at one level, and levels that are gone down.
const (
	cutFolders = 1000
	cutLevels  = 8
)

// cut finds a key behind which a good part of what is left of a stretch lies. Keys are mostly laid out in
// folders, so the middle one of the folders that are left is asked for first; where there is none, the space
// of keys is searched. Empty where nothing is worth cutting off.
func (l *lister) cut(ctx context.Context, rg catalog.Range) (string, error) {
	high := rg.Through
	if high == "" {
		high = keyEnd(l.scope.Prefix)
	}
	if rg.After == "" { // not one key is listed: it is not time
		return "", nil
	}
	much := func(at string) (bool, error) {
		left, err := l.r.o.Catalog.UnderWay(ctx, l.scope.Bucket, l.scope.Prefix)
		if err != nil {
			return false, err
		}
		if !slices.ContainsFunc(left, func(x catalog.Range) bool { return x.Begins == rg.Begins }) {
			return false, errListed
		}
		next, err := l.b.Beyond(ctx, l.scope.Prefix, at, scanPage)
		return next != "" && (high == "" || next <= high), err
	}
	at, err := l.cutFolder(ctx, rg.After, high, much)
	if err == nil && at == "" {
		at, err = cutSpace(l.scope.Prefix, rg.After, high, much)
	}
	if errors.Is(err, errListed) {
		return "", nil
	}
	return at, err
}

// errListed: the stretch was listed to its end meanwhile.
var errListed = errors.New("there is nothing left to cut")

// cutFolder gives the middle one of the folders that lie behind low and before high, at the highest level
// that has one with enough behind it.
func (l *lister) cutFolder(ctx context.Context, low, high string, much func(string) (bool, error)) (string, error) {
	base := l.scope.Prefix[:strings.LastIndexByte(l.scope.Prefix, '/')+1]
	for range cutLevels {
		if !strings.HasPrefix(low, base) {
			return "", nil
		}
		var names []string
		for name, err := range l.b.Folders(ctx, base, low, cutFolders) {
			if err != nil {
				return "", err
			}
			if high != "" && name >= high {
				break
			}
			if name > low && strings.HasPrefix(name, l.scope.Prefix) {
				names = append(names, name)
			}
		}
		for len(names) > 0 {
			at := names[len(names)/2]
			if ok, err := much(at); ok || err != nil {
				return at, err
			}
			names = names[:len(names)/2]
		}
		folder, _, ok := strings.Cut(low[len(base):], "/")
		if !ok {
			return "", nil
		}
		base += folder + "/"
	}
	return "", nil
}
