"""The labs, which are generated from the chapters."""

import ast
import importlib
import json
import re
import warnings
from functools import cache

import labs
import nbformat
import pytest
import solutions as solutions_apart

from labkit import cli
from labkit.check import Task, handin
from labkit.check.question import Question

BOOK = labs.BOOK
each_lab = pytest.mark.parametrize("name", labs.CHECKS)


def solutions(name):
    """Solution cells of a chapter by task number."""
    cells = labs.chapter(name).cells
    return {number: cell for cell in cells if (number := labs.number_of(cell))}


@cache
def cached_lab(name):
    return labs.lab(name)


@cache
def known_tasks(module):
    return handin.tasks(importlib.import_module(f"labkit.check.{module}"))


@each_lab
def test_tasks_have_texts(name):
    texts = labs.task_texts(labs.chapter(name))
    assert list(texts) == list(known_tasks(labs.CHECKS[name]))
    for number, task in known_tasks(labs.CHECKS[name]).items():
        assert f"`{task.name}" in texts[number]


@each_lab
def test_tasks_match_solutions(name):
    known = known_tasks(labs.CHECKS[name])
    assert list(known) == list(solutions(name)) and 4 <= len(known) <= 7
    assert all(number.startswith(f"{int(name[:2])}.") for number in known)


@each_lab
def test_lab_is_chapter_without_solutions(name):
    chapter, lab = labs.chapter(name), cached_lab(name)
    lab_cells = {cell.id: cell for cell in lab.cells}
    for cell in chapter.cells:
        if "book-only" in labs.tags(cell):
            assert cell.id not in lab_cells
        elif cell.cell_type == "code":
            same = lab_cells[cell.id].source == cell.source
            assert same == (labs.number_of(cell) is None), cell.id
    added = {cell.id for cell in lab.cells} - {cell.id for cell in chapter.cells}
    assert all("-lab-" in name or "-task-" in name for name in added), added


@each_lab
def test_lab_starts_with_title_and_requirements(name):
    first, second = cached_lab(name).cells[:2]
    assert first.source.startswith("# Lab: ") and "**You need:** " in first.source
    assert "You will be able to" not in first.source  # the lab omits some of it
    assert all(
        f"`{task.name}`" in second.source for task in known_tasks(labs.CHECKS[name]).values()
    )


@each_lab
def test_lab_contains_no_solutions(name):
    text = "\n".join(cell.source for cell in cached_lab(name).cells)
    for number, cell in solutions(name).items():
        first = ast.parse(cell.source).body[0]
        if isinstance(first, ast.Assign):
            assert cell.source not in text, number
            continue
        functions = [first] if isinstance(first, ast.FunctionDef) else labs.methods(first)
        for function in functions:
            body = function.body[1:] if ast.get_docstring(function) else function.body
            lines = cell.source.splitlines()[body[0].lineno - 1 : body[-1].end_lineno]
            assert "\n".join(lines) not in text, number


@each_lab
def test_task_names_are_defined_once(name):
    """Graders find tasks by name."""
    names = [task.name for task in known_tasks(labs.CHECKS[name]).values()]
    source = "\n".join(cell.source for cell in cached_lab(name).cells if cell.cell_type == "code")
    defined = [
        node.name if hasattr(node, "name") else node.targets[0].id
        for node in ast.parse(re.sub("^%", "#", source, flags=re.M)).body
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
        for cell in labs.chapter(name).cells:
            if cell.cell_type != "code" or cell.source.startswith("@"):  # a widget
                continue
            for place, node in enumerate(ast.parse(cell.source).body):
                if isinstance(node, kinds) or (place == 0 and labs.number_of(cell)):
                    exec(compile(ast.Module([node], []), cell.id, "exec"), namespace)
        lab = importlib.import_module(f"labkit.check.{labs.CHECKS[name]}")
        shown = handin.hand_in(lab, namespace)
    assert all(answer.passed for answer in shown.answers), shown.answers


def test_number_of_tasks():
    tasks = [task for module in labs.CHECKS.values() for task in known_tasks(module).values()]
    assert 28 <= len(tasks) <= 42
    for task in tasks:
        assert isinstance(task, Task | Question)
    questions = {task.number[0] for task in tasks if isinstance(task, Question)}
    assert len(questions) >= 5


def test_grader_lists_all_labs():
    assert list(cli.LABS) == list(labs.CHECKS.values())


def test_tasks_of_module():
    lab = importlib.import_module("labkit.check.metrics")
    assert [task.number for task in handin.tasks(lab).values()] == [f"4.{n}" for n in range(1, 7)]


def test_labs_are_rewritten_only_after_change(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(labs, "LABS", tmp_path / "labs")
    labs.main(["04_metrics"])
    path = tmp_path / "labs" / "04_metrics.ipynb"
    assert nbformat.read(path, as_version=4).cells[0].source.startswith("# Lab: ")
    assert "written" in capsys.readouterr().out
    labs.main(["04_metrics"])
    assert capsys.readouterr().out == ""
    path.write_text("an older one")
    labs.main(["04_metrics"])
    assert "written" in capsys.readouterr().out


# --- stubs ----------------------------------------------------------------------------------------


def test_stub_keeps_signature_docstring_and_rest():
    source = 'def f(a, b=2):\n    """Sum."""\n    c = a\n    return c + b\n\nf(1)'
    name, code = labs.stub(source, "9.1")
    assert name == "f"
    assert code.splitlines() == [
        "def f(a, b=2):",
        '    """Sum."""',
        '    raise check.NotDone("9.1")  # your code takes the place of this line',
        "",
        "f(1)",
    ]


def test_class_stub_keeps_init():
    source = "class C:\n  def __init__(self):\n    self.a = 1\n\n  def b(self):\n    return self.a"
    name, code = labs.stub(source, "9.1")
    assert name == "C" and "self.a = 1" in code and "return" not in code
    compile(code, "stub", "exec")


def test_answer_stub_is_placeholder():
    name, code = labs.stub('why = """\nBecause.\n"""\nlen(why)', "9.1")
    assert name == "why" and code.splitlines()[0].startswith("why = ...")
    assert code.splitlines()[1] == "len(why)"


# --- separate solutions ---------------------------------------------------------------------------


@each_lab
def test_separate_solutions_hides_only_solutions(name):
    before = json.loads((BOOK / f"{name}.ipynb").read_text(encoding="utf-8"))
    after = solutions_apart.without_solutions(json.loads(json.dumps(before)))
    hidden = [c["id"] for c in after["cells"] if "remove-input" in c["metadata"].get("tags", [])]
    folded = [cell.id for cell in labs.chapter(name).cells if "hide-input" in labs.tags(cell)]
    assert set(hidden) == {*folded, *(cell.id for cell in solutions(name).values())}
    words = [cell for cell in after["cells"] if cell["id"].startswith("apart-")]
    assert len(words) == len(solutions(name))
    kept = [cell for cell in after["cells"] if not cell["id"].startswith("apart-")]
    assert [cell["source"] for cell in kept] == [cell["source"] for cell in before["cells"]]


@each_lab
def test_lab_section_solutions_are_folded(name):
    """Solutions after the heading "In the lab" are folded, and no cell before it is."""
    cells = labs.chapter(name).cells
    heads = [n for n, cell in enumerate(cells) if cell.source.startswith("## In the lab")]
    assert len(heads) == 1
    for cell in cells[heads[0] :]:
        if labs.number_of(cell):
            assert "hide-input" in labs.tags(cell), cell.id
    assert not any("hide-input" in labs.tags(cell) for cell in cells[: heads[0]])
    assert f"<labs/{name}.ipynb>" in cells[heads[0]].source
