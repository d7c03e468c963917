# make quickstart   sets up .venv and runs the main job: synthetic people, training, AP, pictures
# make test         adds the test tools and runs the quick tests
# make check        linter, formatter, types
# make bench        every stage against the published way of it, side by side
#
# PYTHON is what .venv is made with (3.11 or newer); MARKERS chooses tests, e.g. MARKERS='not soak'.

PYTHON ?= python3
VENV ?= .venv
MARKERS ?= not slow and not soak and not gpu
BIN := $(VENV)/bin

.NOTPARALLEL:
.PHONY: help quickstart test check bench

help:
	@sed -n '/^$$/q; s/^# //p' Makefile

quickstart: $(VENV)/.installed
	$(BIN)/pose quickstart --out runs/quickstart

# In groups, for some libraries (nncf, ray, gradio) change others for whoever comes after them in a
# process; two at a time, each prints what it has to say when it ends.
TESTS := "tests/trust" "tests/commands" "tests/benchmarks tests/models tests/reports" \
	"tests/data tests/engine" "tests/codecs tests/inference tests/metrics" \
	"tests/export tests/test_*.py"

test: $(VENV)/.installed-test
	@printf '%s\n' $(TESTS) | xargs -P 2 -I '{}' sh -c 'echo "testing {} ..."; \
		said=$$($(BIN)/python -m pytest -m "$(MARKERS)" {} 2>&1); status=$$?; \
		printf "%s\n" "$$said"; exit $$status'

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-test
	$(BIN)/pose benchmark --out runs/benchmark

# pip comes last into .venv, and the stamps after an installation, so that what broke off is begun
# again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; \
		sys.exit(sys.version_info < (3, 11) and "pose needs Python 3.11 or newer, this is " + v \
		+ "; name another, as in: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.py | $(BIN)/pip
	$(BIN)/python -m pip install --editable .
	touch $@

$(VENV)/.installed-test: setup.py | $(BIN)/pip
	$(BIN)/python -m pip install --editable '.[test]'
	touch $@ $(VENV)/.installed
