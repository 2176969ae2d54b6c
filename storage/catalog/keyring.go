package catalog

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"earshot"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// KeyRing keeps one secret key for each data subject, in a file of its own: whoever backs up the
// catalog must not back this up with it, or a key that was destroyed comes back. Rows name no
// subject and hold no key in the clear; both take the key-encryption key. It is safe for concurrent
// use, also by several processes.
type KeyRing struct {
	db   *sql.DB
	aead cipher.AEAD
	name []byte // key of the names of rows

	mu    sync.Mutex // guards what follows
	cache map[earshot.SubjectID][]byte
	since time.Time // when the cache was begun
}

// A full cache is begun anew, and an old one too: another process may have destroyed a key.
const (
	maxCachedKeys = 10_000
	maxCachedFor  = 30 * time.Second
)

// OpenKeyRing opens the file, or makes it; where is its path, or the URL of a PostgreSQL database
// for installations of several machines. kek is a secret of at least 32 bytes; with another one than
// the ring was made with, no key is found.
func OpenKeyRing(ctx context.Context, where string, kek []byte) (*KeyRing, error) {
	if len(kek) < 32 {
		return nil, fmt.Errorf("opening the subjects' keys: a key-encryption key of %d bytes: at least 32 are needed", len(kek))
	}
	k, err := newKeyRing(kek)
	if err == nil {
		k.db, err = openKeys(ctx, where)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the subjects' keys: %w", err)
	}
	return k, nil
}

