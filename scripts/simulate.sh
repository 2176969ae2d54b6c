#!/usr/bin/env bash
# Goes through EARSHOT_SEEDS (default 10000) seeds of the simulation, a part of them on each core: within
# one process one seed goes at a time. Where EARSHOT_SEEDS_UNTIL names a file, it ends when that comes to be. EARSHOT_SEED=n shows one seed, step by step.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "${EARSHOT_SEED:-}" ]; then
	exec go test -run 'TestSimulation$' -v ./retention
fi
seeds=${EARSHOT_SEEDS:-10000}
cores=$(nproc)
dir=$(mktemp -d)
go test -c -o "$dir/retention.test" ./retention
cd retention # where its test data is
parts=()
trap 'kill "${parts[@]}" 2>/dev/null || true; rm -rf "$dir"' EXIT
for ((i = 0; i < cores; i++)); do
	from=$((seeds * i / cores)) to=$((seeds * (i + 1) / cores))
	[ "$from" -lt "$to" ] || continue
	# Little of what a seed allocates lives longer than the seed, and one step goes at a time.
	GOMAXPROCS=1 GOGC=400 EARSHOT_SEEDS=$from-$to "$dir/retention.test" -test.timeout 3h -test.run 'TestSimulation$' -test.v >"$dir/$i" 2>&1 &
	parts+=($!)
done
failed=0
for i in "${!parts[@]}"; do
	wait "${parts[$i]}" || failed=1
	grep -v '^=== RUN\|^    --- PASS\|^--- PASS' "$dir/$i" | grep -v '^PASS$' || true
done
exit $failed
