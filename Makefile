# make book   execute every notebook and render the book into _build/html
# make test   ruff, unit tests, and every notebook through nbval
# make test-gpu  every notebook on a GPU, in the full profile
# make lint   ruff alone
# make clean  remove what the others made, .venv included
#
# make publish ADDRESS=https://github.com/NAME/REPOSITORY   the book for a fork, with ways into Colab
# make test-colab   every published notebook, with Python and packages as Google Colab has them
#
# What has not changed since it last passed is not done again; `make -B test` does it anyway.
# Another Python: make book PYTHON=python3.12. Later calls stay with it until another is named.

PYTHON ?= python3
PYTHON_COLAB ?= python3.13
PY = .venv/bin/python
SOURCES = $(shell find labkit tests book benchmarks -type f -not -path '*/__pycache__/*' -not -path '*/runs/*')
SOURCES += Makefile README.md _config.yml _toc.yml

.PHONY: book test test-gpu lint clean publish test-colab

# A Python that was named, and is not the one in .venv, is a reason to install anew.
ifneq ($(origin PYTHON),file)
ifneq ($(shell $(PYTHON) -V 2>&1),$(shell $(PY) -V 2>&1))
.PHONY: .venv/installed
endif
endif

book: .venv/installed
	$(PY) book/build.py

test: _build/tested

_build/tested: .venv/installed pyproject.toml requirements.txt $(SOURCES)
	@echo "Linting, then unit tests and notebooks: some minutes."
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pytest -n 2 --dist worksteal
	@mkdir -p _build && touch $@

test-gpu: .venv/installed
	$(PY) -m tests.gpu

lint: .venv/installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f'This course needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is {v[0]}.{v[1]}. Say which to use: make book PYTHON=python3.12')"
	@echo "Installing packages into .venv: 3 GB on disk, some minutes, once."
	$(PYTHON) -m venv --clear .venv
	$(PY) -m pip install --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --disable-pip-version-check --no-deps --editable .
	@touch .venv/installed

publish: .venv/installed
	$(PY) book/publish.py "$(ADDRESS)"

test-colab: .venv-colab/installed
	.venv-colab/bin/python tests/colab/run.py

.venv-colab/installed: tests/colab/requirements.txt
	@$(PYTHON_COLAB) -c "import sys; sys.exit(sys.version_info[:2] != (3, 13))" 2>/dev/null || { echo >&2 "Google Colab has Python 3.13, and $(PYTHON_COLAB) is not that. Say where it is: make test-colab PYTHON_COLAB=/path/to/python3.13"; exit 1; }
	@echo "Installing Google Colab's packages into .venv-colab: 2 GB on disk, some minutes, once."
	$(PYTHON_COLAB) -m venv --clear .venv-colab
	.venv-colab/bin/python -m pip install --disable-pip-version-check --quiet -r tests/colab/requirements.txt
	@touch .venv-colab/installed

clean:
	rm -rf .venv .venv-colab _build runs book/runs .pytest_cache .ruff_cache labkit.egg-info
