"""Grading a submission to a lab of the book, whose tasks the sandbox finds by number."""

import nbformat
import pytest

from benchmarks.grading import partly_solved
from labkit.grade import collect
from labkit.grade.grader import grade


@pytest.fixture(autouse=True)
def small_lab():
    """Overrides the fixture of conftest.py: the lab keeps its tasks."""


@pytest.mark.slow
@pytest.mark.usefixtures("needs_sandbox")
def test_solved_tasks_of_real_lab_pass(tmp_path):
    path = tmp_path / "student.ipynb"
    nbformat.write(partly_solved("04_metrics", 5), path)
    result = grade(collect.Submission("student", path), "metrics")
    passed = {number: answer.passed for number, answer in result.answers.items()}
    assert result.problem == ""
    assert passed == {f"4.{number}": number <= 5 for number in range(1, 7)}
