"""Points in the CSV of a learning platform."""

import csv

import pytest

from labkit.check.answer import CORRECT, Answer
from labkit.grade import marks
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
    path, absent = marks.fill(file, column, RESULTS, folder)
    assert absent == ["Eve"]
    separator = ";" if text == CANVAS else ","
    with open(path, encoding="utf-8", newline="") as copy:
        rows = list(csv.DictReader(copy, delimiter=separator))
    assert [row[column] for row in rows] == points
    before = list(csv.DictReader(text.lstrip("\ufeff").splitlines(), delimiter=separator))
    assert [row | {column: ""} for row in rows] == [row | {column: ""} for row in before]


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
        marks.fill(file, "Grade", RESULTS, tmp_path / "graded")
