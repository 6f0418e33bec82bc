# hubiao: `make demo` shows it at work, `make test` tests it. Needs Python 3.11 and pip; no root, no apt for the demo.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.PHONY: help setup demo test check bench soak schemas dist site clean
help:  ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' Makefile

setup: $(STAMP)  ## ./.venv with hubiao and its pinned libraries

$(STAMP): requirements.lock pyproject.toml
	@PYTHON=$(PYTHON) sh tests/setup-venv.sh
	@touch $@

demo: setup  ## a simulated park, end to end, in a minute
	$(BIN)/hubiao demo --speed 600 --for 60s

test: setup  ## all tests; installs mosquitto and mbpoll if it may
	@sh tests/setup-tools.sh
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: setup  ## lint, format, types, directions of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

schemas: setup  ## everything generated: JSON Schemas, AsyncAPI, reference pages
	$(BIN)/python -m contract.schema_files
	$(BIN)/python -m config.schema
	$(BIN)/python -m config.reference

bench: setup  ## the figures of docs/performance.md
	$(BIN)/python -m bench

soak: setup  ## hours of a park with faults
	$(BIN)/python -m bench.soak

dist: setup  ## wheelhouses and .deb packages, in dist/
	$(BIN)/python packaging/build.py

site: setup  ## the documentation as a site, in build/site; ends where a link leads nowhere
	@[ -x build/site-venv/bin/mkdocs ] || { $(PYTHON) -m venv --without-pip build/site-venv && \
		$(BIN)/python -m pip --python build/site-venv/bin/python install --quiet --disable-pip-version-check \
		--require-hashes -r packaging/site/requirements.lock; }
	@NO_MKDOCS_2_WARNING=1 build/site-venv/bin/python packaging/site/build.py

clean:  ## takes away what make made
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
