# Everything works from nothing: a checkout, Python >= 3.11, and the package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MOLIG := $(BIN)/molig
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-plain lint docs benchmark audit-deps wheel clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed  ## screen real molecules and explain the best
	$(MOLIG) demo

test: $(VENV)/.installed-dev  ## lint, types, import order, tests
	$(MAKE) lint
	$(BIN)/python -m pytest -n auto

# Weights and scores depend on the processor's arithmetic in the last digits; no test may depend on them.
test-plain: $(VENV)/.installed-dev  ## tests that train or judge networks, without vector instructions
	ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest -n auto -m trains tests

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.installed-dev  ## the site, in site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

benchmark: $(VENV)/.installed-dev  ## speed, as ratios within one run
	$(BIN)/python tests/benchmarks/screening_speed.py
	$(BIN)/python tests/benchmarks/screening_memory.py

# Strict: a package that cannot be looked up fails, too. Local versions such as torch 2.13.0+cpu are unknown there.
audit-deps: $(VENV)/.installed-dev  ## known vulnerabilities of what is installed; asks pypi.org
	$(BIN)/python -m pip list --format=freeze --exclude-editable | sed 's/+.*//' > $(VENV)/audited.txt
	$(BIN)/pip-audit --strict --disable-pip --no-deps -r $(VENV)/audited.txt

wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist demo site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first: a bare requirement would fetch the newest build with all of CUDA.
$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) -e .
	touch $@

# Chemprop and ADMET-AI, which tests compare with, pin packages that clash with newer ones: without dependencies.
$(VENV)/.installed-dev: $(VENV)/.installed tests/foreign/requirements.txt
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps -r tests/foreign/requirements.txt
	touch $@
