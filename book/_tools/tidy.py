"""Make notebooks fit to commit: no outputs but those that the tests compare.

    python book/_tools/tidy.py              all notebooks
    python book/_tools/tidy.py FILE ...     these

A cell tagged ``nbval-check-output`` keeps its output, because ``make test`` holds every run
against it. To renew those outputs, execute the notebook first (CONTRIBUTING.md has the line).
"""

import sys
from pathlib import Path

import nbformat

CHECKED = "nbval-check-output"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def tidy(notebook):
    """Strip outputs, execution counts and an editor's metadata, in place."""
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.metadata.pop("collapsed", None)
        if cell.cell_type != "code":
            continue
        checked = CHECKED in cell.metadata.get("tags", [])
        cell.execution_count = 1 if checked else None  # nbval takes none for "was never run"
        cell.outputs = cell.outputs if checked else []
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = 1
    return notebook


def main(names):
    book = Path(__file__).parents[1]
    everything = [*book.glob("*.ipynb"), *book.glob("back/*.ipynb")]
    paths = [Path(name) for name in names] or sorted(everything)
    for path in paths:
        before = path.read_text(encoding="utf-8")
        after = nbformat.writes(tidy(nbformat.reads(before, as_version=4))) + "\n"
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"tidied {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
