"""Check the style of notebooks, as ruff checks that of Python files.

    python book/_tools/lint.py              all notebooks
    python book/_tools/lint.py FILE ...     these

CONTRIBUTING.md lists the rules. ``tidy.py`` removes what an editor or a run adds to a notebook.
"""

import math
import re
import statistics
import sys

from notebooks import code_cells, parse
from tidy import CHECKED, read_texts, tidy_text

# Limits for the lines of code cells: of one cell, of the median, and of the 90th percentile.
MAXIMUM, MEDIAN, NINE_IN_TEN = 25, 6, 15
WIDTH = 76  # characters of a line of code that a page shows without scrolling
WORDS = 3000  # of a chapter, its questions and exercises included
WORDS_A_MINUTE = 150  # of technical text
QUIZ = "## Check yourself"
QUESTIONS = 3  # of a quiz
CHOICE = re.compile(
    r'<details name="([^"]+)"><summary>.+</summary>\n\n'
    r"\*\*(Yes|No)\.\*\* .+\n\n</details>"
)
TIME = re.compile(r"\*\*Time:\*\* about (\d+) minutes to read")


def problems(text):
    """Return the broken rules of a notebook, given as the text of its file."""
    notebook = parse(text)
    found = [problem for rule in RULES for problem in rule(notebook)]
    if tidy_text(text) != text:
        found.append("it is not tidy: run python book/_tools/tidy.py")
    return found


def check_outputs(notebook):
    """Only compared cells have outputs, and no output is an image or an error."""
    for cell in code_cells(notebook):
        checked = CHECKED in cell.metadata.get("tags", [])
        if bool(cell.outputs) != checked:
            yield f"{cell.id}: {'no output to compare' if checked else 'an output'} is stored"
        for output in cell.outputs:
            kinds = output.get("data", {})
            if output.output_type == "error" or any(kind.startswith("image/") for kind in kinds):
                yield f"{cell.id}: an image or an error is stored"


def check_sizes(notebook):
    """Code cells are short."""
    lengths = {cell.id: count_lines(cell.source) for cell in code_cells(notebook)}
    ordered = sorted(lengths.values())
    for name, length in lengths.items():
        if length > MAXIMUM:
            yield f"{name}: {length} lines of code, more than {MAXIMUM}"
    if ordered and statistics.median(ordered) > MEDIAN:
        yield f"the median code cell has {statistics.median(ordered):g} lines, more than {MEDIAN}"
    if ordered and ordered[int(0.9 * (len(ordered) - 1))] > NINE_IN_TEN:
        yield f"more than one code cell in ten has over {NINE_IN_TEN} lines"


def count_lines(code):
    """Return the number of lines that are not blank."""
    return len([line for line in code.splitlines() if line.strip()])


def check_widths(notebook):
    """Lines of code fit on a page."""
    for cell in code_cells(notebook):
        for line in cell.source.splitlines():
            if len(line) > WIDTH:
                yield f"{cell.id}: {len(line)} characters in a line, more than {WIDTH}: {line}"


def check_words(notebook):
    """A chapter is short, and says how long it takes to read."""
    words = count_words(notebook)
    if words > WORDS:
        yield f"it has {words} words, more than {WORDS}"
    stated = TIME.search(notebook.cells[0].source)
    if stated and int(stated[1]) != minutes_to_read(words):
        yield f"it takes about {minutes_to_read(words)} minutes to read, not {stated[1]}"


def count_words(notebook):
    """Return the number of words outside code that the page shows."""
    return sum(
        len(cell.source.split())
        for cell in notebook.cells
        if cell.cell_type == "markdown" and "remove-cell" not in cell.metadata.get("tags", [])
    )


def minutes_to_read(words):
    """Return the time that a number of words takes, rounded up to five minutes."""
    return 5 * math.ceil(words / WORDS_A_MINUTE / 5)


def check_quiz(notebook):
    """A chapter ends with questions, each with one right choice, and each choice is explained."""
    quizzes = [cell for cell in notebook.cells if QUIZ in cell.source.splitlines()]
    if len(quizzes) != bool(TIME.search(notebook.cells[0].source)):
        yield f'{len(quizzes)} cells have the heading "{QUIZ}": one in a chapter, none elsewhere'
    for cell in quizzes:
        choices = CHOICE.findall(cell.source)
        if len(choices) != cell.source.count("<details name="):
            yield f"{cell.id}: a choice is not like the others: a name, a summary, Yes or No"
        answers = {name: [] for name, _ in choices}
        for name, answer in choices:
            answers[name].append(answer)
        if len(answers) != QUESTIONS:
            yield f"{cell.id}: it has {len(answers)} questions, not {QUESTIONS}"
        for name, given in answers.items():
            if len(given) < 3 or given.count("Yes") != 1:
                yield f"{cell.id}: {name} needs three choices or more, one of them right"


def check_text(notebook):
    """There is text between any two code cells."""
    for one, other in zip(notebook.cells, notebook.cells[1:], strict=False):
        if one.cell_type == other.cell_type == "code":
            yield f"{other.id}: no text stands before this code cell"


def check_prints(notebook):
    """Cells display values instead of printing them."""
    for cell in code_cells(notebook):
        if re.search(r"\bprint\(", cell.source):
            yield f"{cell.id}: it prints; end the cell with the value instead"


RULES = (
    *(check_outputs, check_sizes, check_widths, check_words),
    *(check_quiz, check_text, check_prints),
)


def main(names):
    texts = read_texts(names)
    found = [f"{path}: {problem}" for path, text in texts.items() for problem in problems(text)]
    print("\n".join(found or [f"No problems in {len(texts)} notebooks."]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
