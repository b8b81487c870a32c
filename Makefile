# Everything here sets itself up: a fresh machine needs Python 3.11 or newer, and make.
#   make demo     train, score and report the quick-start model
#   make test     run the tests
#   make docs     build the documentation as a site, in site/

VENV ?= .venv
BIN := $(VENV)/bin
# The first interpreter that is new enough; override with make PYTHON=...
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# The oldest packages have no wheels for newer interpreters.
OLDEST_PYTHON ?= python3.11

.PHONY: demo test test-slow test-oldest test-newest lint format notebooks models docs benchmark clean

demo: $(VENV)/installed
	@echo "Training, scoring and reporting the quick-start model on simulated data: minutes."
	@$(BIN)/python -m dream_keras.train

test: $(VENV)/installed-dev
	@echo "Running the tests: minutes."
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder $(TESTS)

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow -n 2 --dist loadscope --no-loadscope-reorder $(TESTS)

# With the lowest versions that pyproject.toml allows. TESTS=tests/data runs some of the tests.
test-oldest:
	@$(MAKE) --no-print-directory VENV=.venv-oldest PYTHON=$(OLDEST_PYTHON) .venv-oldest/bin/python
	.venv-oldest/bin/python tests/lower_bounds.py > .venv-oldest/constraints.txt
	@PIP_CONSTRAINT=.venv-oldest/constraints.txt $(MAKE) --no-print-directory VENV=.venv-oldest test

# With the newest versions that pip finds.
test-newest:
	@rm -f .venv-newest/installed-dev
	@PIP_UPGRADE=1 PIP_UPGRADE_STRATEGY=eager $(MAKE) --no-print-directory VENV=.venv-newest test

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Runs the notebooks in smoke mode and saves them with their outputs.
notebooks: $(VENV)/installed-dev
	$(BIN)/python tests/save_notebooks.py

# Writes docs/models from the configs.
models: $(VENV)/installed-dev
	$(BIN)/python tests/save_model_pages.py

# Ends with an error after any warning: a link that leads nowhere, a docstring that does not parse.
docs: $(VENV)/installed-docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build
	@echo "Open site/index.html; to search the pages: $(BIN)/python -m http.server -d site"

benchmark: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet -e '.[torch]'
	$(BIN)/python -m benchmarks.compare
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.reading
	$(BIN)/python -m benchmarks.variants
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.exporting

clean:
	rm -rf $(VENV) .venv-oldest .venv-newest build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; name one: make PYTHON=/path/to/python3"; exit 2; }
	@echo "Making the virtual environment $(VENV)."
	@$(PYTHON) -m venv $(VENV)

INSTALLING = @echo "Installing dream_keras, TensorFlow and $(1) into $(VENV): about $(2), which takes minutes."
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt

$(VENV)/installed: pyproject.toml requirements.txt | $(BIN)/python
	$(call INSTALLING,what they need,3 GB)
	@$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/installed-dev: pyproject.toml requirements.txt | $(BIN)/python
	$(call INSTALLING,what the tests need,3 GB)
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-docs: pyproject.toml | $(BIN)/python
	@echo "Installing dream_keras and what its site needs into $(VENV): about 1 GB, which takes minutes."
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[docs]'
	@touch $@
