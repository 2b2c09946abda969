# Two commands matter: `make demo` and `make test`. Both install what they need into .venv first; nothing else is touched.
SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# `pip` runs once per change of these two files; the stamps remember that: what runs, and that with the developers' tools.
RUNTIME := $(VENV)/.installed-runtime
STAMP := $(VENV)/.installed-from-lock
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ARGS ?=

.PHONY: help install develop demo test check wheel-check format docs lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

install: $(RUNTIME) ## install what runs into .venv, pinned (the command is then .venv/bin/seamline)

develop: $(STAMP) ## that, and the tools that test and check

demo: install ## run the main job: three nodes, shaped links, a video, a moving cut (ARGS="--seconds 30")
	@$(BIN)/seamline demo $(ARGS)

# Four workers keep two cores busy, since many tests wait; a file's tests share what they start, the long files go first.
# Byte code is kept in any case: every worker and command would compile the same files.
test: develop ## run the test suite (ARGS="-k planner")
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: develop ## formatting, lint, types, import directions, generated docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/architecture
	$(BIN)/python -m seamline.cli.reference --check docs/cli.md

wheel-check: develop ## build the wheel, install it in an empty environment, and type what a newcomer would (minutes)
	$(BIN)/python benchmarks/bench_wheel.py $(ARGS)

format: develop ## format the code and fix what lint can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: develop ## build the documentation as a site into build/site, strictly and offline
	$(BIN)/mkdocs build --quiet --strict --clean

cli-reference: develop ## write docs/cli.md anew from the commands
	$(BIN)/python -m seamline.cli.reference --write docs/cli.md

lock: develop ## pin what .venv holds now into requirements.lock
	@{ sed -n '/^#/p' requirements.lock; \
	   $(BIN)/python -m pip freeze --exclude-editable --exclude pip --exclude setuptools --exclude seamline; \
	} > $(VENV)/requirements.lock.new
	@mv $(VENV)/requirements.lock.new requirements.lock
	@touch $(RUNTIME) $(STAMP)

clean: ## remove .venv and every cache of tools (not the model cache: see `seamline doctor`)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find src tests -type d -name __pycache__ -prune -exec rm -rf {} +

# The first python3 that is new enough makes .venv; a half-made .venv (interrupted, other machine) is made anew.
# The package goes in without build isolation: its build backend is in the lock as well.
$(RUNTIME): requirements.lock pyproject.toml
	@set -e; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  python=; \
	  for candidate in $${PYTHON:-} python3 python3.11 python3.12 python3.13 python3.14; do \
	    if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	      python=$$candidate; break; \
	    fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo 'error: no Python 3.11 or newer found; hint: install python3 (Debian: apt install python3 python3-venv;' \
	      'Jetson, Ubuntu 22.04: docs/deployment.md) or name one: make PYTHON=/path/to/python3 install' >&2; exit 1; \
	  fi; \
	  echo "making $(VENV) with $$($$python --version)"; \
	  if ! "$$python" -m venv --clear $(VENV) >/dev/null 2>&1; then \
	    echo "error: $$python cannot make a virtual environment; hint: Debian: apt install python3-venv" >&2; exit 1; \
	  fi; \
	fi; \
	echo 'installing pinned packages into $(VENV) (once; about 460 MB on disk)'; \
	$(PIP) -c requirements.lock hatchling editables; \
	$(PIP) -c requirements.lock --no-build-isolation -e '.[dashboard,metrics,mqtt,report,zoo]'; \
	touch $@

$(STAMP): $(RUNTIME)
	@echo 'installing the tools that test and check (once; about 580 MB more on disk)'
	@$(PIP) -r requirements.lock
	@touch $@
