#!/usr/bin/env bash
# Builds a MinIO server for the tests, through the Go module proxy, into .cache/minio. It is a
# program of its own (AGPL) that the tests run as a process; nothing of it is linked or shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
version=v0.0.0-20260212201848-7aac2a2c5b7c
out=$PWD/.cache/minio-$version
[ -x "$out" ] && exit 0
mkdir -p .cache
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
go mod init minioserver >/dev/null 2>&1
go get "github.com/minio/minio@$version"
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$out" github.com/minio/minio
