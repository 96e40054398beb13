# Everything is set up in .venv, or VENV=..., by the first target that needs it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help install demo test test-slow fuzz lint format types check experiments docs reference bench kills clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## make .venv and install nint with its development tools

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY) ## fit the astronaut in about a minute and say where the results are
	$(BIN)/nint fit image sample:astronaut --time-budget 50s --set evaluation.count=5 --output runs/demo --overwrite

# Every test takes one thread.
test: $(READY) ## run the tests, without the slow ones
	$(BIN)/python -m pytest -m 'not slow' --numprocesses auto --maxprocesses 4 --dist worksteal

test-slow: $(READY) ## run the slow tests
	$(BIN)/python -m pytest -m slow || [ $$? -eq 5 ] # 5: there are none

fuzz: $(READY) ## damage inputs for MINUTES=60, and files of CORPUS=DIR; what fails is kept in runs/fuzz
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),60) $(if $(CORPUS),--corpus '$(CORPUS)')

lint: $(READY) ## check style and docstrings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## mend style where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY) ## check types
	$(BIN)/mypy

check: lint types test ## what CI runs

EXPERIMENTS := nint_vs_uniform xi_sweep siren_vs_mlp ntk_cost frequencies cheap_scores kernel_in_training

experiments: $(EXPERIMENTS:%=experiment-%) ## put the claims that NINT rests on to the test, most of an hour

experiment-%: $(READY) ## one of them, such as experiment-xi_sweep
	$(BIN)/python scripts/experiments/$*.py $(EXPERIMENT)

docs: $(READY) ## build the documentation into build/site, warnings being errors
	$(BIN)/mkdocs build --quiet --strict

reference: $(READY) ## write pages, schemas and tables that are derived from the code
	$(BIN)/python scripts/reference.py

bench: $(READY) ## measure speed and memory, an hour or more on a quiet machine; BENCH='--only gemm step'
	$(BIN)/python scripts/bench.py --json runs/bench.json $(BENCH)

kills: $(READY) ## kill and stop commands at random, and see that nothing is lost; KILLS=1000 SIGNALS=300
	$(BIN)/python scripts/kills.py --kills $(or $(KILLS),100) --signals $(or $(SIGNALS),30) --processes $(or $(JOBS),2)

clean: ## remove what tools leave behind; .venv and runs stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
