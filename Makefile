# make run | make test: each does its own set-up. `make lint` only looks, `make fmt` writes.

PY := .venv/bin/python
INSTALLED := .venv/.installed
PATHS := ussd_engine adapters tests

.PHONY: crash mutate-flows run test test-slow install lint type fmt cov bench docs
.DEFAULT_GOAL := run

run: $(INSTALLED)
	@exec $(PY) -m ussd_engine serve --reload

test: $(INSTALLED)
	@$(PY) -m pytest -n 3 --dist loadfile

test-slow: $(INSTALLED)
	@$(PY) -m pytest -n 2 --dist loadfile -m slow

install: $(INSTALLED)

lint: $(INSTALLED)
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

type: $(INSTALLED)
	$(PY) -m mypy

fmt: $(INSTALLED)
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

cov: $(INSTALLED)
	$(PY) -m pytest --cov --cov-report=term-missing:skip-covered

# Kills a process before and after everything that it makes last, on both databases, and looks at what the next one
# makes of it.
crash: $(INSTALLED)
	@$(PY) -m tests.crash

# Drops, renames or swaps one thing of the shipped flows at a time, and sees that `ussd check` or `ussd test` tells.
mutate-flows: $(INSTALLED)
	@$(PY) -m tests.mutate

bench: $(INSTALLED)
	@$(PY) -m tests.bench

# Pages that are written from the code; a test holds them up to date.
docs: $(INSTALLED)
	$(PY) -m ussd_engine.flow.rules > docs/rules.md

# Everything but the project itself is pinned with hashes, its build tool included; so the project is installed
# without looking for anything. A set-up that was cut short is done again, as the stamp comes last.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PY) -m pip --version >/dev/null 2>&1 || { \
	  for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	    $$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	      && exec $$python -m venv --clear .venv; \
	  done; \
	  echo "Python 3.11 or newer with its venv module is needed, and none is on PATH." >&2; \
	  echo "Install it (Debian and Ubuntu: python3.11 and python3.11-venv), then run make again." >&2; \
	  exit 1; \
	}
	@echo "Installing into .venv; the first time takes a minute or two."
	@$(PY) -m pip install -qq --disable-pip-version-check --require-hashes -r constraints.txt
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
