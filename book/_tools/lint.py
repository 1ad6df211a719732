"""Check the style of notebooks, as ruff checks that of Python files.

    python book/_tools/lint.py              all notebooks
    python book/_tools/lint.py FILE ...     these

CONTRIBUTING.md has the rules. ``tidy.py`` mends what an editor or a run left in a notebook.
"""

import re
import statistics
import sys
from pathlib import Path

import nbformat
from tidy import CHECKED, tidy

LONGEST, MEDIAN, NINE_IN_TEN = 25, 6, 15  # lines of code cells


def problems(text):
    """What is wrong with a notebook, given as the text of its file; a list of sentences."""
    notebook = nbformat.reads(text, as_version=4)
    found = [problem for rule in (outputs, sizes, words, prints) for problem in rule(notebook)]
    if nbformat.writes(tidy(notebook)) + "\n" != text:
        found.append("it is not tidy: run python book/_tools/tidy.py")
    return found


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    """Compared cells have outputs, others none; and no output holds a picture or an error."""
    for cell in code_cells(notebook):
        checked = CHECKED in cell.metadata.get("tags", [])
        if bool(cell.outputs) != checked:
            yield f"{cell.id}: {'no output to compare' if checked else 'an output'} is stored"
        for output in cell.outputs:
            kinds = output.get("data", {})
            if output.output_type == "error" or any(kind.startswith("image/") for kind in kinds):
                yield f"{cell.id}: a picture or an error is stored"


def sizes(notebook):
    """Cells are small."""
    lengths = {cell.id: lines(cell.source) for cell in code_cells(notebook)}
    ordered = sorted(lengths.values())
    for name, length in lengths.items():
        if length > LONGEST:
            yield f"{name}: {length} lines of code, more than {LONGEST}"
    if ordered and statistics.median(ordered) > MEDIAN:
        yield f"the median code cell has {statistics.median(ordered):g} lines, more than {MEDIAN}"
    if ordered and ordered[int(0.9 * (len(ordered) - 1))] > NINE_IN_TEN:
        yield f"more than one code cell in ten has over {NINE_IN_TEN} lines"


def lines(code):
    return len([line for line in code.splitlines() if line.strip()])


def words(notebook):
    """Text stands between any two code cells."""
    for one, other in zip(notebook.cells, notebook.cells[1:], strict=False):
        if one.cell_type == other.cell_type == "code":
            yield f"{other.id}: no text stands before this code cell"


def prints(notebook):
    """Values are displayed."""
    for cell in code_cells(notebook):
        if re.search(r"\bprint\(", cell.source):
            yield f"{cell.id}: it prints; end the cell with the value instead"


def main(names):
    book = Path(__file__).parents[1]
    paths = [Path(name) for name in names] or [*book.glob("*.ipynb"), *book.glob("back/*.ipynb")]
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(paths)}
    found = [f"{path}: {problem}" for path, text in texts.items() for problem in problems(text)]
    print("\n".join(found or [f"{len(texts)} notebooks are in order."]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
