# Short words for what people and CI do. make test is the whole suite.
export CGO_ENABLED = 0
PKGS = ./...

.PHONY: simulate train tune-voice eval-voice test-scale soak test tools unit race lint check fuzz bench bench-events bench-redact bench-scale bench-log interop kills golden samples

test: tools unit interop ## everything that must pass

tools: ## what the tests use, installed where that is possible
	@scripts/tools.sh
	@scripts/minio.sh || echo "no MinIO server could be built: its tests will be skipped"

unit:
	go vet $(PKGS)
	go test -timeout 25m $(PKGS)

interop: ## the log against Tessera's checker and torchwood's client, a module of its own
	cd audit/interop && go vet ./... && go test -timeout 5m ./...

bench-log: ## the log beside Tessera's POSIX driver and the SHA-256 sums alone
	cd audit/interop && go test -run '^$$' -bench . -benchmem ./... 2>/dev/null

race: ## needs a C compiler
	CGO_ENABLED=1 go test -race -short -timeout 25m . ./audit/... ./policies/... ./retention/... ./storage/... ./voice

lint:
	@scripts/lint.sh

check: lint test

fuzz: ## ten minutes for each fuzz target: FUZZTIME=1m make fuzz for less
	@scripts/fuzz.sh

bench:
	go test -run '^$$' -bench . -benchmem ./audit ./policies ./redact ./retention

bench-events: ## event logs beside jq and gzip -dc | grep, with the memory held
	go run ./scripts/benchevents

bench-scale: ## earshot beside rclone and mc on one MinIO: scan, expiry, a million recordings (half an hour)
	@scripts/minio.sh
	@scripts/benchtools.sh
	go run ./bench

bench-redact: ## whole processes beside ffmpeg, sox and cp
	go run ./scripts/benchredact

kills: ## the kill -9 loop for longer
	EARSHOT_KILLS=1000 go test -timeout 2h -run TestKillNine -v ./cmd/earshot

test-scale: ## three workers, kills, and PostgreSQL restarts over many recordings: EARSHOT_SCALE=200000 takes half an hour on two cores
	EARSHOT_SCALE=$${EARSHOT_SCALE:-20000} go test -timeout 10h -run TestManyMachines -v ./cmd/earshot

soak: ## an hour of recordings coming in and runs: memory, goroutines and files stay flat
	EARSHOT_SOAK=$${EARSHOT_SOAK:-1h} go test -timeout 3h -run TestSoak -v ./cmd/earshot

simulate: ## the runner's protocol under 10,000 seeds of faults, in time that is not real: some minutes; EARSHOT_SEED=n for one
	@scripts/simulate.sh

train: ## the networks of voice/models anew, from ../shared/data with fixed seeds: an hour or two on two cores
	for seed in 1 2 3 4; do go run ./voice/internal/train -seed $$seed -steps 5000 wake || exit 1; done
	go run ./voice/internal/train -steps 1000 child

tune-voice: ## thresholds and calibrations, from speakers that the networks have not heard
	go run ./voice/internal/train tune

eval-voice: ## every figure of docs/voice.md, with intervals; child voices need the scores that make train leaves in .cache
	go run ./voice/internal/train measure-wake
	go run ./voice/internal/train measure-child
	go run ./voice/internal/train measure-own

golden:
	go test ./policies ./cmd/earshot -update

samples: ## the demo's recordings anew
	scripts/samples.sh
