# Each target sets itself up: a virtual environment in .venv, installed once a change of pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test test-slow lint format docs picture clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || { echo "Setting up $(VENV) (a few minutes the first time; PyTorch is large)"; $(PYTHON) -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,docs]'
	@touch $@

demo: $(STAMP)  ## compare every family on the bundled tickets (at most 10 minutes)
	@$(BIN)/choose demo
	@echo "Compare your own file: $(BIN)/choose compare FILE.csv (or put choose on the PATH: source $(BIN)/activate)"

# Bytecode is kept, so that no process of the tests compiles what another has.
test test-slow: export PYTHONDONTWRITEBYTECODE =

test: $(STAMP)  ## the fast tests
	@HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist worksteal

test-slow: $(STAMP)  ## the slow tests: real models, kills, whole studies
	@HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -m slow --durations=40 -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

lint: $(STAMP)  ## ruff, mypy and the layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

docs: $(STAMP)  ## build the documentation in site/
	@PYTHONPATH=docs $(BIN)/python -m generate
	@$(BIN)/python -m mkdocs build --strict --quiet
	@echo "Open site/index.html"

picture: $(STAMP)  ## redraw the picture in the README from a new demo run (about 10 minutes)
	@rm -rf build/demo && mkdir -p build
	@$(BIN)/choose demo --out build/demo --json > build/demo.json
	@mv build/demo.json docs/generate/demo.json
	@PYTHONPATH=docs $(BIN)/python -m generate

format: $(STAMP)  ## let ruff fix what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:  ## remove the environment and caches
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist build
