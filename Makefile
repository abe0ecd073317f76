# `make demo` and `make test` set everything up by themselves; nothing is installed outside .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test test-postgresql torture check bench screenshots lock deb docs clean

help:           ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

setup: $(VENV)/.ready  ## .venv with everything; quick when nothing changed

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Vedette needs Python 3.11 or newer; this is " + sys.version.split()[0] + " (set PYTHON=...)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup     ## server, agent, mailbox on this machine; ONCE=1 runs the round trip and exits
	@$(BIN)/vedette demo $(if $(ONCE),--once)

test: setup     ## all tests, those of the server on both databases
	@.ci/system-packages
	@$(BIN)/python -m pytest
	@$(MAKE) --no-print-directory test-postgresql

test-postgresql: setup  ## the tests of the server on PostgreSQL, which they start themselves
	@TEST_DATABASE=postgresql $(BIN)/python -m pytest tests/server

torture: setup  ## crash points and lives of logs with ever new seeds, MINUTES=60
	@$(BIN)/python tests/torture $(or $(MINUTES),60) $(SEED)

check: setup    ## lint, types, import rules
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_boundaries.py

bench: setup    ## speed and memory; writes bench/RESULTS.md
	$(BIN)/python -m bench

deb: setup      ## dist/vedette-monitor_*.deb, the monitor for Debian on this architecture and Python
	@$(BIN)/python packaging/deb/build.py

docs: setup     ## man pages in build/man, and docs/openapi.json, from the programs
	$(BIN)/python packaging/man/render.py build/man
	$(BIN)/python -m vedette.server.openapi docs/openapi.json

screenshots: setup  ## the pictures of README and docs
	@.ci/system-packages
	$(BIN)/python docs/screenshots.py

lock: setup     ## bring requirements.lock up to date with pyproject.toml
	$(BIN)/python -m piptools compile --quiet --strip-extras --extra server --extra cli --extra fast --extra dev --all-build-deps --generate-hashes --allow-unsafe \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o requirements.lock pyproject.toml

clean:          ## forget .venv and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build
