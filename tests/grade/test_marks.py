"""Points in the CSV of a learning platform."""

import csv
from dataclasses import replace

import pytest

from labkit import cli
from labkit.check.answer import CORRECT, Answer
from labkit.grade import course, marks
from labkit.grade.grader import GradeResult


def result(student, id, points):
    answers = {str(k): Answer(str(k), "f", CORRECT) for k in range(points)}
    return GradeResult(student, answers, id=id)


RESULTS = [result("Ann", "4711", 3), result("Ben", "77", 0), result("Eve", "", 2)]
MOODLE = """Identifier,Full name,Grade,Maximum grade,Last modified (grade)
Participant 77,"Lee, Ben",,6,-
Participant 4711,Ann,5,6,-
Participant 9,Cem,4,6,-
"""
CANVAS = """Student;ID;SIS User ID;Lab 4 (12);Final
    Points Possible;;;6;
Ann;4711;77;;1
Ben;77;1;;1
"""


@pytest.mark.parametrize(
    ("text", "column", "points"),
    [
        ("\ufeff" + MOODLE, "Grade", ["0", "3", "4"]),
        (CANVAS, "Lab 4 (12)", ["6", "3", "0"]),
    ],
)
def test_points_go_to_the_rows_of_their_students(tmp_path, text, column, points):
    file, folder = tmp_path / "marks.csv", tmp_path / "graded"
    folder.mkdir()
    file.write_text(text, encoding="utf-8")
    path, absent = marks.fill(marks.read(file, column), RESULTS, folder)
    assert absent == ["Eve"] and path.name == "marks-marks.csv" and file.read_text("utf-8") == text
    separator = ";" if text == CANVAS else ","
    with open(path, encoding="utf-8", newline="") as copy:
        rows = list(csv.DictReader(copy, delimiter=separator))
    assert [row[column] for row in rows] == points
    before = list(csv.DictReader(text.lstrip("\ufeff").splitlines(), delimiter=separator))
    assert [row | {column: ""} for row in rows] == [row | {column: ""} for row in before]


def test_a_mark_stays_where_the_notebook_had_a_problem(tmp_path):
    file = tmp_path / "worksheet.csv"
    file.write_text(MOODLE + "Participant 5\n", encoding="utf-8")
    short, stuck = result("Dan", "5", 1), replace(RESULTS[0], problem="took longer than 900 s")
    path, absent = marks.fill(marks.read(file, "Grade"), [short, stuck, RESULTS[1]], tmp_path)
    assert absent == ["Dan", "Ann"]
    assert "Participant 4711,Ann,5,6" in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (MOODLE.replace("Grade,", "Mark,"), "use one of Identifier, Full name, Mark"),
        (MOODLE.replace("77", "78").replace("4711", "4712"), "no row with the id"),
        ("Grade,Identifier\n,Participant 77\n", "no row with the id"),
        ("", "no column 'Grade'"),
    ],
)
def test_a_file_that_does_not_fit_raises(tmp_path, text, reason):
    file = tmp_path / "marks.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=reason):
        marks.fill(marks.read(file, "Grade"), RESULTS, tmp_path / "graded")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (MOODLE.replace("Ann", "Müller").encode("cp1252"), "not in UTF-8: save it as CSV UTF-8"),
        (b"Identifier,Mark\n", "no column 'Grade'"),
    ],
)
def test_the_command_reads_the_file_before_it_grades(
    tmp_path, monkeypatch, capsys, content, reason
):
    monkeypatch.setattr(course, "grade_class", lambda *_, **__: pytest.fail("it graded"))
    (tmp_path / "marks.csv").write_bytes(content)
    words = ["grade", str(tmp_path), "--lab", "metrics", "--marks", f"{tmp_path}/marks.csv"]
    assert cli.main(words) == 1
    assert "marks.csv" in (error := capsys.readouterr().err) and reason in error
