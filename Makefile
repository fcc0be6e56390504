# Every target sets up what it needs. A machine with Python 3.11+ and network is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UI_READY := src/watchkeeper/server/web/static/index.html
UI_SOURCES := $(shell find ui -type f -not -path '*/node_modules/*' 2>/dev/null)
SIDES := $(patsubst requirements/side-%.txt,build/side/%/.ready,$(wildcard requirements/side-*.txt))
PEERS := $(patsubst requirements/peer-%.txt,build/peer/%/.ready,$(wildcard requirements/peer-*.txt))
ARGS ?=

.PHONY: help demo test lint types ui ui-checks docs screenshots debian lock clean

help: ## Say what each target does.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): requirements/dev.txt pyproject.toml hatch_build.py
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "watchkeeper needs Python 3.11 or newer; set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	WATCHKEEPER_SKIP_UI=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --no-deps -e .
	touch $@

$(SIDES): build/side/%/.ready: requirements/side-%.txt | $(READY)
	rm -rf $(@D)
	$(BIN)/uv pip install --quiet --target $(@D) --python $(BIN)/python --require-hashes -r $<
	touch $@

$(PEERS): build/peer/%/.ready: requirements/peer-%.txt | $(READY)
	rm -rf $(@D)
	$(BIN)/uv pip install --quiet --target $(@D) --python $(BIN)/python --require-hashes -r $<
	touch $@

$(UI_READY): $(READY) $(UI_SOURCES)
	$(BIN)/python hatch_build.py

ui: $(UI_READY) ## Build the web UI with the Node that PyPI ships.

demo: $(READY) $(UI_READY) ## Run the example backend, traffic and the server; prints a URL.
	$(BIN)/watchkeeper demo $(ARGS)

debian: ## Install the Debian packages that the tests use, where apt and root are at hand.
	@sh tests/debian.sh

ui-checks: $(UI_READY) ## Check the web UI's types and run its unit tests.
	$(BIN)/python hatch_build.py check

test: $(READY) $(UI_READY) $(SIDES) debian lint types ui-checks ## Lint, check types and run every test.
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(READY) ## Check style and formatting.
	$(BIN)/ruff check src tests bench hatch_build.py
	$(BIN)/ruff format --check src tests bench hatch_build.py

types: $(READY) ## Check types, tests included.
	$(BIN)/mypy

docs: $(READY) ## Write the generated reference pages and golden files anew.
	$(BIN)/python -m watchkeeper.cli docs

screenshots: $(READY) $(UI_READY) debian ## Keep pictures of every page under build/screenshots.
	$(BIN)/python -m pytest tests/browser -p no:randomly $(ARGS)

lock: $(READY) ## Write the locked requirements anew.
	sh requirements/lock.sh

bench-overhead: $(READY) $(PEERS) ## Measure CPU and memory per request against peers.
	$(BIN)/python bench/overhead.py $(ARGS)

bench-instructions: $(READY) build/peer/otel/.ready ## The same in machine instructions, under valgrind.
	$(BIN)/python bench/instructions.py $(ARGS)

bench-redaction: $(READY) build/peer/logfire/.ready build/peer/sentry/.ready ## Measure cost, recall and precision of redaction.
	$(BIN)/python bench/redaction.py $(ARGS)

bench-%: $(READY) ## Run one benchmark; its last line is one JSON object.
	$(BIN)/python bench/$*.py $(ARGS)

clean: ## Remove everything that was built or installed here.
	rm -rf $(VENV) build dist src/watchkeeper/server/web/static ui/node_modules .mypy_cache .ruff_cache .pytest_cache
