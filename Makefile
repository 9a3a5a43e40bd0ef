# Needs python3, make and git; the rest comes with the environment.
.DEFAULT_GOAL := help
.PHONY: help repro test ui publish ci bench check lock clean
PYTHON ?= python3
BIN := .venv/bin
# pipefail is not POSIX; every recipe here is one command a line.
SHELL := /bin/sh

help: ## show these targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

repro: .venv/ready data ## bring the data, run what is not cached, print the comparison
	$(BIN)/dvc repro

# Tests of what is not on this machine are left out, and said to be.
BROWSER := $(and $(shell command -v chromium 2>/dev/null),$(shell command -v chromedriver 2>/dev/null))
POSTGRESQL := $(shell command -v pg_ctl 2>/dev/null || ls -d /usr/lib/postgresql/*/bin/pg_ctl 2>/dev/null)
WITHOUT := $(strip $(if $(BROWSER),,browser) $(if $(POSTGRESQL),,postgresql))
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
test: .venv/ready data ## all tests, two files at a time; those in Chromium and on PostgreSQL where they are
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(if $(WITHOUT),-m "not ($(subst $(SPACE), or ,$(WITHOUT)))")
	@$(if $(BROWSER),,echo 'make test: LEFT OUT the tests in Chromium: chromium or chromedriver is not on PATH (Debian: apt-get install chromium chromium-driver)')
	@$(if $(POSTGRESQL),,echo 'make test: LEFT OUT the tests on PostgreSQL: its pg_ctl was not found (Debian: apt-get install postgresql)')

ui: .venv/ready ## MLflow's UI on 127.0.0.1:5000
	MLFLOW_DISABLE_TELEMETRY=true $(BIN)/mlflow ui --host 127.0.0.1 --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}

publish: .venv/ready ## tell MLflow what a server that was down kept from it
	$(BIN)/python -m stages.track

ci: .venv/ready ## what CI does with a change, against BASE (HEAD unless given)
	$(BIN)/python -m ci $(if $(BASE),--base $(BASE))

bench: .venv/ready data ## measure against the plain alternatives, as ratios
	$(BIN)/python -m bench

check: .venv/ready ## lint, format, types, and CI's own files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/pipeline.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci .gitlab-ci.yml
	$(BIN)/zizmor --offline --no-progress .github/workflows/pipeline.yml

# A folder of your own is left as it is.
data: | .venv/ready
	$(BIN)/dvc pull data.dvc

# Any python3 can install uv, which finds or fetches the Python that the project needs.
.venv/ready: requirements.lock requirements-setup.lock
	$(PYTHON) -m venv .setup
	.setup/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock
	.setup/bin/uv venv --clear --python 3.11 .venv
	.setup/bin/uv pip install --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	touch $@

# uv.lock would hold the address of the package index; these hold hashes alone.
LOCK = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
lock: .venv/ready ## resolve the dependencies again
	$(LOCK) pyproject.toml --extra cpu --extra s3 --extra postgresql --extra bench --extra dev -o requirements.lock
	$(LOCK) pyproject.toml --extra gpu --extra s3 --extra postgresql --extra bench --extra dev -o requirements-gpu.lock
	grep -A 200 '^uv==' requirements.lock | sed '/^    # via/,$$d' > requirements-setup.lock

clean: ## remove the environment; data, results and cache stay
	rm -rf .venv .setup
