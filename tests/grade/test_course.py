"""Grading a class: the command, the cached results, and the report."""

import csv
import json
import os
import shutil
import time
from dataclasses import replace

import address as addresses
import publish
import pytest
from conftest import GOOD, TASKS

from benchmarks.grading import partly_solved
from labkit import cli
from labkit.check.answer import CORRECT, INCORRECT, NOT_ATTEMPTED, Answer
from labkit.grade import container, course, grader, report
from labkit.grade.grader import GradeResult
from labkit.grade.process import Limits, Process
from labkit.grade.session import Session

CLASS = {  # a cell, and the points of both tasks
    "Анна": (GOOD, 1, 1),
    "Ben": ("def double(x):\n    return x ** 2", 0, 0),
    "Cem": ("def double(x):\n    raise NotImplementedError", 0, 0),
    "Dora": ("why = 'it is'\n\ndouble = lambda x: 2 * x", 1, 0),
    "Eve": ("import os\nos._exit(0)", 0, 0),
    "=HYPERLINK(1)": (GOOD, 1, 1),
}


def read_grades(folder):
    with open(folder / "grades.csv", encoding="utf-8-sig", newline="") as file:
        return {line["student"]: line for line in csv.DictReader(file)}


@pytest.mark.usefixtures("needs_container")
def test_grade_command_writes_expected_grades(write, tmp_path, monkeypatch, capsys):
    for student, (cell, *_) in CLASS.items():
        write(cell, name=f"{student}.ipynb")
    judged = grader.judged  # with the cases of the small lab, which the container lacks
    monkeypatch.setattr(grader, "judged", lambda session, task, lab: judged(session, task, None))
    output = tmp_path / "graded"
    words = ["grade", f"{tmp_path}/class", "--lab", "metrics", "--output", str(output)]
    assert cli.main(words) == 0
    assert "6 students, 1 of them with a problem" in capsys.readouterr().out
    lines = read_grades(output)
    assert {n: [line["9.1"], line["9.2"], line["points"]] for n, line in lines.items()} == {
        student.replace("=", "'="): [str(first), str(second), str(first + second)]
        for student, (_, first, second) in CLASS.items()
    }
    assert lines["Eve"]["problem"] == "it ended its process"
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "This is the square." in page and "because it is so" in page


@pytest.mark.usefixtures("needs_container")
def test_colab_setup_cell_costs_no_points(write):
    """It fetches the course, which fails in a container and is not needed there."""
    address = addresses.find("https://github.com/name/course")
    _, code = publish.setup_cells("04", address, "0" * 40, [])
    result = grader.grade(write(code.source, GOOD), None)
    assert (result.points, result.problem) == (2, "")


@pytest.mark.slow
@pytest.mark.usefixtures("needs_container")
def test_solved_tasks_of_real_lab_pass(write_raw, monkeypatch):
    monkeypatch.undo()  # use the real lab, whose tasks the container finds by number
    result = grader.grade(write_raw(partly_solved("04_metrics", 5)), "metrics")
    passed = {number: answer.passed for number, answer in result.answers.items()}
    assert result.problem == ""
    assert passed == {f"4.{number}": number <= 5 for number in range(1, 7)}


@pytest.fixture
def graded(monkeypatch):
    """The students whose notebooks are graded, without a container; Zoe's has a problem."""
    students = []

    def grade(submission, *_, **__):
        students.append(submission.student)
        time.sleep(0.3)  # so that a second grading would start before the first ends
        problem = "took longer than 900 s" if submission.student == "Zoe" else ""
        answers = make_answers(CORRECT, CORRECT)
        return GradeResult(submission.student, answers, problem, notes=("a note",))

    monkeypatch.setattr(course, "select_backend", lambda no_container: None)
    monkeypatch.setattr(course, "grade", grade)
    return students


