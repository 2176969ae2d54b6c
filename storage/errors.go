package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// Sentinels that callers branch on.
var (
	// ErrNotFound: the object, version or bucket is not there. It matches fs.ErrNotExist.
	ErrNotFound = fmt.Errorf("not in the store: %w", fs.ErrNotExist)
	// ErrChanged: the object is no longer the one that was meant. Skip it and look again.
	ErrChanged = errors.New("object changed since it was listed")
	// ErrLocked: object lock or a legal hold in the store protects the version. Leave it.
	ErrLocked = errors.New("object is locked")
	// ErrDenied: the credentials may not do this.
	ErrDenied = errors.New("access denied by the store")
	// ErrCredentials: the store does not know the credentials, or no longer. It matches ErrDenied.
	ErrCredentials = fmt.Errorf("%w: wrong or expired credentials", ErrDenied)
	// ErrTooLarge: the object does not fit one conditional PUT.
	ErrTooLarge = errors.New("larger than 5 GiB, the most that one conditional PUT can carry")
)

// classify turns the store's answer into one of the sentinels, keeping the original in the chain.
func classify(err error) error {
	if err == nil {
		return nil
	}
	// The client's own errors carry the URL, and with it the object's key, which may name a person.
	var request *url.Error
	if errors.As(err, &request) {
		return fmt.Errorf("%s: %w", strings.ToUpper(request.Op), request.Err)
	}
	resp := minio.ToErrorResponse(err)
	switch resp.Code {
	case "NoSuchKey", "NoSuchVersion", "NoSuchBucket", "NoSuchUpload", "NotFound":
		return fmt.Errorf("%w (%s)", ErrNotFound, resp.Code)
	case "PreconditionFailed", "ConditionalRequestConflict":
		return fmt.Errorf("%w (%s)", ErrChanged, resp.Code)
	case "ObjectLocked", "InvalidRequestObjectLocked":
		return fmt.Errorf("%w (%s)", ErrLocked, resp.Code)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return fmt.Errorf("%w (%s)", ErrCredentials, resp.Code)
	case "AccessDenied", "AllAccessDisabled":
		return fmt.Errorf("%w (%s)", ErrDenied, resp.Code)
	}
	switch resp.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%w (404)", ErrNotFound)
	case http.StatusPreconditionFailed:
		return fmt.Errorf("%w (412)", ErrChanged)
	}
	return err
}

// transient reports whether the same request may well succeed a moment later.
func transient(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrNotFound) ||
		errors.Is(err, ErrChanged) || errors.Is(err, ErrLocked) || errors.Is(err, ErrDenied) || errors.Is(err, ErrTooLarge) {
		return false
	}
	var netErr net.Error
	if errors.As(err, &netErr) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, errShort) {
		return true
	}
	resp := minio.ToErrorResponse(err)
	switch {
	case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
		return true
	case resp.Code == "SlowDown", resp.Code == "InternalError", resp.Code == "RequestTimeout":
		return true
	case resp.StatusCode == 0:
		// Not an answer of the store at all: a connection that broke or a body cut short.
		return true
	}
	return false
}

var errShort = errors.New("the store sent fewer bytes than it announced")

// attempts is how often an operation that may be repeated is tried as a whole; each try has the
// transport's own retries below it.
const attempts = 6

// again runs op until it succeeds, fails for good or has been tried often enough. op must be
// safe to repeat.
func again(ctx context.Context, op func() error) error {
	var err error
	for try := range attempts {
		if try > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Duration(20<<try) * time.Millisecond):
			}
		}
		if err = classify(op()); !transient(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}
