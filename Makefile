# make app    set up what is missing, then serve the app on http://127.0.0.1:8501
# make test   set up what is missing, then run every test
# make check  formatting, lint and types
# make format  format the code, and fix what can be fixed by itself

PORT ?= 8501
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The first interpreter that is new enough, by any of its usual names.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo "$$name"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help app test check format organisms screenshots clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { \
		echo "circuitviz needs Python 3.11 or newer, and none was found;" \
			"install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "circuitviz: setting up $(VENV); this takes a minute the first time"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[dev]'
	@touch $@

app: $(STAMP)
	@$(BIN)/circuitviz app --port $(PORT)

test: $(STAMP)
	@# Two processes of one thread each use two cores better than one with two.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# make organisms  train the embedded models again (takes long; not needed to use them)
organisms: $(STAMP)
	$(BIN)/python -m tools.specimens build

# make clean  remove the environment, caches and build output; saved runs stay
clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make screenshots  take pictures of every page again, wide and narrow, light and dark
screenshots: $(STAMP)
	$(BIN)/python benchmarks/screenshots.py assets/screenshots --live
