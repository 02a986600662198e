# Everything runs from here; `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo play stop test test-long lint lock clean

# Without compiled files every process would compile torch, Feast and Airflow anew.
unexport PYTHONDONTWRITEBYTECODE
# Threads that wait spin, and two cores are soon full of spinning.
export OMP_WAIT_POLICY := PASSIVE
# What libraries cache of their own accord stays in this folder; models that you have stay where they are.
export HF_HOME ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/huggingface
export XDG_CACHE_HOME := $(CURDIR)/.tools/cache
export ORT_DISABLE_TELEMETRY := 1
export MPLCONFIGDIR := $(CURDIR)/.tools/cache/matplotlib

BIN := .venv/bin
DATA ?=
ARGS ?=

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Create .venv and fetch what the project needs, inside this folder
	@./bootstrap.sh

demo: setup ## Run the main job end to end; DATA=DIR takes your own items and interactions
	@$(BIN)/learn-features demo $(if $(DATA),--data "$(DATA)") $(ARGS)

play: setup ## Leave the demo's world, broker and consumers running; then `learn-features click USER ITEM`
	@[ -f var/demo/summary.json ] || $(BIN)/learn-features demo
	@$(BIN)/learn-features play start $(ARGS)

stop: setup ## Stop what `make play` left running
	@$(BIN)/learn-features play stop

lint: setup ## ruff, mypy and the import rules
	@$(BIN)/ruff check -q . && $(BIN)/ruff format -q --check .
	@$(BIN)/mypy -p learn_features
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

test: lint ## The suite, two files at a time, with real brokers and Redis that it starts itself
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-long: setup ## Long fault runs, smoke runs of benchmarks, a whole demo as the README gives it
	@$(BIN)/python -m pytest -m long $(ARGS)

lock: ## Resolve setup.cfg again into requirements.lock
	@uv=$$(command -v uv || echo .tools/uv/bin/uv); $$uv pip compile -q setup.cfg --all-extras \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --python-version 3.11 --python-platform x86_64-unknown-linux-gnu -o requirements.lock $(ARGS)

clean: ## Remove everything that was created here: environment, tools, data
	@if [ -x $(BIN)/learn-features ]; then $(BIN)/learn-features play stop >/dev/null 2>&1 || true; fi
	@rm -rf .venv .tools var build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
