# Every target installs what it needs first. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
export PYTHON
SCENARIO ?= risk-cpu
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: help install demo lab test test-unit test-processes test-notebooks test-real test-full coverage kubernetes-up kubernetes-down telemetry-up telemetry-down bench lint format clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.venv/.demo: pyproject.toml constraints.txt scripts/install
	@scripts/install demo && touch $@

.venv/.dev: pyproject.toml constraints.txt scripts/install
	@scripts/install dev && touch $@ .venv/.demo

install: .venv/.dev ## everything that demo, lab, tests and development need, into .venv

demo: .venv/.demo ## a real shop, a real fault (SCENARIO=...), and the investigation that finds it
	@$(BIN)/python -m opslib.lab.demo $(SCENARIO)

lab: .venv/.dev ## JupyterLab on the running lab
	@trap '$(BIN)/opslib lab down' EXIT; $(BIN)/opslib lab up && $(BIN)/jupyter lab notebooks

test: test-unit test-processes test-notebooks ## all tests that need no server of others and no network

test-unit: .venv/.dev
	$(PYTEST) tests -m "not lab and not kernel and not browser and not full and not real" -n 2 --dist loadfile

test-processes: .venv/.dev
	$(PYTEST) tests -m "(lab or kernel) and not browser and not full and not real" -p no:randomly -n 2 --dist loadfile

# The notebooks run cell by cell on a lab of their own that is broken in a known way.
test-notebooks: .venv/.dev
	@state=$$(mktemp -d); export OPSLIB_LAB_STATE=$$state/lab; \
	trap '$(BIN)/opslib lab down; rm -rf "$$state"' EXIT; \
	$(BIN)/opslib lab up && $(BIN)/opslib lab inject edge-delay && \
	$(PYTEST) --nbval-lax --nbval-current-env --nbval-cell-timeout 60 -p no:randomly notebooks

test-real: .venv/.dev ## tests on real servers and a real browser; a skip is a failure
	$(PYTEST) tests -m "browser or real" -p no:randomly --forbid-skips

kubernetes-up: .venv/.dev ## a real Kubernetes on this machine, with the shop's images; prints its kubeconfig (needs root)
	@tests/stack/kubernetes/up

kubernetes-down: ## end it, and take away what it made
	@tests/stack/kubernetes/down

telemetry-up: ## real Jaeger, Prometheus, Elasticsearch and rsyslog (or SERVERS="..."); prints where they are
	@tests/stack/telemetry/up $(SERVERS)

telemetry-down: ## end them, and take away what they wrote
	@tests/stack/telemetry/down

test-full: .venv/.dev ## the long matrices: every scenario, again and again
	$(PYTEST) tests -m full -p no:randomly -s --timeout 1800

coverage: .venv/.dev ## which lines and branches of opslib the tests of `make test` leave out; takes twice as long
	$(PYTEST) tests -m "not browser and not full and not real" -p no:randomly -n 2 --dist loadfile --timeout 300 --cov

bench: .venv/.dev ## side by side with peers, one table
	@$(BIN)/python bench/run.py

lint: .venv/.dev ## layers, style, types, unused dependencies, notebooks without outputs
	$(BIN)/ruff check opslib tests bench notebooks
	$(BIN)/ruff format --check opslib tests bench notebooks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/deptry .
	$(BIN)/nbstripout --verify notebooks/*.ipynb
	$(BIN)/opslib notebooks lint notebooks/*.ipynb

format: .venv/.dev ## let the tools write what they can
	$(BIN)/ruff check --fix opslib tests bench notebooks
	$(BIN)/ruff format opslib tests bench notebooks
	$(BIN)/nbstripout notebooks/*.ipynb

clean: ## stop the lab, remove the virtual environment and caches; runs/ stays
	@if [ -x $(BIN)/opslib ]; then $(BIN)/opslib lab down; fi
	rm -rf .venv .opslib .mypy_cache .ruff_cache .pytest_cache .hypothesis
