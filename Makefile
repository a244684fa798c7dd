# What a person types. Each target does everything it needs first; what is prepared already is skipped.
# Variables, as `make run CONSOLE_PORT=9000` or in the environment: PYTHON, CONSOLE_HOME, CONSOLE_RUNTIMES,
# CONSOLE_PORT, GATEWAY_PORT, CONSOLE_BIND.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

# The first interpreter that runs and has a version that fits: a pyenv shim may be there and yet fail.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.12 python3.11 python3 python)
PY := $(shell for p in $(CANDIDATES); do "$$p" -c '$(FITS)' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
ANY_PY := $(or $(PY),$(shell for p in $(CANDIDATES); do "$$p" -c 1 >/dev/null 2>&1 && { echo "$$p"; break; }; done))

HOME_DIR := $(patsubst ~/%,$(HOME)/%,$(or $(CONSOLE_HOME),var))
RUNTIMES := $(patsubst ~/%,$(HOME)/%,$(or $(CONSOLE_RUNTIMES),$(HOME_DIR)/runtimes))
VENV := .venv/bin

.PHONY: help run test test-quick test-postgres check bench bench-gateway bench-preheat clean golden requirements \
  venv venv-dev clients runtime-bench runtime-bench-preheat runtime-triton runtime-vllm runtime-vllm-if-possible python

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Install what is missing, then start everything; Ctrl-C ends it
	@$(if $(ANY_PY),"$(ANY_PY)" console/install/preflight.py,$(NO_PYTHON))
	@$(MAKE) venv runtime-triton
	@exec $(VENV)/python manage.py run

PYTEST = CONSOLE_RUNTIMES="$(abspath $(RUNTIMES))" $(VENV)/python -m pytest
test: venv-dev runtime-triton runtime-vllm-if-possible clients ## Run all tests
	$(PYTEST) -n 3 --dist loadgroup --durations=25
	@$(MAKE) test-postgres

test-quick: venv-dev ## Run the tests that start no server
	$(PYTEST) -n 3 -m "not integration and not browser and not slow" --ignore tests/integration --ignore tests/browser

# SQLite has one writer at a time and takes many a mistake: what claims, counts and locks runs on PostgreSQL as well.
ON_POSTGRES = $(addprefix tests/services/actions/test_,bounds.py places.py keys.py) $(addprefix tests/services/control/,test_races.py test_device_races.py test_devices.py test_sweep.py queues/test_lines.py) tests/services/usage/test_metering.py \
  $(addprefix tests/datasets/jobs/test_,seats.py rounds.py rounds_faults.py pruning.py) $(addprefix tests/console/,test_connections.py accounts/test_teams.py web/test_unkept_values.py)
test-postgres: venv-dev ## Run the tests of tables and locks on a PostgreSQL of their own, where it is installed
	@if $(VENV)/python -m tests.servers.postgres; then TEST_DATABASE=postgres $(PYTEST) -n 2 -m "not integration and not browser" $(ON_POSTGRES); fi

check: venv-dev ## Lint, types, import rules, migrations, settings, API schema
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/python manage.py makemigrations --check --dry-run
	$(VENV)/python manage.py check
	@made=$$(mktemp) && trap 'rm -f "$$made"' EXIT && \
	$(VENV)/python manage.py spectacular --fail-on-warn --file "$$made" && \
	{ diff -u docs/openapi.yaml "$$made" || { echo 'error: docs/openapi.yaml is out of date: make golden' >&2; exit 1; }; }

bench: venv runtime-triton ## Measure the gateway against Triton itself
	$(VENV)/python bench/run.py $(ARGS)

bench-gateway: venv runtime-triton runtime-bench runtime-vllm-if-possible ## Measure the gateway at size, beside others, and under load
	$(VENV)/python -m bench.gateway $(ARGS)

golden: venv-dev ## Write golden files and the API schema anew; look at the diff
	$(VENV)/python manage.py spectacular --fail-on-warn --file docs/openapi.yaml
	UPDATE_GOLDEN=1 $(VENV)/python -m pytest -q -k golden

bench-preheat: venv-dev runtime-bench-preheat ## Measure preheating beside aws s3 cp, rclone, boto3 and cp
	$(VENV)/python -m bench.preheat $(ARGS)

clean: ## Remove the environment and caches; what is in the home stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './var/*' -prune -exec rm -rf {} +

# Universal: one file holds for Python 3.11 and 3.12. Addresses of package indexes are never written into it.
UV_COMPILE = uv pip compile --quiet --universal --python-version 3.11 --no-header --upgrade
requirements: ## Pin requirements/*.txt anew from requirements/*.in (needs uv)
	@command -v uv >/dev/null || { echo 'error: uv does this; install it: pip install uv' >&2; exit 1; }
	cd requirements && $(UV_COMPILE) dev.in -o dev.txt
	cd requirements && $(UV_COMPILE) console.in -c dev.txt -o console.txt
	cd requirements && for name in $(filter-out dev console,$(basename $(notdir $(wildcard requirements/*.in)))); do \
	  $(UV_COMPILE) $$name.in -o $$name.txt || exit 1; done

venv: python
	@"$(PY)" console/install/bootstrap.py .venv requirements/console.txt

venv-dev: python
	@"$(PY)" console/install/bootstrap.py .venv requirements/dev.txt --also requirements/console.txt

clients: python ## Prepare the clients of others that the tests call with
	@"$(PY)" console/install/bootstrap.py "$(RUNTIMES)/clients" requirements/clients.txt
	@"$(PY)" console/install/bootstrap.py "$(RUNTIMES)/clients-tensorflow" requirements/clients-tensorflow.txt

runtime-triton: python ## Prepare Triton's own environment
	@"$(PY)" console/install/bootstrap.py "$(RUNTIMES)/triton" requirements/runtime-triton.txt \
	  --then services/frameworks/triton/runtime.py --copied services/frameworks/triton/backends

# vLLM in an environment and a Python of its own. The build for CPUs has wheels of torch for Python 3.11 only.
VLLM_BUILD := $(shell nvidia-smi -L 2>/dev/null | grep -q GPU && echo runtime-vllm-gpu || echo runtime-vllm)
VLLM_FITS := $(if $(filter runtime-vllm,$(VLLM_BUILD)),import sys; sys.exit(sys.version_info[:2] != (3, 11)),$(FITS))
VLLM_PY := $(shell for p in $(PY) python3.11; do "$$p" -c '$(VLLM_FITS)' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
NO_VLLM = vLLM for CPUs needs Python 3.11, and there is none here (this is $(PY)). Triton services work without it.
runtime-vllm: python ## Prepare vLLM's own environment: the build for CPUs, or for GPUs where there is one
	@$(if $(VLLM_PY),:,echo 'error: $(NO_VLLM)' >&2; exit 1)
	@"$(VLLM_PY)" console/install/preflight.py vllm
	@"$(VLLM_PY)" console/install/bootstrap.py "$(RUNTIMES)/vllm" requirements/$(VLLM_BUILD).txt \
	  --then services/frameworks/vllm/runtime.py || { echo '$(VLLM_FAILED)' >&2; exit 1; }
	@"$(VLLM_PY)" -P datasets/samples/llama/make.py "$(RUNTIMES)/vllm" "$(HOME_DIR)/samples"
VLLM_FAILED = error: vLLM could not be installed. If pip found no torch: builds for CPUs are not on PyPI, so tell pip \
  where they are, with PIP_EXTRA_INDEX_URL (the index of pytorch.org for CPUs) or PIP_FIND_LINKS (a folder of wheels).

runtime-vllm-if-possible:
	@$(if $(VLLM_PY),$(MAKE) runtime-vllm,echo 'note: $(NO_VLLM) Its tests are skipped.')

runtime-bench: python ## Prepare LiteLLM and KServe, which the gateway is measured beside
	@"$(PY)" console/install/bootstrap.py "$(RUNTIMES)/bench" requirements/bench.txt

runtime-bench-preheat: python ## Prepare the AWS command line, which preheating is measured beside
	@"$(PY)" console/install/bootstrap.py "$(RUNTIMES)/bench-preheat" requirements/bench-preheat.txt

python:
	@$(if $(PY),:,$(if $(ANY_PY),"$(ANY_PY)" console/install/preflight.py,$(NO_PYTHON)))

NO_PYTHON = echo 'error: there is no Python. Install Python 3.11 or 3.12 (apt install python3 python3-venv).' >&2; exit 1
