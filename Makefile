# Everything a developer does with this repository, on one environment in .venv.
# `make` alone lists the targets; .ci/run calls `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_BUILD := docs/_build
# Passed on to the command a target runs: make up ARGS="--port 9000", make test ARGS="-k names".
ARGS ?=

# uv trusts whom the machine trusts, as pip does: some sites have an authority of their own.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS := 1
endif

# And it asks where pip would ask.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

# Without compiled modules every process would start seconds later.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install up test lint bench docs lock clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo 'ARGS="…" is passed on: make up ARGS="--port 9000", make test ARGS="-k names"'

install: $(INSTALLED) ## Create .venv with exactly what requirements.lock says

up: $(INSTALLED) ## Start everything on this machine and print where to log in
	@exec $(BIN)/granary up $(ARGS)

test: $(INSTALLED) lint ## Install what the tests need, lint, run the tests
	.ci/system-packages
	$(BIN)/pytest $(ARGS)

lint: $(INSTALLED) ## Check style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED) ## Measure, and print one table
	$(BIN)/python -m tests.benchmarks $(ARGS)

docs: $(INSTALLED) ## Build the documentation into docs/_build/html; a warning is an error
	$(BIN)/sphinx-build -W --keep-going -n -q -b html -d $(DOCS_BUILD)/doctrees docs $(DOCS_BUILD)/html
	@echo "Read $(DOCS_BUILD)/html/index.html"

lock: $(BIN)/uv ## Resolve pyproject.toml into requirements.lock (ARGS=--upgrade for newer versions)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-header \
		--no-emit-index-url --no-emit-find-links $(ARGS) -o requirements.lock pyproject.toml

clean: ## Remove .venv and everything built; what `granary up` keeps stays
	rm -rf $(VENV) $(DOCS_BUILD) build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find hub spawner gateway_bridge tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environment -------------------------------------------------------------

$(INSTALLED): requirements.lock pyproject.toml | $(BIN)/uv
	@echo "Installing what requirements.lock says into $(VENV) …"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# uv comes from the lock file like everything else: its version and its hashes.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Granary needs Python 3.11 or newer as $(PYTHON); choose one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot create environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Creating $(VENV) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@awk '/^uv==/ { found = 1 } found { print } found && !/\\$$/ { exit }' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
