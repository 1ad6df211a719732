"""Make the labs from the chapters: the same path, with the tasks left to the student.

    python book/_tools/labs.py              writes all into book/labs, which git ignores
    python book/_tools/labs.py 04_metrics   this one

A chapter marks what the lab needs by tags of its cells:

    text-4.1    the text of that task, which the page leaves out
    task-4.1    the solution of that task; the lab has its text, a stub and a check in its place
    book-only   is left out of the lab, such as a long training
"""

import ast
import re
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from plain import plain

BOOK = Path(__file__).resolve().parents[1]
LABS = BOOK / "labs"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# The module of labkit.check that goes with a chapter.
CHECKS = {
    "02_data": "data",
    "03_unet": "unet",
    "04_metrics": "metrics",
    "05_training": "training",
    "06_errors": "errors",
    "07_conclusions": "conclusions",
}
BOX = re.compile(r"^:::\{admonition\} In this chapter\n.*?^:::$", re.DOTALL | re.MULTILINE)
HOW = """
This is the chapter with {count} tasks left to you: {names}.

Work from top to bottom. Each task says what goes in and what comes out; write your code in the
cell below it, and run the cell after that: it tells what it tried, what came out, and what to look
at. A cell that needs a task which is not done yet waits, and the others run. Add cells wherever you
like; only the names of the tasks have to stay.
"""


def main(names):
    LABS.mkdir(exist_ok=True)
    for name in names or list(CHECKS):
        path, new = LABS / f"{name}.ipynb", text(lab(name))
        if not path.exists() or path.read_text(encoding="utf-8") != new:
            path.write_text(new, encoding="utf-8")
            print(f"written {path}")


def text(notebook):
    return nbformat.writes(notebook) + "\n"


def chapter(name):
    return nbformat.read(BOOK / f"{name}.ipynb", as_version=4)


def tags(cell):
    return cell.metadata.get("tags", [])


def number_of(cell):
    """The task that a cell solves, such as "4.1", or None."""
    return tagged(cell, "task-")


def tagged(cell, prefix):
    """What follows a prefix in one of a cell's tags, or None."""
    return next((tag[len(prefix) :] for tag in tags(cell) if tag.startswith(prefix)), None)


def lab(name):
    """The lab of a chapter, a notebook."""
    source = chapter(name)
    texts, prefix, cells = task_texts(source), name[:2], []
    for cell in source.cells:
        if "book-only" in tags(cell) or tagged(cell, "text-"):
            continue
        if number := number_of(cell):
            cells += task_cells(prefix, number, texts[number], cell)
        elif cell.cell_type == "markdown":
            cells.append(new_markdown_cell(plain(cell.source, one_up), id=cell.id))
        else:
            cells.append(new_code_cell(cell.source, id=cell.id, metadata=kept(cell)))
            if cell.id == f"{prefix}-setup":
                cells += start(prefix, CHECKS[name])
    cells[0].source = opening(plain(BOX.sub(needed, source.cells[0].source), one_up))
    cells.insert(1, new_markdown_cell(how(source), id=f"{prefix}-lab-how"))
    cells += end(prefix)
    return new_notebook(
        cells=cells, metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )


def needed(box):
    """Of the box at a chapter's head, which promises what a lab may leave out, the last line."""
    return box[0][box[0].index("**You need:**") :].removesuffix(":::")


def opening(text):
    return f"# Lab: {text.removeprefix('# ').strip()}"


def how(source):
    """What a lab is, with the names of its tasks."""
    solved = [cell for cell in source.cells if number_of(cell)]
    names = [f"`{stub(cell.source, number_of(cell))[0]}`" for cell in solved]
    return HOW.strip().format(count=len(names), names=", ".join(names))


def one_up(file):
    """A chapter's file as its lab names it, from one folder below."""
    return f"../{file}"


def task_texts(notebook):
    """Texts of tasks by number."""
    texts = {tagged(cell, "text-"): cell.source for cell in notebook.cells}
    return {number: text for number, text in texts.items() if number}


def kept(cell):
    """A lab's cell keeps one tag: that it ends with an error on purpose."""
    found = [tag for tag in tags(cell) if tag == "raises-exception"]
    return {"tags": found} if found else {}


def start(prefix, module):
    words = "The checks of this lab answer under the name `check`."
    code = f"from labkit.check import {module} as check\nfrom labkit.check import hand_in"
    return [
        new_markdown_cell(words, id=f"{prefix}-lab-text-start"),
        new_code_cell(code, id=f"{prefix}-lab-start"),
    ]


def end(prefix):
    words = (
        "## Hand it in\n\nThe cell says what is done and what is not, and how to hand the notebook "
        "in. An unfinished lab can be handed in too."
    )
    return [
        new_markdown_cell(words, id=f"{prefix}-lab-text-end"),
        new_code_cell("hand_in(check, globals())", id=f"{prefix}-lab-end"),
    ]


def task_cells(prefix, number, text, cell):
    """Text, stub and check of a task."""
    name, code = stub(cell.source, number)
    place = f"{prefix}-task-{number.replace('.', '-')}"
    return [
        new_markdown_cell(f"### Task {number}\n\n{text}", id=f"{place}-text"),
        new_code_cell(code, id=cell.id),
        new_markdown_cell("Is it right?", id=f"{place}-words"),
        new_code_cell(f"check.{name}({name})", id=f"{place}-check"),
    ]


def stub(source, number):
    """The name that a solution defines first, and the cell without what solves the task.

    Of a function the line of its arguments and the docstring are kept, and so are the other
    functions and classes' ``__init__``; of an assignment its name.
    """
    lines, tree = source.splitlines(), ast.parse(source)
    first = tree.body[0]
    if isinstance(first, ast.Assign):
        name = first.targets[0].id
        rest = lines[first.end_lineno :]
        return name, "\n".join([f"{name} = ...  # your answer, a text in three quotes", *rest])
    functions = [first] if isinstance(first, ast.FunctionDef) else methods(first)
    for function in reversed(functions):
        doc = ast.get_docstring(function, clean=False) is not None
        begin = function.body[0].end_lineno if doc else function.body[0].lineno - 1
        indent = " " * function.body[0].col_offset
        todo = f'{indent}raise check.NotDone("{number}")  # your code takes the place of this line'
        lines[begin : function.end_lineno] = [todo]
    return first.name, "\n".join(lines)


def methods(node):
    """The methods of a class that a student writes: all but ``__init__``."""
    found = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    return [part for part in found if part.name != "__init__"]


if __name__ == "__main__":
    main(sys.argv[1:])
