"""A lab of the book, graded as a class is: its tasks are found inside the sandbox, by number."""

import nbformat
import pytest

from benchmarks.grading import partly_solved
from labkit.grade import collect
from labkit.grade.grader import grade


@pytest.fixture(autouse=True)
def small_lab():
    """No other tasks in the place of the lab's."""


@pytest.mark.slow
@pytest.mark.usefixtures("isolated")
def test_the_solved_tasks_of_a_lab_are_done(tmp_path):
    path = tmp_path / "student.ipynb"
    nbformat.write(partly_solved("04_metrics", 5), path)
    found = grade(collect.Submission("student", path), "metrics")
    done = {number: answer.passed for number, answer in found.answers.items()}
    assert found.problem == ""
    assert done == {f"4.{number}": number <= 5 for number in range(1, 7)}
