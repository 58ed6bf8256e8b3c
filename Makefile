# The whole interface. `make demo` and `make test` do all their own set-up with Python 3.11 and make alone.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help setup demo run test e2e check format docs bench bench-ingest bench-edge bench-detection clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ -/'

setup: $(STAMP) ## virtual environment with the pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is missing: install python3.11, or say PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned dependencies into $(VENV) (about a minute)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP) ## 200 simulated devices, the gateway and the console; Ctrl-C stops all of it
	@$(BIN)/beforehand demo $(ARGS)

run: $(STAMP) ## the gateway itself, with beforehand.toml if there is one
	@$(BIN)/beforehand run $(ARGS)

test: $(STAMP) ## all tests
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup $(ARGS)

e2e: $(STAMP) ## end-to-end tests only
	@$(BIN)/python -m pytest -q tests/e2e $(ARGS)

check: $(STAMP) ## format, lint, types, floors, module sizes, rules
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/beforehand rules check
	@$(BIN)/python -m tests.project.sizes

format: $(STAMP) ## format and fix what a program can
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

docs: $(STAMP) ## make the references under docs/ again from the code
	@$(BIN)/python -m tests.project.reference
	@$(BIN)/python -m gateway.web.docs > docs/api.md

bench: bench-ingest bench-edge bench-detection ## every benchmark

bench-ingest: $(STAMP) ## values/s and messages/s from publish through commit and detection
	@$(BIN)/python -m bench.ingest $(ARGS)

bench-edge: $(STAMP) ## the agent's memory, CPU and bytes on the wire
	@$(BIN)/python -m bench.edge $(ARGS)

bench-detection: $(STAMP) ## detection quality on public data, where it is at hand
	@$(BIN)/python -m bench.detection $(ARGS)

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
