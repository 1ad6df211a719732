"""Grading a class: the command, the cached results, and the report."""

import csv
import json
import os
import shutil
import time

import address as addresses
import publish
import pytest
from conftest import GOOD, TASKS

from labkit import cli
from labkit.check.answer import CORRECT, INCORRECT, NOT_ATTEMPTED, Answer
from labkit.grade import course, grader, report, sandbox
from labkit.grade.grader import GradeResult
from labkit.grade.tasks import hidden_tasks

CLASS = {
    "Анна": [GOOD],
    "Ben": ["def double(x):\n    return x ** 2"],
    "Cem": ["def double(x):\n    raise NotImplementedError"],
    "Dora": ["why = 'it is'\n\ndouble = lambda x: 2 * x"],
    "Eve": ["import os\nos._exit(0)"],
    "=HYPERLINK(1)": [GOOD],
}


def read_grades(folder):
    with open(folder / "grades.csv", encoding="utf-8-sig", newline="") as file:
        return {line["student"]: line for line in csv.DictReader(file)}


@pytest.mark.usefixtures("needs_sandbox")
def test_grade_command_writes_expected_grades(write, tmp_path, monkeypatch, capsys):
    for student, cells in CLASS.items():
        write(*cells, name=f"{student}.ipynb")
    output = tmp_path / "graded"
    monkeypatch.setattr(grader, "judged", judge_without_lab(grader.judged))
    assert (
        cli.main(["grade", f"{tmp_path}/class", "--lab", "metrics", "--output", str(output)]) == 0
    )
    assert "6 students, 1 of them with a problem" in capsys.readouterr().out
    lines = read_grades(output)
    points = {
        student: (line["9.1"], line["9.2"], line["points"]) for student, line in lines.items()
    }
    assert points == {
        "Анна": ("1", "1", "2"),
        "Ben": ("0", "0", "0"),
        "Cem": ("0", "0", "0"),
        "Dora": ("1", "0", "1"),
        "Eve": ("0", "0", "0"),
        "'=HYPERLINK(1)": ("1", "1", "2"),
    }
    assert lines["Eve"]["problem"] == "it ended its process"
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "This is the square." in page and "because it is so" in page


def judge_without_lab(judged):
    return lambda session, task, lab: judged(session, task, None)


@pytest.mark.usefixtures("needs_sandbox")
def test_only_new_and_changed_notebooks_are_graded(write, tmp_path, monkeypatch):
    graded = []

    def record(submission, *args):
        graded.append(submission.student)
        return grader.grade(submission, *args)

    monkeypatch.setattr(course, "grade", record)
    output = tmp_path / "graded"
    write(GOOD, name="a.ipynb")
    course.grade_class(tmp_path / "class", None, output)
    write("late = 1", name="b.ipynb")
    results = course.grade_class(tmp_path / "class", None, output)
    assert graded == ["a", "b"] and [result.points for result in results] == [2, 0]
    write(GOOD, "x = 1", name="a.ipynb")
    course.grade_class(tmp_path / "class", None, output)
    assert graded == ["a", "b", "a"]


@pytest.mark.usefixtures("needs_sandbox")
def test_colab_setup_cell_costs_no_points(write):
    """It fetches the course, which fails in a sandbox and is not needed there."""
    address = addresses.find("https://github.com/name/course")
    _, code = publish.set_up("04", address, "0" * 40, [])
    result = grader.grade(write(code.source, GOOD), None)
    assert (result.points, result.problem) == (2, "")


def test_identical_notebooks_are_graded_once_and_both_listed(write, tmp_path, monkeypatch):
    graded = []

    def slow(submission, *_):
        graded.append(submission.student)
        time.sleep(0.3)  # so that a second grading would start before the first ends
        return GradeResult(submission.student, make_answers(CORRECT, CORRECT), notes=("a note",))

    monkeypatch.setattr(course, "select_backend", lambda no_sandbox: None)
    monkeypatch.setattr(course, "grade", slow)
    write("old = 1", name="a/old.ipynb")
    new = write(GOOD, name="a/new.ipynb").path
    os.utime(new.with_name("old.ipynb"), (0, 0))
    shutil.copy(new, tmp_path / "class" / "b.ipynb")
    for _ in range(2):  # the second pass uses the cached results
        results = course.grade_class(tmp_path / "class", None, tmp_path / "graded", jobs=2)
        assert [result.student for result in results] == ["a", "b"] and len(graded) == 1
        assert [result.notes for result in results] == [
            ("1 more notebook, not graded", "a note"),
            ("a note",),
        ]


