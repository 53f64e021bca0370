# make demo    set up, run the whole workflow once, print the alerts
# make up      set up, start Dagster's UI on http://127.0.0.1:3000 (Ctrl-C stops everything)
# make test    set up, lint, types, import contracts, tests
# make chaos   kill, fill and lock everything for fifty rounds, under load (as root), and count what is left
# make tamper  tamper ten thousand times with a home, and have each found by the audit log's verification
# make models  measure the models on the evaluation data, rewrite the figures of docs/models.md
# make learning  let models learn from people for some days of it, rewrite the figures of docs/learning.md
# make embeddings  install the extra that lets models learn sentence embeddings
# make clean   remove the data of this project (asks first); make lock renews requirements.lock

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SOURCES := orchestration_project assets tests bench
DATA := $(if $(ORCHESTRATE_HOME),$(abspath $(ORCHESTRATE_HOME)),$(CURDIR)/home)

# Modules are compiled when they are first imported, which few of them ever are, and the result has to be kept.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo up test lint chaos tamper models learning embeddings setup clean lock .env

demo: setup
	$(BIN)/orchestrate demo

up: setup
	$(BIN)/orchestrate up

test: setup lint
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/pyright
	$(BIN)/lint-imports

embeddings: .venv/.embeddings

.venv/.embeddings: requirements-embeddings.lock .venv/.ready
	$(PIP) --no-deps --no-compile --require-hashes -r requirements-embeddings.lock
	@touch $@

chaos: setup
	PYTHONPATH=tests $(BIN)/python tests/chaos.py --rounds 50

tamper: setup
	PYTHONPATH=tests $(BIN)/python tests/tamper.py --count 10000

models: embeddings .env
	$(BIN)/python -m bench.models

learning: setup
	$(BIN)/python -m bench.learning

setup: .venv/.ready .env

# The environment, from the lock; made anew when the lock or the project's own metadata change.
.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' \
		|| { echo "Python 3.11 to 3.14 is needed; $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) 'pip>=26,<27' # takes half the time of the one that Python 3.11 brings
	$(PIP) --no-deps --no-compile --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# What a bare `dagster dev` or `dg dev` in this folder reads, so that it works on the same data.
.env: .venv/.ready
	@$(BIN)/orchestrate where >/dev/null
	@printf 'DAGSTER_HOME=%s\nORCHESTRATE_HOME=%s\n' "$(DATA)/dagster" "$(DATA)" > $@

clean:
	@printf 'Remove %s with everything in it? [y/N] ' "$(DATA)"; read answer; [ "$$answer" = y ]
	rm -rf "$(DATA)" .env .venv

lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--group dev pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--extra embeddings --constraint requirements.lock pyproject.toml -o requirements-embeddings.lock
