package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Options say which store to talk to.
type Options struct {
	Endpoint     string // http://127.0.0.1:9000 or https://s3.eu-central-1.amazonaws.com
	Region       string // default us-east-1
	AccessKey    string
	SecretKey    string
	SessionToken string // for temporary credentials, else empty
	// Transport carries the requests. Default: http.DefaultTransport with a limit of 60 s on the
	// wait for an answer's header.
	Transport http.RoundTripper
	// Retries of one request that failed in a way that may pass. Default 5.
	Retries int
	// Pace bounds how much is asked of the store. Default: no bounds but those that it shows.
	Pace Pace
	// KeepMetadata lists the user metadata (without x-amz-meta-, lower case) that survives a
	// redaction. Anything else is dropped, since it may describe what was erased. A trailing *
	// stands for any ending.
	KeepMetadata []string
}

func (o Options) validate() (*url.URL, error) {
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil:
		return nil, fmt.Errorf("store endpoint %q: %w", o.Endpoint, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, fmt.Errorf("store endpoint %q: want http://HOST:PORT or https://HOST", o.Endpoint)
	case u.Path != "" && u.Path != "/":
		return nil, fmt.Errorf("store endpoint %q: a path is not supported", o.Endpoint)
	case o.AccessKey == "" || o.SecretKey == "":
		return nil, errors.New("store credentials are missing: set $EARSHOT_ACCESS_KEY and $EARSHOT_SECRET_KEY, or store.access_key_file and store.secret_key_file in the configuration")
	}
	return u, nil
}

// Store is one S3 endpoint with one set of credentials. It is safe for concurrent use.
type Store struct {
	core  *minio.Core
	keep  []string
	pacer *pacer
	// disordered: the store was seen to list out of order, so that listings of many keys prove nothing.
	disordered atomic.Bool
}

// Load tells how the store takes what it is asked for.
func (s *Store) Load() Load { return s.pacer.load() }

// Share says that n processes keep the bounds of [Pace] together: each takes its part of them, but at least one
// request and 64 KiB a second.
func (s *Store) Share(n int) { s.pacer.share(n) }

// Connect prepares a Store. It sends no request.
func Connect(o Options) (*Store, error) {
	u, err := o.validate()
	if err != nil {
		return nil, err
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Retries == 0 {
		o.Retries = 5
	}
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	paced := newPacer(o.Transport, o.Pace)
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken),
		Secure:       u.Scheme == "https",
		Region:       o.Region,
		Transport:    paced,
		MaxRetries:   o.Retries,
		BucketLookup: lookup(u),
	})
	if err != nil {
		return nil, fmt.Errorf("store endpoint %q: %w", o.Endpoint, err)
	}
	return &Store{core: core, keep: o.KeepMetadata, pacer: paced}, nil
}

// lookup: names as host parts on AWS, as paths everywhere else.
func lookup(u *url.URL) minio.BucketLookupType {
	if strings.HasSuffix(u.Hostname(), ".amazonaws.com") {
		return minio.BucketLookupAuto
	}
	return minio.BucketLookupPath
}

// NewTransport is the transport that Connect uses by default.
func NewTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = 60 * time.Second
	t.MaxIdleConnsPerHost = 64
	t.DisableCompression = true // an object that says Content-Encoding: gzip is to be read as stored
	return t
}

// Bucket looks the bucket up and learns whether it is versioned and locked. A bucket that does
// not exist is [ErrNotFound].
func (s *Store) Bucket(ctx context.Context, name string) (*Bucket, error) {
	b := &Bucket{name: name, core: s.core, keep: s.keep, store: s}
	err := again(ctx, func() error {
		ok, err := s.core.BucketExists(ctx, name)
		if err == nil && !ok {
			return fmt.Errorf("bucket %q: %w", name, ErrNotFound)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("opening bucket %q: %w", name, err)
	}
	err = again(ctx, func() error {
		v, err := s.core.GetBucketVersioning(ctx, name)
		if notSupported(err) {
			return nil
		}
		b.versioning = Versioning(strings.ToLower(v.Status))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the versioning of bucket %q: %w", name, err)
	}
	err = again(ctx, func() error {
		status, _, _, _, err := s.core.GetObjectLockConfig(ctx, name)
		if code := minio.ToErrorResponse(err).Code; code == "ObjectLockConfigurationNotFoundError" || notSupported(err) {
			return nil
		}
		b.locking = status == "Enabled"
		return err
	})
	b.exactUploads = s.pacer.exactUploads()
	if err != nil {
		return nil, fmt.Errorf("reading the object lock of bucket %q: %w", name, err)
	}
	return b, nil
}

// MakeBucket makes a bucket, with versioning and with object lock if asked. Object lock implies
// versioning. A bucket of that name that is already there is left as it is.
func (s *Store) MakeBucket(ctx context.Context, name string, versioned, locked bool) error {
	err := again(ctx, func() error { return s.core.MakeBucket(ctx, name, minio.MakeBucketOptions{ObjectLocking: locked}) })
	if code := minio.ToErrorResponse(err).Code; err != nil && code != "BucketAlreadyOwnedByYou" && code != "BucketAlreadyExists" {
		return fmt.Errorf("making bucket %q: %w", name, err)
	}
	if versioned && !locked {
		if err := again(ctx, func() error { return s.core.EnableVersioning(ctx, name) }); err != nil {
			return fmt.Errorf("switching on the versioning of bucket %q: %w", name, err)
		}
	}
	return nil
}

func notSupported(err error) bool {
	switch minio.ToErrorResponse(err).Code {
	case "NotImplemented", "MethodNotAllowed", "XNotImplemented":
		return true
	}
	return false
}