def test_result_with_problem_is_not_cached(write, tmp_path, monkeypatch):
    problems = ["took longer than 900 s", ""]

    def grade_with_problem(submission, *_):
        return GradeResult(submission.student, make_answers(CORRECT, CORRECT), problems.pop(0))

    monkeypatch.setattr(course, "select_backend", lambda no_sandbox: None)
    monkeypatch.setattr(course, "grade", grade_with_problem)
    write(GOOD)
    results = [course.grade_class(tmp_path / "class", None, tmp_path / "graded") for _ in range(3)]
    assert [result.problem for (result,) in results] == ["took longer than 900 s", "", ""]


def test_command_without_isolation_fails(write, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    write(GOOD)
    assert cli.main(["grade", str(tmp_path / "class"), "--lab", "metrics"]) == 1
    error = capsys.readouterr().err
    assert "apt install bubblewrap" in error and "Docker is not here" in error


def test_hidden_checks_of_other_lab_raise(write, tmp_path, monkeypatch):
    monkeypatch.setattr(course, "select_backend", lambda no_sandbox: None)
    hidden = tmp_path / "hidden.py"
    hidden.write_text("from labkit.check import Task\nt = Task('8.1', 'f', ((1,),), abs)")
    write(GOOD)
    with pytest.raises(ValueError, match="task 8.1"):
        course.grade_class(tmp_path / "class", None, tmp_path / "graded", hidden)
    hidden.write_text("")
    with pytest.raises(ValueError, match=r"defines no labkit\.check\.Task"):
        course.grade_class(tmp_path / "class", None, tmp_path / "graded", hidden)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("Task('9.1', 'f', ((1,),), abs, adapter=lambda f, n: type(f(n)))", "remove it"),
        ("Task('9.2', 'why', ((1,),), abs)", "task 9.2, a question"),
        ("Question('9.1', 'double')", "task 9.1, a question"),
    ],
)
def test_unsupported_hidden_checks_raise(tmp_path, task, reason):
    hidden = tmp_path / "hidden.py"
    imports = "from labkit.check import Task\nfrom labkit.check.question import Question\n"
    hidden.write_text(f"{imports}t = {task}")
    with pytest.raises(ValueError, match=reason):
        hidden_tasks(hidden, TASKS)


# --- the report -----------------------------------------------------------------------------------


def make_answers(first, second, hint="This is the square."):
    states = zip(TASKS.items(), (first, second), strict=True)
    return {
        number: Answer(number, task.name, state, hint=hint if state == INCORRECT else "")
        for (number, task), state in states
    }


def test_report_counts_and_sorts():
    results = [
        GradeResult("a", make_answers(CORRECT, INCORRECT)),
        GradeResult("b", make_answers(CORRECT, INCORRECT)),
        GradeResult(
            "c", make_answers(NOT_ATTEMPTED, NOT_ATTEMPTED), problem="computed for longer than 6 s"
        ),
    ]
    page = report.page(results, TASKS)
    assert "1 of 3 notebooks did not run" in page
    assert "No two notebooks are similar." in page
    assert page.index("9.2 why") < page.index("9.1 double")  # hardest task first
    assert "<td>This is the square.</td><td>2</td>" in page


def test_report_escapes_html():
    bad = "<script>alert(1)</script>"
    result = GradeResult(
        bad, make_answers(INCORRECT, CORRECT, bad), bad, (bad,), {"9.2": bad}, (bad,) * 9
    )
    assert "<script>" not in report.page([result, result], TASKS)


def test_report_replaces_invalid_characters(tmp_path):
    invalid = "half a character: \ud800"
    result = GradeResult(
        invalid, make_answers(INCORRECT, CORRECT, invalid), invalid, (invalid,), {"9.2": invalid}
    )
    report.write([result], TASKS, tmp_path)
    assert read_grades(tmp_path)["half a character: ?"]["points"] == "1"
    assert "half a character: ?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_copies_ignore_lines_of_lab():
    lab_lines = tuple(f"lab line {n}" for n in range(50))
    copied = tuple(f"one line {n}" for n in range(10))
    other = tuple(f"other line {n}" for n in range(10))
    results = [
        GradeResult("a", {}, code=lab_lines + copied),
        GradeResult("b", {}, code=lab_lines + copied + ("x = 1",)),
        GradeResult("c", {}, code=lab_lines + other),
        GradeResult("d", {}, code=lab_lines),
        GradeResult("e", {}, code=lab_lines),
    ]
    assert [pair[:2] for pair in report.copies(results)] == [("a", "b")]


def test_saved_result_is_loaded_unchanged(tmp_path):
    result = GradeResult(
        "a", make_answers(CORRECT, INCORRECT), "", ("note",), {"9.2": "кот"}, ("x = 1",)
    )
    course.save(tmp_path / "x.json", result)
    assert json.loads((tmp_path / "x.json").read_text())["student"] == "a"
    assert course.load(tmp_path / "x.json") == result
