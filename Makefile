# Everything starts here. `make setup` is implied by the others and quick when nothing changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup up test test-slow chaos lint format bench lock programs clean

help:            ## what can be asked for
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## virtual environment with the console command `trueup` in it

$(VENV)/.ready: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.up: requirements.lock pyproject.toml  # what running needs and no more, in the same versions
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test $(VENV)/.ready -nt requirements.lock || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable .
	@touch $@

up: $(VENV)/.up  ## run the plane with the sandbox retailer on the embedded default
	@exec $(BIN)/trueup up

test: setup programs  ## the whole test suite but what is marked slow
	$(BIN)/python -m pytest -m "not slow and not chaos_long" -n $$(( $$(getconf _NPROCESSORS_ONLN) + 2 )) --dist loadfile --no-loadscope-reorder

test-slow: setup ## the slow suites: all scenarios over several seeds, large catalogues and comparisons
	$(BIN)/python -m pytest -m slow

chaos: setup     ## the chaos tests in their long form: hundreds of kills, tens of thousands of documents
	$(BIN)/python -m pytest -m chaos_long

programs:        ## Debian's chromium and SSH server, which tests run, where they are missing and the user is root
	@missing=; command -v chromium >/dev/null 2>&1 || missing="chromium"; \
	test -x /usr/sbin/sshd || missing="$$missing openssh-server"; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	else echo "the tests that need these are skipped: apt-get install $$missing"; fi

lint: setup      ## ruff, mypy strict, the law of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup    ## let ruff put things right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup     ## us and the peers in turns; medians and ratios
	$(BIN)/python -m benchmarks

lock:            ## write requirements.lock anew from pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(BIN)/pip-compile --quiet --all-extras --strip-extras --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml

clean:           ## remove what setup made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
