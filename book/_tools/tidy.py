"""Prepare notebooks for a commit: remove outputs, except those that the tests compare.

    python book/_tools/tidy.py              all notebooks
    python book/_tools/tidy.py FILE ...     these

A cell tagged ``nbval-check-output`` keeps its output, with which ``make test`` compares every run.
To renew these outputs, execute the notebook first; CONTRIBUTING.md has the command.
"""

import sys
from pathlib import Path

import nbformat
import notebooks
import paths
from labs import METADATA

CHECKED = "nbval-check-output"


def tidy(notebook):
    """Remove outputs, execution counts and an editor's metadata, in place."""
    notebook.metadata = METADATA
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.metadata.pop("collapsed", None)
        if cell.cell_type != "code":
            continue
        checked = CHECKED in cell.metadata.get("tags", [])
        cell.execution_count = 1 if checked else None  # nbval skips a cell without a count
        cell.outputs = cell.outputs if checked else []
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = 1
    return notebook


def tidy_text(text):
    """Return the text of a notebook's file, tidied."""
    return nbformat.writes(tidy(notebooks.parse(text))) + "\n"


def read_texts(names):
    """Return the text of each named notebook's file, or of all those in the toc, by path.

    A student's own notebooks may lie beside those of the book.
    """
    files = [Path(name) for name in names]
    files = files or [paths.BOOK / f"{name}.ipynb" for name in notebooks.names()]
    return {path: path.read_text(encoding="utf-8") for path in files}


def main(names):
    for path, before in read_texts(names).items():
        after = tidy_text(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"tidied {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
