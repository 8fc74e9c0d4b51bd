# Everything that is done with this repository. `make demo` and `make test` are the two to know.

SWIFT = swift
SOURCES = Package.swift Sources Tests Benchmarks

.PHONY: help demo test test-cross-kernels test-models test-sanitizers lint build bench format clean
.PHONY: install-packages install-test-packages test-scale test-grafana test-web test-package deb model pictures test-soak test-fuzz test-faults

help:
	@echo "make demo    a model bigger than its memory answers over a Unix socket"
	@echo "make model   a real public model (94 MiB), fetched into your library as smollm2"
	@echo "make test    check the format and run every test"
	@echo "make test-models    a real public model, fetched, against its exact numbers and llama.cpp"
	@echo "make test-sanitizers    tests under the compiler's sanitizers"
	@echo "make test-package  the Debian package under a real systemd, in a container"
	@echo "make test-web      the web page in a headless Chromium"
	@echo "make test-grafana   the dashboard's expressions in a Prometheus that asks a daemon"
	@echo "make test-scale     three machines behind HAProxy and LiteLLM, one of which is lost"
	@echo "make test-soak      two hours of mixed clients on a streamed model, under a cap"
	@echo "make test-faults    drives that fail, files that change, kill -9"
	@echo "make test-fuzz      each fuzzer for an hour"
	@echo "make build   sluiced and sluice, without needing Swift where they run"
	@echo "make deb     a Debian package of it, in .build"
	@echo "make bench   measure the bundled model's speed"
	@echo "make lint, format, clean"

demo: build
	@scripts/demo.sh

# Tests and programs share one release build: `swift test` would otherwise compile for @testable
# imports, which nothing here uses, and `swift build` would compile everything again.
test: install-test-packages lint test-cross-kernels
	@scripts/test.sh

# The C kernels of every instruction set, aarch64's under emulation.
test-cross-kernels:
	@scripts/test-cross-kernels.sh

# C under the address and undefined-behaviour sanitizers, threads under the thread sanitizer.
test-sanitizers: install-test-packages
	@scripts/test-sanitizers.sh

# A real public model (94 MiB, fetched once): the numbers of its weights as floats and llama.cpp's
# where PEER, a Python, has the packages gguf and llama-cpp-python; what is not there is said.
PEER = python3
test-models: build
	@scripts/test-models.py --sluice "$$($(SWIFT) build -c release --show-bin-path)/sluice" \
		--peer "$(PEER)"

# The web page in a headless Chromium, where there is one: a part of make test by itself.
test-web:
	@scripts/test.sh --filter PageTests

# The dashboard in a Prometheus that asks a daemon (docs/SERVICE.md); what is not here is said.
test-grafana: build
	@"$(PEER)" Tests/Grafana/dashboard_test.py "$$($(SWIFT) build -c release --show-bin-path)" \
		Models/shell-moe-q4_0.gguf --scrape

# Three machines behind HAProxy and LiteLLM, one of which is lost (docs/SCALE.md); what is not here
# is said. PEER's packages litellm and kubernetes-validate are used where it has them.
test-scale: build
	@"$(PEER)" Tests/Scale/scale_test.py "$$($(SWIFT) build -c release --show-bin-path)" \
		Models/shell-moe-q4_0.gguf

# Mixed clients for SLUICE_SOAK_SECONDS on a streamed model under a cap (docs/SOAK.md), as root for
# the cap; what it measured stays in .build/soak.
SLUICE_SOAK_SECONDS ?= 7200
test-soak: build
	@python3 Tests/Soak/soak.py "$$($(SWIFT) build -c release --show-bin-path)" \
		Models/shell-moe-q4_0.gguf .build/soak --seconds "$(SLUICE_SOAK_SECONDS)"

# What the programs stand on breaks (docs/FAULTS.md), as root for small file systems.
test-faults: build
	@python3 Tests/Faults/faults.py "$$($(SWIFT) build -c release --show-bin-path)" \
		Models/shell-moe-q4_0.gguf Tests/Fixtures/models/qwen3moe.gguf .build/faults

# Each fuzzer for SLUICE_FUZZ_SECONDS (docs/FAULTS.md), as many at once as there are processors. The
# input that a crash was made by is the last line of its file in .build/fuzz.
SLUICE_FUZZ_SECONDS ?= 3600
test-fuzz: install-test-packages
	@mkdir -p .build/fuzz
	@SLUICE_FUZZ_SECONDS="$(SLUICE_FUZZ_SECONDS)" SLUICE_FUZZ_FOLDER="$$PWD/.build/fuzz" \
		SLUICE_TEST_LOG=.build/fuzz/log scripts/test.sh --filter whatNobodyMeantEnds

lint:
	$(SWIFT) format lint --strict --recursive $(SOURCES)

format:
	$(SWIFT) format --in-place --recursive $(SOURCES)

build: install-packages
	$(SWIFT) build -c release

# make test-package installs it, asks it, upgrades and purges it under a real systemd.
deb: build
	@scripts/make-deb.sh "$$($(SWIFT) build -c release --show-bin-path)" .build

# SmolLM2-135M-Instruct, in the user's library once.
model: build
	@"$$($(SWIFT) build -c release --show-bin-path)/sluice" show smollm2 >/dev/null 2>&1 || \
		{ file=$$(scripts/fetch_model.py) && \
		"$$($(SWIFT) build -c release --show-bin-path)/sluice" import "$$file" --name smollm2; }

# docs/chat.svg and docs/top.svg: that model in a terminal, as it answers here.
pictures: build
	@scripts/terminal_svg.py "$$($(SWIFT) build -c release --show-bin-path)"

# In a container (docs/SERVICE.md), as root; what is not here is said.
test-package: build
	@scripts/test-package.sh "$$($(SWIFT) build -c release --show-bin-path)"

bench: build
	@"$$($(SWIFT) build -c release --show-bin-path)/sluice" bench Models/shell-moe-q4_0.gguf

install-packages:
	@scripts/install-packages.sh

install-test-packages:
	@scripts/install-packages.sh test

clean:
	rm -rf .build .build-*
