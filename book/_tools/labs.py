"""Generate the labs, which are the chapters without the solutions of their tasks.

    python book/_tools/labs.py              all labs, written into book/labs
    python book/_tools/labs.py 04_metrics   one lab

Tags of a chapter's cells say what the lab has:

    text-4.1    the text of a task, which the page omits
    task-4.1    the solution of a task; the lab has the text, a stub and a check instead
    book-only   not in the lab, such as a long training
"""

import ast
import re
import sys

import nbformat
import paths
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from plain import plain

# The module of labkit.check for each chapter.
CHECKS = {
    "02_data": "data",
    "03_unet": "unet",
    "04_metrics": "metrics",
    "05_training": "training",
    "07_errors": "errors",
    "09_own": "own",
    "10_skips": "skips",
}
# Of every notebook.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
BOX = re.compile(r"^:::\{admonition\} In this chapter\n.*?^:::$", re.DOTALL | re.MULTILINE)
HOW = """
This is the chapter with {count} tasks left to you: {names}.

Work from top to bottom. Each task says what goes in and what comes out; write your code in the
cell below it, and run the cell after that: it tells what it tried, what came out, and what to look
at. A cell that needs a task which is not done yet waits, and the others run. Add cells wherever you
like; only the names of the tasks have to stay.
"""
HAND_IN = """
## Hand it in

The cell says what is done and what is not, and how to hand the notebook in. An unfinished lab can \
be handed in too.
"""


def main(names):
    paths.LABS.mkdir(exist_ok=True)
    for name in names or list(CHECKS):
        path, text = paths.LABS / f"{name}.ipynb", nbformat.writes(lab(name)) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written {path}")


def chapter(name):
    """Return the notebook of a chapter."""
    return nbformat.read(paths.BOOK / f"{name}.ipynb", as_version=4)


def tags(cell):
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


def tagged(cell, prefix):
    """Return what follows a prefix in one of a cell's tags, or None."""
    return next((tag[len(prefix) :] for tag in tags(cell) if tag.startswith(prefix)), None)


def task_number(cell):
    """Return the number of the task that a cell solves, such as "4.1", or None."""
    return tagged(cell, "task-")


def task_texts(notebook):
    """Return the texts of the tasks by number."""
    texts = {tagged(cell, "text-"): cell.source for cell in notebook.cells}
    return {number: text for number, text in texts.items() if number}


def solutions(notebook):
    """Return the cells that solve the tasks, by number."""
    return {number: cell for cell in notebook.cells if (number := task_number(cell))}


def lab(name):
    """Return the lab of a chapter, a notebook."""
    source = chapter(name)
    texts, prefix, cells = task_texts(source), name[:2], []
    for cell in source.cells:
        if "book-only" in tags(cell) or tagged(cell, "text-"):
            continue
        if number := task_number(cell):
            cells += task_cells(prefix, number, texts[number], cell)
        elif cell.cell_type == "markdown":
            cells.append(new_markdown_cell(plain(cell.source, from_lab), id=cell.id))
        else:
            cells.append(new_code_cell(cell.source, id=cell.id, metadata=lab_metadata(cell)))
            if cell.id.endswith("-setup"):
                cells += first_cells(prefix, CHECKS[name])
    cells[0].source = title(source)
    cells.insert(1, new_markdown_cell(how(source), id=f"{prefix}-lab-how"))
    return new_notebook(cells=cells + last_cells(prefix), metadata=METADATA)


def title(source):
    """Return the text of a lab's first cell: the chapter's, without its learning goals.

    The box at the head of a chapter names goals that need cells which the lab may not have, so
    only its requirements are kept.
    """
    text = BOX.sub(
        lambda box: box[0][box[0].index("**You need:**") :].removesuffix(":::"),
        source.cells[0].source,
    )
    return f"# Lab: {plain(text, from_lab).removeprefix('# ').strip()}"


def how(source):
    """Return a text that explains the lab and names its tasks."""
    names = [f"`{stub(cell.source, number)[0]}`" for number, cell in solutions(source).items()]
    return HOW.strip().format(count=len(names), names=", ".join(names))


def from_lab(file):
    """Return a chapter's link as it is from the labs' folder."""
    return f"../{file}"


def lab_metadata(cell):
    """Return the metadata of a lab's cell, which keeps the tag of an intended error only."""
    kept = [tag for tag in tags(cell) if tag == "raises-exception"]
    return {"tags": kept} if kept else {}


def first_cells(prefix, module):
    """Return the cells that import the checks, which follow the chapter's own imports."""
    text = "The checks of this lab answer under the name `check`."
    code = f"from labkit.check import {module} as check\nfrom labkit.check import hand_in"
    return [
        new_markdown_cell(text, id=f"{prefix}-lab-text-start"),
        new_code_cell(code, id=f"{prefix}-lab-start"),
    ]


def last_cells(prefix):
    """Return the cells that summarize the lab for handing it in."""
    return [
        new_markdown_cell(HAND_IN.strip(), id=f"{prefix}-lab-text-end"),
        new_code_cell("hand_in(check, globals())", id=f"{prefix}-lab-end"),
    ]


def task_cells(prefix, number, text, cell):
    """Return the text, stub and check of a task."""
    name, code = stub(cell.source, number)
    place = f"{prefix}-task-{number.replace('.', '-')}"
    return [
        new_markdown_cell(f"### Task {number}\n\n{text}", id=f"{place}-text"),
        new_code_cell(code, id=cell.id),
        new_markdown_cell("Is it right?", id=f"{place}-words"),
        new_code_cell(f"check.{name}({name})", id=f"{place}-check"),
    ]


def stub(source, number):
    """Return the name that a solution defines first, and its source without the answer.

    A function keeps its signature and docstring, a class also its ``__init__``, and an assignment
    its name. The rest of the cell is unchanged.
    """
    lines, first = source.splitlines(), ast.parse(source).body[0]
    if isinstance(first, ast.Assign):
        name = first.targets[0].id
        rest = lines[first.end_lineno :]
        return name, "\n".join([f"{name} = ...  # your answer, a text in three quotes", *rest])
    functions = [first] if isinstance(first, ast.FunctionDef) else methods(first)
    for function in reversed(functions):  # from the last, so that line numbers stay valid
        has_docstring = ast.get_docstring(function, clean=False) is not None
        begin = function.body[0].end_lineno if has_docstring else function.body[0].lineno - 1
        indent = " " * function.body[0].col_offset
        todo = f'{indent}raise check.NotDone("{number}")  # your code takes the place of this line'
        lines[begin : function.end_lineno] = [todo]
    return first.name, "\n".join(lines)


def methods(node):
    """Return the methods of a class that a student writes: all except ``__init__``."""
    found = [part for part in node.body if isinstance(part, ast.FunctionDef)]
    return [part for part in found if part.name != "__init__"]


if __name__ == "__main__":
    main(sys.argv[1:])