def test_only_new_and_changed_notebooks_and_those_with_a_problem_are_graded(
    graded, write, tmp_path
):
    def grade_class():
        graded.clear()
        return course.grade_class(tmp_path / "class", None, tmp_path / "graded")

    write(GOOD, name="a.ipynb")
    assert grade_class() and graded == ["a"]
    write("late = 1", name="Zoe.ipynb")
    assert [result.points for result in grade_class()] == [2, 2] and graded == ["Zoe"]
    write(GOOD, "x = 1", name="a.ipynb")
    assert [result.problem for result in grade_class()] == ["took longer than 900 s", ""]
    assert sorted(graded) == ["Zoe", "a"]
    grade_class()
    assert graded == ["Zoe"]


def test_results_of_other_code_are_not_used_but_those_by_another_path_are(
    write, tmp_path, monkeypatch
):
    """Here labkit is a folder with a module; the hidden checks are in the same folder."""
    submission, package = write(GOOD), tmp_path / "labkit"
    (package / "grade").mkdir(parents=True)
    monkeypatch.setattr(grader.labkit, "__file__", str(package / "__init__.py"))
    monkeypatch.chdir(tmp_path)

    def fingerprints():
        for path in (submission.path, submission.path.relative_to(tmp_path)):
            for hidden in (tmp_path / "hidden.py", "hidden.py"):
                yield grader.fingerprint(replace(submission, path=path), "metrics", hidden)

    seen = set()
    for number, name in enumerate(("hidden.py", "labkit/grade/names.py", "hidden.py"), start=1):
        (tmp_path / name).write_text(f"x = {number}")
        seen |= set(fingerprints())
        assert len(seen) == number


def test_identical_notebooks_are_graded_once_and_both_listed(graded, write, tmp_path):
    write("old = 1", name="a/old.ipynb")
    new = write(GOOD, name="a/new.ipynb").path
    os.utime(new.with_name("old.ipynb"), (0, 0))
    shutil.copy(new, tmp_path / "class" / "b.ipynb")
    for _ in range(2):  # the second pass uses the cached results
        results = course.grade_class(tmp_path / "class", None, tmp_path / "graded", jobs=2)
        assert [result.student for result in results] == ["a", "b"] and len(graded) == 1
        first = ("1 more notebook, not graded", "a note")
        assert [result.notes for result in results] == [first, ("a note",)]


def test_notebook_that_ended_its_process_is_graded_once_more(graded, write, tmp_path, monkeypatch):
    grade, problems = course.grade, ["it ended its process: it was killed", ""]
    monkeypatch.setattr(
        course, "grade", lambda one, *_, **__: replace(grade(one), problem=problems.pop(0))
    )
    write(GOOD, name="a.ipynb")
    (result,) = course.grade_class(tmp_path / "class", None, tmp_path / "graded")
    assert (result.problem, graded, problems) == ("", ["a", "a"], [])


def test_interrupted_grader_ends_the_submissions_that_run():
    def grade(name):
        if name == "interrupts":
            while not Process.running:
                time.sleep(0.1)
            raise KeyboardInterrupt
        with Session(Limits(seconds=600), Process) as session:
            session.run(["import time\ntime.sleep(600)"])

    with pytest.raises(KeyboardInterrupt):
        course.in_parallel(grade, ["sleeps", "interrupts", "waits"], jobs=2)
    assert not Process.running


