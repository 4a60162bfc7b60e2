# Make targets for building, testing and running Howdah. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# What the server says of its build at /version.
COMMIT := $(shell git rev-parse HEAD 2>/dev/null)
DATE := $(shell git log -1 --format=%cI 2>/dev/null)
VERSION := github.com/howdah/howdah/server/version
LDFLAGS := -s -w -X $(VERSION).commit=$(COMMIT) -X $(VERSION).date=$(DATE)

# Where Debian keeps PostgreSQL's programs; storage/storagetest looks there too.
POSTGRES = $(shell command -v postgres || ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -1)

# What runs with the race detector, too: concurrent cores that don't import
# k8s.io/kubernetes, which takes the detector's build too long.
RACE = ./storage/... ./auth ./auth/configuration ./auth/impersonation ./auth/oidc ./auth/pki ./auth/rbac \
	./auth/serviceaccount ./auth/webhook ./server/encryption ./server/component ./server/component/reader ./controllers/owned ./controllers/reconcile \
	./scheduler ./scheduler/device ./scheduler/extender ./scheduler/placement ./scheduler/queue ./scheduler/record ./scheduler/volume

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/howdah
	go build -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/howdah ./cmd/howdah

.PHONY: run
run: build ## run a server on port 6443 with SQLite in ./.howdah (ARGS adds flags)
	bin/howdah server --data-dir .howdah $(ARGS)

.PHONY: test
test: build postgres ## run all tests: the module's, concurrent cores also with the race detector, and e2e
	go test -pgo=off -timeout 20m ./...
	go test -race -short $(RACE)
	cd scheduler/difftest && go test ./...
	cd e2e && go test -timeout 30m ./...

.PHONY: e2e
e2e: build postgres ## run kubectl and client-go against bin/howdah on SQLite, PostgreSQL and two servers
	cd e2e && go test -timeout 30m ./...

.PHONY: node
node: build ## make this machine a node for a while: a real kubelet runs containers (root, containerd, runc, CNI plugins, iptables, curl, static busybox)
	cd e2e && go test -run 'TestNode$$' -count=1 -v -timeout 30m . -args -node

.PHONY: conformance
conformance: build postgres ## run Kubernetes' own conformance tests (FOCUS="[sig-apps]" or more, SERVERS=3); reports go to bin/conformance
	mkdir -p bin/conformance
	cd e2e && go test -run TestConformance -count=1 -v -timeout 100m . -args -conformance.focus '$(or $(FOCUS),all)' \
		-conformance.servers $(or $(SERVERS),1) -conformance.procs $(or $(PROCS),40) -conformance.reports $(CURDIR)/bin/conformance

# The go command builds bin/howdah faster from this profile (https://go.dev/doc/pgo):
# about a tenth less CPU for the same work. Tests and checks go without: for them, too, all
# of k8s.io/kubernetes would be compiled once more.
.PHONY: profile
profile: build postgres bin/bench ## take cmd/howdah/default.pgo anew from benchmarks (for some minutes, on an idle machine)
	bin/bench -howdah bin/howdah -secured -profile bin/api.pprof -pods 10000 -operations 20000 -seconds 5 -only populate,get,patch,lease,churn,list,watch
	bin/bench -howdah bin/howdah -profile bin/custom.pprof -pods 5000 -operations 5000 -rounds 1 -only custom
	bin/bench -howdah bin/howdah -profile bin/deploy.pprof -pods 20000 -only deploy
	bin/bench -howdah bin/howdah -profile bin/schedule.pprof -pods 20000 -only schedule
	go tool pprof -proto -output cmd/howdah/default.pgo bin/api.pprof bin/custom.pprof bin/deploy.pprof bin/schedule.pprof

.PHONY: lint
lint: ## check formatting, go vet and staticcheck in every module
	@unformatted="$$(gofmt -l $$(git ls-files '*.go'))"; \
	if [ -n "$$unformatted" ]; then echo "not formatted (repair: make fmt):"; echo "$$unformatted"; exit 1; fi
	go vet -pgo=off ./...
	GOFLAGS=-pgo=off go tool staticcheck ./...
	@set -e; staticcheck="$$(go tool -n staticcheck)"; for module in e2e bench scheduler/difftest; do \
		echo "go vet, staticcheck in $$module"; \
		(cd $$module && go vet ./... && "$$staticcheck" ./...); \
	done

.PHONY: fmt
fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

.PHONY: generate
generate: ## make the generated files anew
	go generate ./...

.PHONY: verify
verify: generate ## check that the generated files are what their sources make (repair: make generate)
	git diff --exit-code --stat

.PHONY: fuzz
fuzz: ## fuzz each target for FUZZTIME (10s)
	@for package in $$(go list ./...); do \
		for target in $$(go test -pgo=off -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			go test -pgo=off -run '^$$' -fuzz "^$$target\$$" -fuzztime $(or $(FUZZTIME),10s) $$package || exit 1; \
		done; \
	done

.PHONY: bin/bench
bin/bench:
	cd bench && go build -buildvcs=false -o ../bin/bench .

.PHONY: bench
bench: build postgres bin/bench ## measure the server on PostgreSQL and print a table (ARGS adds flags, -help lists them)
	bin/bench -howdah bin/howdah $(ARGS)

.PHONY: image
image: ## build the container image howdah
	docker build --build-arg COMMIT=$(COMMIT) --build-arg DATE=$(DATE) -t howdah .

# The tests start PostgreSQL servers of their own, so only its programs are
# needed. On Debian or Ubuntu they are installed if this may be done.
.PHONY: postgres
postgres:
	@if [ -z "$(POSTGRES)" ]; then .ci/install-postgres; fi
