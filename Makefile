PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SEED ?= $(shell date +%s)
FOLDER ?= outputs/full-size

.DEFAULT_GOAL := help
.PHONY: help install demo test stress mutants check bench gpu-check full-size format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv and install dcvsr with what it needs, once

$(STAMP): setup.cfg setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "dcvsr needs Python 3.11 or newer; name one: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "making $(VENV): about three minutes and 6 GB"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation basicsr==1.4.2
	@touch $@

demo: $(STAMP) ## upscale a real clip, score it, train 60 steps of stage 2: outputs/demo/report.html
	$(BIN)/python experiments/demo/demo.py

test: check ## environment, checks and the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

stress: $(STAMP) ## the suite five times in random orders on busy cores, over an hour; SEED repeats them
	@set -e; \
	for core in $$(seq $$(getconf _NPROCESSORS_ONLN)); do while :; do :; done & busy="$$busy $$!"; done; \
	trap "kill $$busy" EXIT INT TERM; \
	for seed in $$(seq $(SEED) $$(($(SEED) + 4))); do \
	  echo "stress: SEED=$$seed"; \
	  OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --random-order --random-order-seed=$$seed --hypothesis-profile=stress; \
	done

mutants: $(STAMP) ## how many small errors in the method the tests notice, an hour
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants

check: $(STAMP) ## ruff, pyright, import-linter, the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(STAMP) ## speed and memory as ratios against named references, 20 minutes
	$(BIN)/python -m benchmarks

gpu-check: $(STAMP) ## the same at SVD's true size on a GPU, and its memory, into gpu.json
	$(BIN)/python -m benchmarks --gpu --json gpu.json

full-size: $(STAMP) ## SVD's true size on a CPU with random weights: 5 GB in FOLDER, 20 GB of memory, about an hour
	$(BIN)/python -m benchmarks.full_size $(FOLDER)

format: $(STAMP) ## let ruff format and mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environment and what runs have written
	rm -rf $(VENV) outputs multirun site