def test_command_without_isolation_fails(write, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(container.shutil, "which", lambda name: None)
    write(GOOD)
    assert cli.main(["grade", str(tmp_path / "class"), "--lab", "metrics"]) == 1
    error = capsys.readouterr().err
    assert "apt install podman" in error and "docker: it is not installed" in error


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("", r"defines no labkit\.check\.Task"),
        ("t = Task('8.1', 'f', ((1,),), abs)", "task 8.1"),  # of another lab
        ("t = Task('9.1', 'f', ((1,),), abs, adapter=lambda f, n: type(f(n)))", "remove it"),
        ("t = Task('9.2', 'why', ((1,),), abs)", "task 9.2, a question"),
        ("t = Question('9.1', 'double')", "task 9.1, a question"),
        ("t = Task('9.1', 'f', (([1, 2], 3)), abs)", r"case \[1, 2\].*cases=\(\(a, b\),\)"),
        ("t = Task('9.1', 'f', ((1, 2),), abs)", "no case: TypeError: abs.. takes exactly one"),
        ("t = Task('9.1', 'f', ((1,),))", "no case: TypeError"),
        ("t = Task('9.1', 'f', (), abs)", "no case$"),
    ],
)
def test_unsupported_hidden_checks_raise(graded, write, tmp_path, code, reason):
    write(GOOD)
    hidden = tmp_path / "hidden.py"
    imports = "from labkit.check import Task\nfrom labkit.check.question import Question\n"
    hidden.write_text(imports + code)
    with pytest.raises(ValueError, match=reason):
        course.grade_class(tmp_path / "class", None, tmp_path / "graded", hidden)
    assert not graded


# --- the report -----------------------------------------------------------------------------------


def make_answers(first, second, hint="This is the square."):
    states = zip(TASKS.items(), (first, second), strict=True)
    return {
        number: Answer(number, task.name, state, hint=hint if state == INCORRECT else "")
        for (number, task), state in states
    }


def result_of(text):
    """A result with this text in every part that comes from a submission."""
    answers = make_answers(INCORRECT, CORRECT, text)
    return GradeResult(text, answers, text, (text,), {"9.2": text}, (text,) * 9)


def test_report_counts_and_sorts():
    half, none = make_answers(CORRECT, INCORRECT), make_answers(NOT_ATTEMPTED, NOT_ATTEMPTED)
    results = [GradeResult("a", half), GradeResult("b", half), GradeResult("c", none, "no memory")]
    page = report.page(results, TASKS)
    assert "1 of 3 notebooks did not run" in page and "Is it another lab?" not in page
    assert "No two notebooks are similar." in page
    assert page.index("9.2 why") < page.index("9.1 double")  # hardest task first
    assert "<td>This is the square.</td><td>2</td>" in page


def test_report_states_possible_points():
    none, all_done = make_answers(INCORRECT, INCORRECT), make_answers(CORRECT, CORRECT)
    results = [GradeResult("a", none), GradeResult("b", all_done)]
    assert "Median 1, half of them from 0.5 to 1.5." in report.overview(results, TASKS)
    assert "Median 2, half of them from 2 to 2." in report.overview(results[1:], TASKS)


def test_report_escapes_html():
    result = result_of("<script>alert(1)</script>")
    assert "<script>" not in report.page([result, result], TASKS)


def test_a_class_of_another_lab_is_noticed():
    none = make_answers(NOT_ATTEMPTED, NOT_ATTEMPTED)
    assert "Is it another lab?" in report.page([GradeResult("a", none)], TASKS)
    assert not report.nothing_attempted([GradeResult("a", none, "it is no notebook")])


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=A1", "'=A1"),
        ("  -1", "'  -1"),
        ("x;=A1;y", "x;'=A1;y"),
        ("＝A1", "'＝A1"),
        ('x;"=1+1;y', "x;'\"=1+1;y"),
        ("a\x00\n=A1", "a =A1"),
        ("Anna-Maria", "Anna-Maria"),
        (3, 3),
    ],
)
def test_no_cell_is_a_formula(value, written):
    assert report.safe(value) == written


