# Needs nothing but make and a python3 of at least 3.11 with venv; everything else is installed under $(VENV) with the
# exact versions and hashes of requirements.lock.
#
#   make run     a demo system, the daily job over it, one proof made and verified
#   make test    every test
#   make check   format, lint, types and the quick tests: run it before a commit
#   make soak    nothing is lost: 16 writers, kills and crashes, for SOAK_SECONDS (180) each; SIEM_SOAK_EVENTS (200,000)
#                events to every kind of destination under faults and kills; then the pipeline's tests on PostgreSQL and
#                S3, killed and overtaken at every moment instead of one in six
#   make bench   the benchmarks: ratios against what one could have used instead (BENCH_EVENTS events, 200,000);
#                make bench-quick takes a few minutes and shows that it works
#   make ui      Dagster's web interface over the demo, on http://127.0.0.1:3000
#   make lock    choose newest versions and write both lock files (needs uv)
#   make clean   remove the virtual environment, caches and everything generated

PYTHON ?= python3
VENV ?= .venv
UV ?= uv
DEMO ?= data/local/demo
SOAK_SECONDS ?= 180
SIEM_SOAK_EVENTS ?= 200000
BIN := $(VENV)/bin

# Stamps: their age against the lock files decides whether anything is installed again. `INSTALLED=` (nothing) makes
# the targets use $(VENV) as it is, for an environment that something else looks after.
INSTALLED ?= $(VENV)/.installed
INSTALLED_UI ?= $(VENV)/.installed-ui

# No package index but the configured one, no version chatter, no questions.
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1
PIP_INSTALL = $(BIN)/python -m pip install --quiet --no-deps

.DELETE_ON_ERROR:
BENCH_EVENTS ?= 200000

.PHONY: run test check lint types soak bench bench-quick ui lock clean

run: $(INSTALLED)
	$(BIN)/python -m lumi_pipeline demo --root "$(DEMO)"
	LUMI_CONFIG="$(DEMO)/lumi.toml" $(BIN)/python -m assets
	LUMI_CONFIG="$(DEMO)/lumi.toml" $(BIN)/python -m lumi_pipeline tour

test: $(INSTALLED)
	$(BIN)/python -m pytest -n auto

check: lint types
	$(BIN)/python -m pytest -n auto -m "not slow"

lint: $(INSTALLED)
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .

types: $(INSTALLED)
	$(BIN)/python -m mypy

soak: $(INSTALLED)
	SOAK_SECONDS="$(SOAK_SECONDS)" $(BIN)/python -m pytest -s tests/soak
	SIEM_SOAK_EVENTS="$(SIEM_SOAK_EVENTS)" $(BIN)/python -m pytest -s tests/siem/soak tests/siem/test_outage.py
	$(BIN)/python -m pytest -n auto --places=remote --thorough tests/lake tests/assets tests/rebase tests/transparency tests/test_benchmarks.py

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks --events "$(BENCH_EVENTS)"

bench-quick: $(INSTALLED)
	$(BIN)/python -m benchmarks --quick

ui: $(INSTALLED_UI)
	test -f "$(DEMO)/lumi.toml" || $(BIN)/python -m lumi_pipeline demo --root "$(DEMO)"
	LUMI_CONFIG="$(abspath $(DEMO))/lumi.toml" $(BIN)/dagster dev --host 127.0.0.1 --port 3000

# --no-deps, as the lock already names every package, and an older pip in hash mode stumbles over extras.
$(VENV)/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "lumi-pipeline needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv --clear "$(VENV)" || { \
	  echo "$(PYTHON) cannot make virtual environments; install its venv module (Debian: apt-get install python3-venv)." >&2; \
	  exit 1; }
	@echo "Installing what requirements.lock names into $(VENV) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --no-build-isolation --editable .
	@touch "$@"

$(VENV)/.installed-ui: requirements-ui.lock $(INSTALLED)
	@echo "Adding what requirements-ui.lock names to $(VENV) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements-ui.lock
	@touch "$@"

# The larger set is resolved first and constrains the smaller, so that both name the same versions.
COMPILE = $(UV) pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --custom-compile-command "make lock" --extra dev --extra dagster-postgres

lock:
	@command -v "$(UV)" >/dev/null || { echo "make lock needs uv: pip install uv, then make lock UV=/path/to/uv" >&2; exit 1; }
	$(COMPILE) --extra ui --output-file requirements-ui.lock
	$(COMPILE) --constraint requirements-ui.lock --output-file requirements.lock

clean:
	rm -rf "$(VENV)" data/local dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
