# `make` is the whole interface; CI calls the same targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run demo test test-fast style types bench bench-full clean

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# What a user needs; the tools for tests come on top.
$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[speech]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[speech,dev]'
	@touch $@

run: $(VENV)/.run
	exotel-emulator serve --with-bots

demo: $(VENV)/.run
	exotel-emulator demo

test: $(VENV)/.dev
	@tests/install-peers
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -m 'not slow'

style: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

# Some six minutes: is anything far from its goal?
bench: $(VENV)/.dev
	$(BIN)/python bench/one_call.py --runs 1
	$(BIN)/python bench/sip.py --runs 1 --rates 200 --soak 1000
	$(BIN)/python -m bench.media --quick
	$(BIN)/python -m bench.stall
	$(BIN)/python -m bench.handover --calls 100

# Some forty minutes on a machine that does nothing else: the figures to quote. With
# PROTOTYPE=DIR another media worker runs in between, for the ratio.
bench-full: $(VENV)/.dev
	$(BIN)/python bench/one_call.py
	$(BIN)/python bench/sip.py --save sip
	$(BIN)/python -m bench.media --save $(if $(PROTOTYPE),--prototype $(PROTOTYPE))
	$(BIN)/python -m bench.stall

clean:
	rm -rf $(VENV) .emulator build *.egg-info .mypy_cache .ruff_cache .pytest_cache
