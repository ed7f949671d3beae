# `make lab` and `make test` are the two commands to know. Each sets up .venv first if it is missing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp-dev
NOTEBOOKS := $(wildcard notebooks/*.ipynb)
NBVAL := $(if $(NOTEBOOKS),--nbval --nbval-sanitize-with notebooks/nbval_sanitize.cfg $(NOTEBOOKS))
BENCHMARKS := $(wildcard benchmarks/cpu.py benchmarks/scheduler.py)

# A process of their own, for their event loop suits no others; and no other folder to collect.
BROWSER := tests/browser tests/docs tests/live

# One thread per process: the tests run in two processes, and small matrices gain nothing from more.
TEST_ENV := OMP_NUM_THREADS=1 PYTHONHASHSEED=0
PYTEST_FLAGS ?= -n 2 --dist loadscope -q

# Jupyter wants to be told that running as root, as in a container, is meant.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help setup lab notebooks test test-ray test-gpu lint docs demo bench chromium format

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## Create .venv with everything in it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; install a newer Python, or: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,lab,docs,serve]'
	@touch $@

lab: $(STAMP)  ## Open JupyterLab on your copies of the lessons, in my_lessons/
	$(BIN)/python notebooks/copy_lessons.py
	$(BIN)/jupyter lab --notebook-dir=. $(AS_ROOT) $(LAB_FLAGS) my_lessons/00_start_here.ipynb

notebooks: $(STAMP)  ## Run all notebooks and store their outputs
	$(TEST_ENV) $(BIN)/python notebooks/refresh.py $(NOTEBOOKS)

test: $(STAMP)  ## Run everything that CI runs
	$(MAKE) -j 2 lint docs chromium
	$(TEST_ENV) $(BIN)/python -m pytest $(PYTEST_FLAGS) -m "not browser and not ray" tests
	$(TEST_ENV) $(BIN)/python -m pytest $(PYTEST_FLAGS) $(NBVAL)
	$(TEST_ENV) $(BIN)/python -m pytest $(PYTEST_FLAGS) -m browser $(BROWSER)

test-ray: $(STAMP)  ## Install Ray (600 MB) and run the tests that need it
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[ray]'
	$(TEST_ENV) $(BIN)/python -m pytest -q -m ray -W default tests/ray  # its own warnings are many

test-gpu: $(STAMP)  ## Run the tests that need a CUDA GPU
	PYTHONHASHSEED=0 $(BIN)/python -m pytest -q -m gpu tests

lint: $(STAMP)  ## Format check, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(STAMP)  ## Format the code and mend what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## Build the site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

demo: $(STAMP)  ## Six prompts, one small cache, in the terminal
	$(BIN)/nanovllm-edu demo

bench: $(STAMP)  ## Measure this machine
	for script in $(BENCHMARKS); do $(BIN)/python $$script || exit 1; done

chromium: $(STAMP)
	@sh tests/browser/ensure_chromium.sh $(BIN)/python
