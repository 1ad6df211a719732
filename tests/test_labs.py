"""The labs, which are generated from the chapters."""

import ast
import importlib
import json
import warnings
from functools import cache

import labs
import nbformat
import notebooks
import paths
import pytest
import solutions

from labkit import cli
from labkit.check import Task, handin
from labkit.check.question import Question

each_lab = pytest.mark.parametrize("name", labs.CHECKS)


@cache
def lab_of(name):
    return labs.lab(name)


def check_module(name):
    return importlib.import_module(f"labkit.check.{labs.CHECKS[name]}")


def answers(cell):
    """The parts of a solution that a lab must not have: an assignment, or functions' bodies."""
    first = ast.parse(cell.source).body[0]
    if isinstance(first, ast.Assign):
        return [cell.source]
    functions = [first] if isinstance(first, ast.FunctionDef) else labs.methods(first)
    bodies = [f.body[1:] if ast.get_docstring(f) else f.body for f in functions]
    lines = cell.source.splitlines()
    return ["\n".join(lines[body[0].lineno - 1 : body[-1].end_lineno]) for body in bodies]


@each_lab
def test_tasks_have_texts_and_solutions(name):
    tasks, chapter = handin.tasks(check_module(name)), labs.chapter(name)
    texts = labs.task_texts(chapter)
    assert list(tasks) == list(texts) == list(labs.solutions(chapter)) and 4 <= len(tasks) <= 7
    for number, task in tasks.items():
        assert number.startswith(f"{int(name[:2])}.") and f"`{task.name}" in texts[number]
        assert isinstance(task, Task | Question)


@each_lab
def test_lab_is_chapter_without_solutions(name):
    chapter, lab = labs.chapter(name), lab_of(name)
    cells = {cell.id: cell for cell in lab.cells}
    for cell in chapter.cells:
        if "book-only" in labs.tags(cell):
            assert cell.id not in cells
        elif cell.cell_type == "code":
            same = cells[cell.id].source == cell.source
            assert same == (labs.task_number(cell) is None), cell.id
    added = set(cells) - {cell.id for cell in chapter.cells}
    assert all("-lab-" in name or "-task-" in name for name in added), added
    text = "\n".join(cell.source for cell in lab.cells)
    assert f"from labkit.check import {labs.CHECKS[name]} as check" in text
    for number, cell in labs.solutions(chapter).items():
        assert not any(answer in text for answer in answers(cell)), number
    title, how = (cell.source for cell in lab.cells[:2])
    assert title.startswith("# Lab: ") and "**You need:** " in title
    assert "You will be able to" not in title  # the lab omits some of it
    assert all(f"`{task.name}`" in how for task in handin.tasks(check_module(name)).values())


@each_lab
def test_task_names_are_defined_once(name):
    """Graders find tasks by name."""
    names = [task.name for task in handin.tasks(check_module(name)).values()]
    defined = [
        node.name if hasattr(node, "name") else node.targets[0].id
        for node in ast.parse(notebooks.code_of(lab_of(name))).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        or (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name))
    ]
    assert {task: defined.count(task) for task in names} == dict.fromkeys(names, 1)


@each_lab
def test_chapter_solutions_pass_checks(name):
    namespace = {}
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for cell in notebooks.code_cells(labs.chapter(name)):
            if cell.source.startswith("@"):  # a widget
                continue
            for place, node in enumerate(ast.parse(cell.source).body):
                if isinstance(node, kinds) or (place == 0 and labs.task_number(cell)):
                    exec(compile(ast.Module([node], []), cell.id, "exec"), namespace)
        shown = handin.hand_in(check_module(name), namespace)
    assert all(answer.passed for answer in shown.answers), shown.answers


def test_graders_know_all_labs():
    assert list(cli.LABS) == list(labs.CHECKS.values())


def test_labs_are_rewritten_only_after_change(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "LABS", tmp_path / "labs")
    path = paths.LABS / "04_metrics.ipynb"
    for change in (lambda: None, lambda: path.write_text("an older one")):
        change()
        labs.main(["04_metrics"])
        written = path.stat().st_mtime_ns
        assert nbformat.read(path, as_version=4).cells == lab_of("04_metrics").cells
    labs.main(["04_metrics"])
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("source", "kept", "removed"),
    [
        ('def f(a, b=2):\n    """Sum."""\n    c = a\n    return c + b\n\nf(1)',
         ["def f(a, b=2):", '    """Sum."""', "f(1)", 'NotDone("9.1")'], ["c = a", "return"]),
        ("class f:\n  def __init__(self):\n    self.a = 1\n\n  def b(self):\n    return self.a",
         ["self.a = 1", 'NotDone("9.1")'], ["return"]),
        ('f = """\nBecause.\n"""\nlen(f)', ["f = ...", "len(f)"], ["Because"]),
    ],
)  # fmt: skip
def test_stub_keeps_everything_but_the_answer(source, kept, removed):
    name, code = labs.stub(source, "9.1")
    assert name == "f" and compile(code, "stub", "exec")
    assert all(part in code for part in kept) and not any(part in code for part in removed)


# --- solutions on pages ---------------------------------------------------------------------------


@each_lab
def test_separate_solutions_hide_only_solutions(name):
    chapter = labs.chapter(name)
    before = json.loads((paths.BOOK / f"{name}.ipynb").read_text(encoding="utf-8"))
    after = solutions.without_solutions(json.loads(json.dumps(before)))["cells"]
    hidden = {c["id"] for c in after if "remove-input" in c["metadata"].get("tags", [])}
    folded = {cell.id for cell in chapter.cells if "hide-input" in labs.tags(cell)}
    assert hidden == folded | {cell.id for cell in labs.solutions(chapter).values()}
    kept = [cell for cell in after if not cell["id"].startswith("apart-")]
    assert [cell["source"] for cell in kept] == [cell["source"] for cell in before["cells"]]
    assert len(after) - len(kept) == len(labs.solutions(chapter))


@each_lab
def test_only_solutions_of_lab_section_are_folded(name):
    """The text before the heading "In the lab" refers to its solutions."""
    cells = labs.chapter(name).cells
    (head,) = (n for n, cell in enumerate(cells) if cell.source.startswith("## In the lab"))
    assert f"<labs/{name}.ipynb>" in cells[head].source
    assert not any("hide-input" in labs.tags(cell) for cell in cells[:head])
    for cell in cells[head:]:
        assert "hide-input" in labs.tags(cell) or not labs.task_number(cell), cell.id
