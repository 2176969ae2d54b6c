#!/usr/bin/env bash
# Builds the two programs that the benchmarks of bench/ run earshot beside, through the Go module proxy,
# into .cache: rclone and mc. They are programs of their own, run as processes; nothing of them is linked
# or shipped. The server that all three talk to comes from scripts/minio.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=$(readlink -f .cache 2>/dev/null || true)
[ -n "$cache" ] || { mkdir -p .cache; cache=$PWD/.cache; }

# build NAME MODULE VERSION
build() {
	local out=$cache/$1-$3 work
	[ -x "$out" ] && return 0
	work=$(mktemp -d)
	(
		cd "$work"
		go mod init benchtool >/dev/null 2>&1
		go get "$2@$3" && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$work/tool" "$2"
	)
	mv "$work/tool" "$out.new" && mv "$out.new" "$out" # whole or not at all
	rm -rf "$work"
}

build rclone github.com/rclone/rclone v1.76.0
build mc github.com/minio/mc v0.0.0-20250313080218-cf909e1063a9
