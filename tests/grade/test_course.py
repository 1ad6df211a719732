"""A class, graded from the command line to the table."""

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


def read(folder):
    with open(folder / "grades.csv", encoding="utf-8-sig", newline="") as file:
        return {line["student"]: line for line in csv.DictReader(file)}


@pytest.mark.usefixtures("isolated")
def test_a_class_is_graded_to_the_expected_table(write, tmp_path, monkeypatch, capsys):
    for student, cells in CLASS.items():
        write(*cells, name=f"{student}.ipynb")
    to = tmp_path / "graded"
    monkeypatch.setattr(grader, "judged", without_lab(grader.judged))
    assert cli.main(["grade", f"{tmp_path}/class", "--lab", "metrics", "--output", str(to)]) == 0
    assert "6 students, 1 of them with a problem" in capsys.readouterr().out
    lines = read(to)
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
    page = (to / "report.html").read_text(encoding="utf-8")
    assert "This is the square." in page and "because it is so" in page


def without_lab(judged):
    return lambda session, task, lab: judged(session, task, None)


@pytest.mark.usefixtures("isolated")
def test_what_was_graded_is_kept_and_late_work_is_added(write, tmp_path, monkeypatch):
    asked = []

    def noted(submission, *args):
        asked.append(submission.student)
        return grader.grade(submission, *args)

    monkeypatch.setattr(course, "grade", noted)
    to = tmp_path / "graded"
    write(GOOD, name="a.ipynb")
    course.grade_class(tmp_path / "class", None, to)
    write("late = 1", name="b.ipynb")
    found = course.grade_class(tmp_path / "class", None, to)
    assert asked == ["a", "b"] and [one.points for one in found] == [2, 0]
    write(GOOD, "x = 1", name="a.ipynb")
    course.grade_class(tmp_path / "class", None, to)
    assert asked == ["a", "b", "a"]


@pytest.mark.usefixtures("isolated")
def test_the_first_cell_of_a_notebook_from_colab_costs_no_point(write):
    """It fetches the course, which can't be done in a sandbox and need not."""
    address = addresses.find("https://github.com/name/course")
    words, code = publish.set_up("04", address, "0" * 40, [])
    found = grader.grade(write(code.source, GOOD), None)
    assert (found.points, found.problem) == (2, "")


def test_two_students_with_one_file_are_both_in_the_table(write, tmp_path, monkeypatch):
    asked = []

    def slow(submission, *_):
        asked.append(submission.student)
        time.sleep(0.3)  # so that a second one would begin before the first has ended
        return GradeResult(submission.student, answers_of(CORRECT, CORRECT), notes=("a note",))

    monkeypatch.setattr(course, "select_backend", lambda no_sandbox: None)
    monkeypatch.setattr(course, "grade", slow)
    write("old = 1", name="a/old.ipynb")
    new = write(GOOD, name="a/new.ipynb").path
    os.utime(new.with_name("old.ipynb"), (0, 0))
    shutil.copy(new, tmp_path / "class" / "b.ipynb")
    for _ in range(2):  # the second time, the result were kept
        found = course.grade_class(tmp_path / "class", None, tmp_path / "graded", jobs=2)
        assert [one.student for one in found] == ["a", "b"] and len(asked) == 1
        assert [one.notes for one in found] == [
            ("1 more notebook, not graded", "a note"),
            ("a note",),
        ]


def test_a_problem_is_not_kept(write, tmp_path, monkeypatch):
    problems = ["took longer than 900 s", ""]

    def now(submission, *_):
        return GradeResult(submission.student, answers_of(CORRECT, CORRECT), problems.pop(0))

    monkeypatch.setattr(course, "select_backend", lambda no_sandbox: None)
    monkeypatch.setattr(course, "grade", now)
    write(GOOD)
    found = [course.grade_class(tmp_path / "class", None, tmp_path / "graded") for _ in range(3)]
    assert [one.problem for (one,) in found] == ["took longer than 900 s", "", ""]


def test_without_isolation_nothing_is_run(write, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    write(GOOD)
    assert cli.main(["grade", str(tmp_path / "class"), "--lab", "metrics"]) == 1
    told = capsys.readouterr().err
    assert "apt install bubblewrap" in told and "Docker is not here" in told


def test_hidden_checks_of_another_lab_are_refused(write, tmp_path, monkeypatch):
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
def test_hidden_checks_that_can_not_be_asked_are_refused(tmp_path, task, reason):
    hidden = tmp_path / "hidden.py"
    imports = "from labkit.check import Task\nfrom labkit.check.question import Question\n"
    hidden.write_text(f"{imports}t = {task}")
    with pytest.raises(ValueError, match=reason):
        hidden_tasks(hidden, TASKS)


# --- the report -----------------------------------------------------------------------------------


def answers_of(first, second, hint="This is the square."):
    states = zip(TASKS.items(), (first, second), strict=True)
    return {
        number: Answer(number, task.name, state, hint=hint if state == INCORRECT else "")
        for (number, task), state in states
    }


def test_the_report_counts_and_orders():
    everybody = [
        GradeResult("a", answers_of(CORRECT, INCORRECT)),
        GradeResult("b", answers_of(CORRECT, INCORRECT)),
        GradeResult(
            "c", answers_of(NOT_ATTEMPTED, NOT_ATTEMPTED), problem="computed for longer than 6 s"
        ),
    ]
    page = report.page(everybody, TASKS)
    assert "1 of 3 notebooks did not run" in page
    assert "No two notebooks are similar." in page
    assert page.index("9.2 why") < page.index("9.1 double")  # the hardest first
    assert "<td>This is the square.</td><td>2</td>" in page


def test_nothing_of_a_submission_is_html_in_the_report():
    bad = "<script>alert(1)</script>"
    result = GradeResult(
        bad, answers_of(INCORRECT, CORRECT, bad), bad, (bad,), {"9.2": bad}, (bad,) * 9
    )
    assert "<script>" not in report.page([result, result], TASKS)


def test_no_text_of_a_submission_keeps_the_report_from_being_written(tmp_path):
    half = "half a character: \ud800"
    result = GradeResult(half, answers_of(INCORRECT, CORRECT, half), half, (half,), {"9.2": half})
    report.write([result], TASKS, tmp_path)
    assert read(tmp_path)["half a character: ?"]["points"] == "1"
    assert "half a character: ?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_copies_are_found_and_the_lab_s_own_lines_are_not_counted():
    own = tuple(f"lab line {n}" for n in range(50))
    one = tuple(f"one line {n}" for n in range(10))
    other = tuple(f"other line {n}" for n in range(10))
    everybody = [
        GradeResult("a", {}, code=own + one),
        GradeResult("b", {}, code=own + one + ("x = 1",)),
        GradeResult("c", {}, code=own + other),
        GradeResult("d", {}, code=own),
        GradeResult("e", {}, code=own),
    ]
    assert [pair[:2] for pair in report.copies(everybody)] == [("a", "b")]


def test_marks_are_kept_as_they_are(tmp_path):
    before = GradeResult(
        "a", answers_of(CORRECT, INCORRECT), "", ("note",), {"9.2": "кот"}, ("x = 1",)
    )
    course.save(tmp_path / "x.json", before)
    assert json.loads((tmp_path / "x.json").read_text())["student"] == "a"
    assert course.load(tmp_path / "x.json") == before
