# Needs python3, make and git; the rest comes with the environment.
.DEFAULT_GOAL := help
.PHONY: help repository cache repro test test-all ui demo publish ci docs bench check lock clean
PYTHON ?= python3
BIN := .venv/bin
# pipefail is not POSIX; every recipe here is one command a line.
SHELL := /bin/sh
# What is imported is compiled once and kept, even where images of containers have this set: to compile
# all that is installed takes longer than all that a second clone does, and TensorFlow is imported often.
export PYTHONDONTWRITEBYTECODE :=
# DVC and Python take names of files for UTF-8, whatever the locale.
export PYTHONUTF8 := 1
# Taken as they are, and by the shell from its environment, so nothing in them is a command.
override BASE := $(value BASE)
override PROFILE := $(value PROFILE)
export BASE PROFILE
# They have Python, pip or uv look for packages, or put them, elsewhere than in this environment.
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONOPTIMIZE
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_REQUIREMENT PIP_CONSTRAINT PIP_DRY_RUN
unexport PIP_NO_BINARY PIP_ONLY_BINARY PIP_REQUIRE_VIRTUALENV
unexport UV_SYSTEM_PYTHON UV_CONSTRAINT UV_OVERRIDE UV_EXCLUDE UV_EXCLUDE_NEWER UV_NO_BINARY UV_NO_BUILD
unexport UV_NO_EDITABLE UV_NO_VERIFY_HASHES UV_PROJECT UV_WORKING_DIR

help: ## show these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

# A downloaded archive is no git repository, and DVC says of it that alone. Of one that is another
# user's, git says what to do.
repository: .venv/ready
	@case $$(git rev-parse --git-dir 2>&1) in *safe.directory*) git rev-parse --git-dir; exit 1;; esac
	@git rev-parse --git-dir >/dev/null 2>&1 || $(BIN)/dvc config core.no_scm | grep -qix true || { echo 'make: this folder is not a git repository, which DVC asks for: run `git init`, or do without experiments: $(BIN)/dvc config --local core.no_scm true' >&2; exit 1; }

# DVC takes other stages' outputs from its cache by itself, but none that stages add to.
repro: .venv/ready repository data ## run the pipeline, print the comparison; PROFILE=smoke: with the settings of profiles/smoke.yaml
	@test -e frames || $(BIN)/dvc checkout --quiet --allow-missing extract_frames embed_frames
	@if test -n "$$PROFILE"; then $(BIN)/python -m profiles "$$PROFILE"; else $(BIN)/python -m stemtune.commands.terse_dvc repro; fi

# Tests of what is not on this machine are left out, and said to be.
BROWSER := $(and $(shell command -v chromium 2>/dev/null),$(shell command -v chromedriver 2>/dev/null))
POSTGRESQL := $(shell command -v pg_ctl 2>/dev/null || ls -d /usr/lib/postgresql/*/bin/pg_ctl 2>/dev/null)
SHELLS := $(and $(shell command -v zsh 2>/dev/null),$(shell command -v tcsh 2>/dev/null),$(shell command -v fish 2>/dev/null))
WITHOUT := $(strip $(if $(BROWSER),,browser) $(if $(POSTGRESQL),,postgresql) $(if $(SHELLS),,shells))
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
# $(call pytest,marks of tests to leave out)
pytest = $(BIN)/python -m pytest --durations 25 --durations-min 20 --numprocesses 2 --dist loadfile --no-loadscope-reorder $(if $(strip $1),-m "not ($(subst $(SPACE), or ,$(strip $1)))")
define left_out
	@$(if $(BROWSER),,echo 'make test: LEFT OUT the tests in Chromium: chromium or chromedriver is not on PATH (Debian: apt-get install chromium chromium-driver)')
	@$(if $(POSTGRESQL),,echo 'make test: LEFT OUT the tests on PostgreSQL: its pg_ctl was not found (Debian: apt-get install postgresql)')
	@$(if $(SHELLS),,echo 'make test: LEFT OUT the tests of shells: zsh, tcsh or fish is not on PATH (Debian: apt-get install zsh tcsh fish)')
endef
test: .venv/ready data ## all tests except the longest; those in Chromium, on PostgreSQL and in other shells if installed
	$(call pytest,campaign footage $(WITHOUT))
	$(left_out)

test-all: .venv/ready data ## the longest tests too: campaigns, whole pipelines, benchmarks
	$(call pytest,$(WITHOUT))
	$(left_out)

# The address is no argument, which everyone on this machine could read: it may hold a password.
# Of several workers each that does not answer within 5 s is killed, which on busy cores they all are.
ui: .venv/ready ## MLflow's UI on 127.0.0.1:5000
	@$(BIN)/python -m stemtune.tracking.store
	@MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_BACKEND_STORE_URI="$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" $(BIN)/mlflow ui --workers 1 --host 127.0.0.1

demo: .venv/ready ## a page on 127.0.0.1:5002 that classifies a clip with each model
	$(BIN)/stemtune demo

publish: .venv/ready ## upload results that could not reach the MLflow server
	$(BIN)/python -m stemtune.tracking.publishing

# CI keeps .dvc/cache between runs, hence no other cache is chosen.
ci: .venv/ready ## what CI runs on a change, compared with BASE (default: HEAD)
	@mkdir -p .dvc/cache
	@$(BIN)/python -m stemtune.commands.clone_folders
	$(BIN)/python -m ci $${BASE:+--base="$$BASE"}

docs: .venv/ready ## write the last run's numbers and picture into README and docs/
	$(BIN)/python -m docs

bench: .venv/ready data ## measure speed against the alternatives, as ratios
	$(BIN)/python -m bench

check: .venv/ready ## lint, format, types, which package imports which, and CI's own files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/pipeline.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci .gitlab-ci.yml
	$(BIN)/zizmor --offline --no-progress .github/workflows/pipeline.yml

cache: .venv/ready
	@$(BIN)/python -m stemtune.commands.clone_folders

# A folder of your own is left as it is, and clips that stay in a remote are left there.
data: | .venv/ready repository cache
	@test -e data.list || $(BIN)/dvc pull data.dvc

# Any python3 can install uv, which takes the first Python on PATH that pyproject.toml admits, or
# fetches one; UV_PYTHON names another.
.venv/ready: requirements.lock requirements-setup.lock
	@echo 'make: installs the environment once, in some minutes: about 950 MB to download, 3.5 GB on disk'
	@$(PYTHON) -m venv .setup
	@.setup/bin/python -m pip install --no-user --quiet --disable-pip-version-check --require-hashes -r requirements-setup.lock
	@.setup/bin/uv venv --quiet --clear .venv
	@.setup/bin/uv pip install --python $(BIN)/python --quiet --require-hashes -r requirements.lock
	@.setup/bin/uv pip install --python $(BIN)/python --quiet --no-deps --offline --editable .
	@touch $@

# uv.lock would hold the address of the package index; these hold hashes alone.
LOCK = $(BIN)/uv pip compile pyproject.toml --extra s3 --extra postgresql --extra bench --extra demo --extra scale --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
lock: .venv/ready ## resolve the dependencies again
	$(LOCK) --extra cpu -o requirements.lock
	$(LOCK) --extra gpu -o requirements-gpu.lock
	grep -A 200 '^uv==' requirements.lock | sed '/^    # via/,$$d' > requirements-setup.lock

clean: ## remove the environment; data, results and cache stay
	rm -rf .venv .setup
