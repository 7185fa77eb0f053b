# make demo   watch experiments being decided on live traffic
# make test   everything that must hold
# make bench  speed, beside stock Faust and a hand-written loop
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: setup demo test bench lint
setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@command -v python3 >/dev/null || { echo "make setup: python3 (3.11 or later) is not on the PATH; install it first"; exit 1; }
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m pipeline.kernels
	touch $@

demo: setup
	$(BIN)/peekproof demo $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest $(ARGS)

bench: setup
	$(BIN)/python -m tests.benchmarks $(ARGS)
