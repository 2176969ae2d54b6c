#!/usr/bin/env bash
# Builds golangci-lint through the Go module proxy into .cache and runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v2.5.0
out=$PWD/.cache/golangci-lint-$version
if [ ! -x "$out" ]; then
	mkdir -p .cache
	GOBIN=$PWD/.cache/bin CGO_ENABLED=0 go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version"
	mv .cache/bin/golangci-lint "$out"
fi
exec "$out" run "$@" ./...