def test_report_has_written_answers_side_by_side_and_a_file_for_each_student(tmp_path):
    answers = make_answers(CORRECT, CORRECT)
    twins = [
        GradeResult(
            "Ann/Lee", answers, notes=("its code uses inspect",), words={"9.2": text}, id=id
        )
        for text, id in (("first words", "1"), ("second words", ""), ("third words", ""))
    ]
    report.write(twins, TASKS, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    table = page[page.index("Written answers: 9.2") :]
    assert table.index("first words") < table.index("third words") < table.index("<section")
    files = sorted(tmp_path.glob("feedback/*.html"))
    assert {file.stem for file in files} == {"Ann Lee 1", "Ann Lee", "Ann Lee 3"}
    alone = (tmp_path / "feedback" / "Ann Lee 1.html").read_text(encoding="utf-8")
    assert "first words" in alone and "second words" not in alone and ".reference" not in alone
    grades = json.loads((tmp_path / "grades.json").read_text(encoding="utf-8"))
    assert [(line["student"], line["id"], line["points"]) for line in grades] == [
        ("Ann/Lee", "1", 2),
        ("Ann/Lee", "", 2),
        ("Ann/Lee", "", 2),
    ]


def test_report_replaces_invalid_characters(tmp_path):
    report.write([result_of("half a character: \ud800")], TASKS, tmp_path)
    assert read_grades(tmp_path)["half a character: ?"]["points"] == "1"
    assert "half a character: ?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_copies_ignore_lines_of_lab():
    lab, copied, other = (tuple(f"{name} {n}" for n in range(10)) for name in ("lab", "a", "c"))
    codes = {"a": lab + copied, "b": lab + copied + ("x = 1",), "c": lab + other, "d": lab}
    results = [GradeResult(name, {}, code=code) for name, code in (codes | {"e": lab}).items()]
    assert [pair[:2] for pair in report.copies(results)] == [("a", "b")]


def test_names_of_feedback_keep_combined_letters():
    names = ["Mu\u0308ller, Ann", "हिन्दी"]
    assert report.file_names([GradeResult(name, {}) for name in names]) == [
        "Mu\u0308ller Ann",
        names[1],
    ]


def test_names_of_feedback_never_meet():
    results = [GradeResult(name, {}) for name in ("Ann", "Ann 3", "Ann-", "", "ann")]
    names = [name.casefold() for name in report.file_names(results)]
    assert len(set(names)) == 5 and all(names)


def test_copies_of_two_students_of_one_name_are_found():
    code = tuple(f"a {n}" for n in range(10))
    results = [GradeResult("Ann", {}, code=code, id=id) for id in "12"]
    others = [GradeResult(name, {}, code=(name,)) for name in "bcd"]
    assert [pair[:2] for pair in report.copies(results + others)] == [("Ann", "Ann")]


def test_unfinished_task_is_tried_again(tmp_path):
    answers = make_answers(INCORRECT, CORRECT, f"{grader.UNFINISHED}: took longer than 900 s.")
    course.save(tmp_path / "x.json", GradeResult("a", answers))
    assert course.load(tmp_path / "x.json") is None


def test_results_inside_the_class_are_no_submissions(graded, write, tmp_path):
    write(GOOD, name="a.ipynb")
    for _ in range(2):
        output = tmp_path / "class" / "graded"
        results = course.grade_class(tmp_path / "class", None, output)
        assert [result.student for result in results] == ["a"]


def test_a_class_of_copies_is_noticed():
    done, none = make_answers(CORRECT, CORRECT), make_answers(NOT_ATTEMPTED, NOT_ATTEMPTED)
    copied = [GradeResult(name, done, code=("a = 1",)) for name in "abc"]
    untouched = [GradeResult(name, none, code=("the lab",)) for name in "defg"]
    assert "3 notebooks have the same code" in report.near(copied + untouched[:2])
    assert "same code" not in report.near(copied[:1] + untouched)


def test_saved_result_is_loaded_unchanged(tmp_path):
    answers = make_answers(CORRECT, INCORRECT)
    result = GradeResult("a", answers, "", ("note",), {"9.2": "кот"}, ("x = 1",))
    course.save(tmp_path / "x.json", result)
    assert json.loads((tmp_path / "x.json").read_text())["student"] == "a"
    assert course.load(tmp_path / "x.json") == result
