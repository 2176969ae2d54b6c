#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME (default 10m) each.
set -euo pipefail
cd "$(dirname "$0")/.."
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
	for target in $(grep -rh --include='*_test.go' -o '^func Fuzz[A-Za-z0-9]*' "$dir"/*_test.go | awk '{print $2}' | sort -u); do
		echo "== $dir $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10m}" -fuzzminimizetime 20x "$dir" | tail -3
	done
done
