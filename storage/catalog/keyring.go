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
	"net/url"
	"os"
	"path/filepath"
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

// Key gives the subject's key, 32 bytes, and makes one where there is none.
func (k *KeyRing) Key(ctx context.Context, subject earshot.SubjectID) ([]byte, error) {
	if key, ok, err := k.Existing(ctx, subject); ok || err != nil {
		return key, err
	}
	key, nonce := make([]byte, 32), make([]byte, k.aead.NonceSize())
	_, _ = rand.Read(key) // never fails, see crypto/rand
	_, _ = rand.Read(nonce)
	id := k.row(subject)
	wrapped := k.aead.Seal(nonce, nonce, key, []byte(id))
	if _, err := k.db.ExecContext(ctx, "insert into keys (id, made_at, wrapped) values ($1, $2, $3) on conflict (id) do nothing", id, time.Now().Unix(), wrapped); err != nil {
		return nil, fmt.Errorf("storing a subject's key: %w", err)
	}
	key, ok, err := k.Existing(ctx, subject) // another process may have been faster
	if err == nil && !ok {
		err = errors.New("storing a subject's key: it is not there")
	}
	return key, err
}

// Existing gives the subject's key if there is one.
func (k *KeyRing) Existing(ctx context.Context, subject earshot.SubjectID) (key []byte, ok bool, err error) {
	k.mu.Lock()
	if time.Since(k.since) > maxCachedFor {
		clear(k.cache)
		k.since = time.Now()
	}
	key, ok = k.cache[subject]
	k.mu.Unlock()
	if ok {
		return key, true, nil
	}
	id := k.row(subject)
	var wrapped []byte
	err = k.db.QueryRowContext(ctx, "select wrapped from keys where id = $1", id).Scan(&wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading a subject's key: %w", err)
	}
	n := k.aead.NonceSize()
	if len(wrapped) < n {
		return nil, false, errors.New("reading a subject's key: the row is damaged")
	}
	if key, err = k.aead.Open(nil, wrapped[:n], wrapped[n:], []byte(id)); err != nil {
		return nil, false, fmt.Errorf("reading a subject's key: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.cache) >= maxCachedKeys {
		clear(k.cache)
	}
	k.cache[subject] = key
	return key, true, nil
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
