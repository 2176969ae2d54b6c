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
)

// KeyRing keeps one secret key for each data subject, in a file of its own: whoever backs up the
// catalog must not back this up with it, or a key that was destroyed comes back. Rows name no
// subject and hold no key in the clear; both take the key-encryption key. It is safe for concurrent
// use, also by several processes.
type KeyRing struct {
	db   *sql.DB
	aead cipher.AEAD
	name []byte // key of the names of rows

	mu    sync.Mutex // guards cache
	cache map[earshot.SubjectID][]byte
}

// maxCachedKeys bounds the memory that keys take; a full cache is begun anew.
const maxCachedKeys = 10_000

// OpenKeyRing opens the file, or makes it. kek is a secret of at least 32 bytes; with another one
// than the file was made with, no key is found.
func OpenKeyRing(ctx context.Context, path string, kek []byte) (*KeyRing, error) {
	if len(kek) < 32 {
		return nil, fmt.Errorf("opening the subjects' keys: a key-encryption key of %d bytes: at least 32 are needed", len(kek))
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening the subjects' keys: %w", err)
	}
	f, err := os.OpenFile(abs, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the subjects' keys: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("opening the subjects' keys: %w", err)
	}
	wrap, err := hkdf.Key(sha256.New, kek, nil, "earshot subject keys: wrapping", 32)
	if err != nil {
		return nil, fmt.Errorf("opening the subjects' keys: %w", err)
	}
	name, err := hkdf.Key(sha256.New, kek, nil, "earshot subject keys: names", 32)
	if err != nil {
		return nil, fmt.Errorf("opening the subjects' keys: %w", err)
	}
	block, err := aes.NewCipher(wrap)
	if err != nil {
		return nil, fmt.Errorf("opening the subjects' keys: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("opening the subjects' keys: %w", err)
	}
	// No write-ahead log, and what is deleted is overwritten: a destroyed key must not linger in the
	// file. (What the medium keeps below the file system is not ours to reach.)
	pragmas := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(DELETE)", "synchronous(FULL)", "secure_delete(1)"}, "_txlock": {"immediate"}}
	db := sql.OpenDB(dsn("file:" + (&url.URL{Path: abs}).EscapedPath() + "?" + pragmas.Encode()))
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "create table if not exists keys (id text primary key, made_at integer not null, wrapped blob not null)"); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the subjects' keys: %w", err), db.Close())
	}
	return &KeyRing{db: db, aead: aead, name: name, cache: map[earshot.SubjectID][]byte{}}, nil
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
