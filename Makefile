# make demo   watch experiments being decided on live traffic
# make test   everything that must hold
# make docs   the documentation, in build/docs
# make bench  speed and memory, beside stock Faust, a hand-written loop, gbstats, tea-tasting and Amplitude's engine
# PYTHON=python3.13 is the Python of a new .venv.
PYTHON ?= python3
FITS := import sys; sys.exit(sys.version_info < (3, 11))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# uv takes a quarter of pip's time; what it can't do here (pip knows more settings of indexes and proxies), pip does.
INSTALL = install() { UV_SYSTEM_CERTS=1 $(BIN)/uv pip install --quiet --python $(BIN)/python $$@ || $(PIP) $$@; }; install
# In all cores, and without what is large and hardly imported.
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/(tests|faker|mypy|mypyc|pip|pygments|setuptools)/' $(VENV)/lib || true
# Processes start faster where the one before them kept what it compiled.
export PYTHONDONTWRITEBYTECODE :=
STAMP := $(VENV)/.ready
TOOLS := $(VENV)/.tools
KERNELS := $(VENV)/.kernels
MODULES := node_modules/.package-lock.json
JS := PATH="$(CURDIR)/$(BIN):$$PATH" nice node_modules/.bin
COMPUTED := tests/evaluation/metrics tests/evaluation/significance
TEXTS := tests/test_named_commands.py tests/test_documentation.py

.PHONY: setup demo kafka test bench lint console docs
setup: $(TOOLS) $(MODULES) $(KERNELS)

$(STAMP): requirements-installer.lock requirements.lock pyproject.toml
	@$(PYTHON) -c '$(FITS)' || { echo "make setup: $(PYTHON) is no Python 3.11 or later; install one, or name it (make PYTHON=python3.13 …)"; exit 1; }
	$(BIN)/python -c 'import pip; $(FITS)' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) --require-hashes -r requirements-installer.lock || echo "make setup: no uv for this machine: pip installs alone"
	$(INSTALL) --require-hashes -r requirements.lock
	$(COMPILE)
	$(INSTALL) --no-deps --no-build-isolation -e .
	touch $@

# What tests and checks need beside the product.
$(TOOLS): $(STAMP) requirements-dev.lock
	$(INSTALL) --require-hashes -r requirements-dev.lock
	nice $(COMPILE)
	touch $@

# The same in JavaScript; without npm's registry `lint` and the tests say what they leave out.
$(MODULES): package-lock.json | $(TOOLS)
	@$(BIN)/npm ci --loglevel=error --no-fund --no-audit --ignore-scripts --fetch-retries=1 --fetch-timeout=30000 || echo "make: npm got nothing"

# Ahead, and after every change: else several processes would compile the same at once, while tests wait for them. It
# takes longest, so what runs beside it is nice.
$(KERNELS): $(STAMP) $(shell find evaluation pipeline schemas -name '*.py')
	$(BIN)/python -m pipeline.processes.kernels
	touch $@

# The first time Kafka is fetched beside the compiler, which leaves a core idle.
demo: $(STAMP)
	@$(MAKE) --no-print-directory --jobs=2 $(KERNELS) kafka
	$(BIN)/peekproof demo $(ARGS)

kafka: $(STAMP)
	@[ -n "$$PEEKPROOF_BOOTSTRAP_SERVERS" ] || nice $(BIN)/peekproof broker --prepare

lint: $(TOOLS) $(MODULES)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	nice $(BIN)/mypy
	nice $(BIN)/python -m pytest $(TEXTS)
	@$(MAKE) --no-print-directory docs
	@if [ -e $(MODULES) ]; then $(MAKE) --no-print-directory console; else echo "make lint: npm's registry is out of reach: nothing checks the console"; fi

# The console, by the types of what the server says.
console: $(TOOLS) $(MODULES)
	$(JS)/biome ci --colors=off --error-on-warnings
	$(BIN)/python -m tests.pipeline.http.typescript build/console/api.d.ts
	$(JS)/tsc --project .

# Strictly: what leads nowhere is an error. All pages anew, for a link is only checked where its page is made.
docs: $(TOOLS)
	nice $(BIN)/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going docs build/docs

# Four files at a time, because many tests wait for the broker; then some minutes of faults, and beside them much of what
# only computes. ARGS="-n 0 …" runs all in one process.
test: $(STAMP)
	@$(MAKE) --no-print-directory --jobs=3 kafka $(KERNELS) lint
	$(BIN)/python -m pytest --numprocesses=4 --dist=loadfile --no-loadscope-reorder $(or $(ARGS),$(patsubst %,--ignore=%,tests/faults $(COMPUTED) $(TEXTS)))
	$(if $(ARGS),,$(BIN)/python -m pytest $(COMPUTED) & $(BIN)/python -m pytest tests/faults; faults=$$?; wait $$! && exit $$faults)

bench: setup
	$(BIN)/python -m tests.benchmarks $(ARGS)
