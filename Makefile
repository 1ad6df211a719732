# make book            execute what is stale, render what changed; the pages are in _build/html
# make book CHAPTER=04 the same for one chapter
# make test            lint, most notebooks in their shortest profile, unit tests
# make test-all        the same with all notebooks, all labs and the slow tests
# make lint            ruff, and the style of notebooks
# make labs            the labs, made from the chapters, into book/labs
# make clean           remove what the others made, .venv included
#
# make test-pages      the pages that make book has built, in Chromium or Chrome without a network
# make test-links      the links to other sites, with a network
# make test-gpu        every notebook on a GPU, in the full profile
# make publish ADDRESS=https://github.com/NAME/REPOSITORY   the book for a fork, with ways into Colab
# make test-colab      every published notebook, with Python and packages as Google Colab has them
# make test-colab NOTEBOOKS="04_metrics labs/04_metrics"    these alone
#
# Another Python: make book PYTHON=python3.12. Later calls stay with it until another is named.

PYTHON ?= python3
PYTHON_COLAB ?= python3.13
PY = .venv/bin/python

.PHONY: book test test-all lint labs clean test-pages test-links test-gpu publish test-colab

# Only a Python that was named, and is not the one in .venv, makes the environment anew.
ifneq ($(origin PYTHON),file)
ifneq ($(shell $(PYTHON) -V 2>&1),$(shell $(PY) -V 2>&1))
ANEW = yes
.PHONY: .venv/installed
endif
endif

book: .venv/installed
	$(PY) book/_tools/build.py $(CHAPTER)

test: lint
	$(PY) book/_tools/execute.py
	$(PY) -m pytest -n 2 --dist worksteal

test-all: lint
	$(PY) book/_tools/execute.py --slow
	$(PY) -m pytest -n 2 --dist worksteal --slow

lint: .venv/installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) book/_tools/lint.py

labs: .venv/installed
	$(PY) book/_tools/labs.py

test-pages: .venv/pages
	$(PY) -m pytest -n 2 tests/pages/check_pages.py

.venv/pages: .venv/installed tests/pages/requirements.txt
	$(PY) -m pip install --disable-pip-version-check --quiet -r tests/pages/requirements.txt
	@touch .venv/pages

test-links: .venv/installed
	$(PY) -c "from jupyter_book.cli.main import main; main()" build . --builder linkcheck --path-output _build/links

test-gpu: .venv/installed
	$(PY) -m tests.gpu

.venv/installed: requirements.txt pyproject.toml
ifneq ($(ANEW)$(if $(wildcard $(PY)),,none),)
	@$(PYTHON) -c "import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f'This course needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is {v[0]}.{v[1]}. Say which to use: make book PYTHON=python3.12')"
	@echo "Installing packages into .venv: 3 GB on disk, some minutes, once."
	$(PYTHON) -m venv --clear .venv
endif
	$(PY) -m pip install --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch .venv/installed

publish: .venv/installed
	$(PY) book/_tools/publish.py "$(ADDRESS)"

test-colab: .venv-colab/installed
	.venv-colab/bin/python tests/colab/run.py $(NOTEBOOKS)

.venv-colab/installed: tests/colab/requirements.txt
ifeq ($(wildcard .venv-colab/bin/python),)
	@$(PYTHON_COLAB) -c "import sys; sys.exit(sys.version_info[:2] != (3, 13))" 2>/dev/null || { echo >&2 "Google Colab has Python 3.13, and $(PYTHON_COLAB) is not that. Say where it is: make test-colab PYTHON_COLAB=/path/to/python3.13"; exit 1; }
	@echo "Installing Google Colab's packages into .venv-colab: 2 GB on disk, some minutes, once."
	$(PYTHON_COLAB) -m venv .venv-colab
endif
	.venv-colab/bin/python -m pip install --disable-pip-version-check --quiet -r tests/colab/requirements.txt
	@touch .venv-colab/installed

clean:
	rm -rf .venv .venv-colab _build runs book/labs book/runs .pytest_cache .ruff_cache labkit.egg-info