func newKeyRing(kek []byte) (*KeyRing, error) {
	wrap, err := hkdf.Key(sha256.New, kek, nil, "earshot subject keys: wrapping", 32)
	if err != nil {
		return nil, err
	}
	name, err := hkdf.Key(sha256.New, kek, nil, "earshot subject keys: names", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(wrap)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &KeyRing{aead: aead, name: name, cache: map[earshot.SubjectID][]byte{}}, nil
}

func openKeys(ctx context.Context, where string) (*sql.DB, error) {
	table := "create table if not exists keys (id text primary key, made_at bigint not null, wrapped bytea not null)"
	var db *sql.DB
	if isPostgres(where) {
		cfg, err := pgx.ParseConfig(where)
		if err != nil {
			return nil, errURL
		}
		db = sql.OpenDB(stdlib.GetConnector(*cfg))
		db.SetMaxOpenConns(2)
	} else {
		abs, err := filepath.Abs(where)
		if err != nil {
			return nil, err
		}
		f, err := os.OpenFile(abs, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		// No write-ahead log, and what is deleted is overwritten: a destroyed key must not linger in the
		// file. (What the medium keeps below the file system is not ours to reach.)
		pragmas := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(DELETE)", "synchronous(FULL)", "secure_delete(1)"}, "_txlock": {"immediate"}}
		db = sql.OpenDB(dsn("file:" + (&url.URL{Path: abs}).EscapedPath() + "?" + pragmas.Encode()))
		db.SetMaxOpenConns(1)
		table = "create table if not exists keys (id text primary key, made_at integer not null, wrapped blob not null)"
	}
	if _, err := db.ExecContext(ctx, table); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Close closes the file.
func (k *KeyRing) Close() error { return k.db.Close() }

func (k *KeyRing) row(subject earshot.SubjectID) string {
	m := hmac.New(sha256.New, k.name)
	m.Write([]byte(subject))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// Keys gives the subjects' keys, 32 bytes each, and makes one for whom there is none: all in one step, since
// each step waits for the disk.
func (k *KeyRing) Keys(ctx context.Context, subjects []earshot.SubjectID) (map[earshot.SubjectID][]byte, error) {
	keys, err := k.existing(ctx, subjects)
	if err != nil {
		return nil, err
	}
	missing := map[string]earshot.SubjectID{}
	for _, s := range subjects {
		if keys[s] == nil {
			missing[k.row(s)] = s
		}
	}
	if len(missing) == 0 {
		return keys, nil
	}
	if err := k.make(ctx, slices.Sorted(maps.Keys(missing))); err != nil {
		return nil, fmt.Errorf("storing subjects' keys: %w", err)
	}
	made, err := k.existing(ctx, slices.Collect(maps.Values(missing))) // another process may have been faster
	if err == nil && len(made) < len(missing) {
		err = errors.New("storing subjects' keys: they are not there")
	}
	maps.Copy(keys, made)
	return keys, err
}

// make makes a key for each row that is not there yet. The rows are in order, so that two processes do not wait
// for one another.
func (k *KeyRing) make(ctx context.Context, rows []string) error {
	tx, err := k.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	now := time.Now().Unix()
	for part := range slices.Chunk(rows, madeAtOnce) {
		query, args := "insert into keys (id, made_at, wrapped) values ", make([]any, 0, 3*len(part))
		for i, id := range part {
			key, nonce := make([]byte, 32), make([]byte, k.aead.NonceSize())
			_, _ = rand.Read(key) // never fails, see crypto/rand
			_, _ = rand.Read(nonce)
			if i > 0 {
				query += ", "
			}
			query += fmt.Sprintf("($%d, $%d, $%d)", 3*i+1, 3*i+2, 3*i+3)
			args = append(args, id, now, k.aead.Seal(nonce, nonce, key, []byte(id)))
		}
		if _, err := tx.ExecContext(ctx, query+" on conflict (id) do nothing", args...); err != nil {
			return errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}
	return tx.Commit()
}

// madeAtOnce is how many keys one statement stores.
const madeAtOnce = 50

// Existing gives the subject's key if there is one.
func (k *KeyRing) Existing(ctx context.Context, subject earshot.SubjectID) (key []byte, ok bool, err error) {
	keys, err := k.existing(ctx, []earshot.SubjectID{subject})
	key, ok = keys[subject]
	return key, ok, err
}

func (k *KeyRing) existing(ctx context.Context, subjects []earshot.SubjectID) (map[earshot.SubjectID][]byte, error) {
	out := make(map[earshot.SubjectID][]byte, len(subjects))
	ask := map[string]earshot.SubjectID{}
	k.mu.Lock()
	if time.Since(k.since) > maxCachedFor {
		clear(k.cache)
		k.since = time.Now()
	}
	for _, s := range subjects {
		if key, ok := k.cache[s]; ok {
			out[s] = key
		} else {
			ask[k.row(s)] = s
		}
	}
	k.mu.Unlock()
	for part := range slices.Chunk(slices.Sorted(maps.Keys(ask)), inPart) {
		if err := k.read(ctx, part, func(id string, key []byte) { out[ask[id]] = key }); err != nil {
			return nil, fmt.Errorf("reading subjects' keys: %w", err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.cache)+len(ask) > maxCachedKeys {
		clear(k.cache)
	}
	for _, s := range ask {
		if key, ok := out[s]; ok {
			k.cache[s] = key
		}
	}
	return out, nil
}

func (k *KeyRing) read(ctx context.Context, ids []string, found func(id string, key []byte)) error {
	in, args := list(ids, 1)
	rows, err := k.db.QueryContext(ctx, "select id, wrapped from keys where id in "+in, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var wrapped []byte
		if err := rows.Scan(&id, &wrapped); err != nil {
			return err
		}
		n := k.aead.NonceSize()
		if len(wrapped) < n {
			return errors.New("the row is damaged")
		}
		key, err := k.aead.Open(nil, wrapped[:n], wrapped[n:], []byte(id))
		if err != nil {
			return err
		}
		found(id, key)
	}
	return rows.Err()
}

// Destroy destroys the subject's key and reports whether there was one. The tags that were made
// with it can then be recomputed by nobody.
func (k *KeyRing) Destroy(ctx context.Context, subject earshot.SubjectID) (bool, error) {
	res, err := k.db.ExecContext(ctx, "delete from keys where id = $1", k.row(subject))
	if err != nil {
		return false, fmt.Errorf("destroying a subject's key: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.cache, subject)
	n, err := res.RowsAffected()
	return n > 0, err
}
