# `make` lists what there is. What is built lies in .venv and dist; `make clean` removes all of it.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# `make bench ONLY=rescan`, `make test TESTS=tests/unit`
ONLY   ?=
TESTS  ?= tests
# `make picture PHOTOS=~/Pictures`: a folder of real photos, else made-up ones;
# `make test PHOTOS=Labelled`: real photos in a folder per category, for the test that wants them
PHOTOS ?=

# The bare loops of `make bench` use onnxruntime too; see providers/onnx_session.py.
export ORT_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help setup test check format lint types imports unit proof bench demo picture wheel wheel-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- environment -------------------------------------------------------------------------------

setup: $(VENV)/.ready ## make .venv with everything; Debian packages too, where it may (root)

$(VENV)/.debian: .ci/packages
	@mkdir -p $(VENV)
	.ci/packages
	@touch $@

$(VENV)/.ready: pyproject.toml $(VENV)/.debian
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than 3.11. Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# ---- verdicts ----------------------------------------------------------------------------------

test: setup lint types imports ## all that CI runs: format, lint, types, imports, every test
	REAL_PHOTOS=$(abspath $(PHOTOS)) $(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

check: setup lint types imports unit ## the fast part: format, lint, types, imports, unit tests

format: setup ## rewrite the sources as the formatter wants them
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports --no-logo

unit: setup
	$(BIN)/python -m pytest tests/unit

proof: setup ## kill and interrupt cloud runs a few hundred times, at random and at every n-th write
	XINTU_TEST_ROUNDS=20 $(BIN)/python -m pytest tests/acceptance/test_paid_once.py

bench: setup ## measure against bare loops, as one table; ONLY=rescan for one row
	$(BIN)/python -m tests.benchmarks $(ONLY)

# ---- to look at --------------------------------------------------------------------------------

demo: setup ## classify, rescan and export a folder of made-up photos, here and now
	$(BIN)/python -m tests.support.demo

picture: setup ## draw the README's picture of the terminal from a real run (PHOTOS=folder)
	$(BIN)/python -m tests.support.picture tests/support/terminal.svg $(PHOTOS)

# ---- the package -------------------------------------------------------------------------------

wheel: setup ## build dist/*.whl and dist/*.tar.gz
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

wheel-check: wheel ## install the wheel in an empty environment elsewhere and do the main job there
	.ci/wheel dist/*.whl $(PYTHON)

clean: ## remove everything that was made
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
