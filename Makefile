# hubiao: `make demo` shows it at work, `make test` tests it. Needs Python 3.11 and pip; no root, no apt for the demo.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.PHONY: setup demo test check bench soak schemas clean
setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@PYTHON=$(PYTHON) sh tests/setup-venv.sh
	@touch $@

demo: setup
	$(BIN)/hubiao demo --speed 600 --for 60s

test: setup
	@sh tests/setup-tools.sh
	$(BIN)/python -m pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

schemas: setup
	$(BIN)/python -m contract.schema_files
	$(BIN)/python -m config.schema

bench: setup
	$(BIN)/python -m bench

soak: setup
	$(BIN)/python -m bench.soak

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
