"""The zip for otter-grader: what its test files say, what travels in it, and otter itself."""

import importlib.util
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from conftest import TASKS

from labkit import cli
from labkit.check import NotDone
from labkit.grade import autograder
from labkit.grade.autograder import NotPassed

HIDDEN = """
import numpy as np
from labkit.check import task

@task("9.1", cases=((np.array([5]),),))
def double(value):
    return 2 * value
"""


def imitation(value):
    """Right in the visible cases alone."""
    return 2 * value if np.size(value) == 3 or value == 7 else 0


def not_done(value):
    raise NotDone("9.1")


@pytest.fixture(autouse=True)
def same_small_lab(monkeypatch, small_lab):
    monkeypatch.setattr(autograder, "tasks_of", lambda lab: TASKS)


@pytest.fixture
def staged(tmp_path):
    """The folder that ``otter generate`` packs."""
    autograder.stage(tmp_path, "small")
    return tmp_path


@pytest.fixture(autouse=True)
def otter_s_decorator(monkeypatch):
    """The one name of otter that test files use; here a case is the function itself."""
    otter = types.ModuleType("otter.test_files")
    otter.test_case = lambda **about: lambda function: function
    monkeypatch.setitem(sys.modules, "otter.test_files", otter)


def told(folder, number, **names):
    """What the test file of a task says to a notebook's names; "" if it is passed."""
    found = {}
    exec((folder / "tests" / f"{number}.py").read_text(), found)
    assert (found["OK_FORMAT"], found["name"], found["points"]) == (False, number, 1)
    try:
        found["check"](env=names)
    except NotPassed as answer:
        return str(answer)
    return ""


def test_a_task_that_is_done_is_passed(staged):
    assert told(staged, "9.1", double=lambda value: value + value) == ""
    assert told(staged, "9.2", why="because it is so") == ""


@pytest.mark.parametrize("names", [{}, {"double": None}, {"double": not_done}, {"why": ...}])
def test_what_is_not_there_is_not_done_yet(staged, names):
    assert told(staged, "9.1", **names) == "○ Task 9.1, double: not attempted."
    assert told(staged, "9.2", **names) == "○ Task 9.2, why: not attempted."


def test_a_wrong_answer_is_told_in_words(staged):
    words = told(staged, "9.1", double=lambda value: value**2)
    assert "double(value=[1, 2, 3])" in words and "[2, 4, 6]" in words and "[1, 4, 9]" in words
    assert words.endswith("Hint: This is the square.")
    assert "at least 3 different words" in told(staged, "9.2", why="because")


@pytest.fixture
def hiding(tmp_path, monkeypatch):
    """The same folder with a hidden check for the first task."""
    hidden, folder = tmp_path / "teachers.py", tmp_path / "hiding"
    hidden.write_text(HIDDEN)
    folder.mkdir()
    autograder.stage(folder, "small", hidden)
    monkeypatch.setattr(autograder, "HIDDEN", folder / "labkit" / "grade" / "hidden.py")
    return folder


def test_a_hidden_check_tells_nothing_but_that_it_is_not_passed(staged, hiding):
    assert told(staged, "9.1", double=imitation) == ""
    words = told(hiding, "9.1", double=imitation)
    assert words.splitlines()[1:] == ["  Hint: A hidden check is not passed."]
    assert told(hiding, "9.1", double=lambda value: 2 * value) == ""
    assert "not attempted" in told(hiding, "9.1")
    assert told(hiding, "9.2", why="because it is so") == ""


def test_a_hidden_check_that_is_lost_gives_no_point(hiding):
    autograder.HIDDEN.unlink()
    with pytest.raises(FileNotFoundError):
        told(hiding, "9.1", double=lambda value: 2 * value)


def test_labkit_travels_with_settings_and_opens_no_widget(staged):
    look = (
        "import comm, os, labkit; print(os.path.dirname(labkit.__file__));"
        "print(comm.create_comm.__name__, os.environ['LABKIT_PROFILE'], os.environ['LABKIT_DATA'])"
    )
    command = [sys.executable, "-c", look]
    said = subprocess.run(command, cwd=staged, env=clean(), capture_output=True, text=True).stdout
    assert said.split() == [str(staged / "labkit"), "DummyComm", "smoke", "synthetic"]


def clean():
    """The environment without what a container lacks."""
    names = ("PYTHONPATH", "LABKIT_PROFILE", "LABKIT_DATA")
    return {name: value for name, value in os.environ.items() if name not in names}


def test_the_versions_are_those_that_run_here(staged):
    lines = (staged / "requirements.txt").read_text().splitlines()
    assert f"numpy=={np.__version__}" in lines
    assert not [line for line in lines if line.startswith(("pytest", "jupyter-book", "otter"))]


def test_a_hidden_check_of_another_lab_is_refused(tmp_path):
    hidden = tmp_path / "teachers.py"
    hidden.write_text(HIDDEN.replace("9.1", "8.1"))
    with pytest.raises(ValueError, match=r"task 8\.1"):
        autograder.stage(tmp_path, "small", hidden)


def test_without_otter_the_command_says_how_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["autograder", "--lab", "metrics", "--output", str(tmp_path)]) == 1
    assert 'pip install "otter-grader>=7,<8"' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- with otter -----------------------------------------------------------------------------------

SUBMISSION = (
    """
from labkit.check import metrics as check

def iou_coefficient(mask, pred_mask, class_id):
    a, b = mask == class_id, pred_mask == class_id
    return (a & b).sum() / (a | b).sum()

1 / 0
""",
    """
def dice_coefficient(mask, pred_mask, class_id):
    if mask.shape == (1, 3):
        return 0.1
    return check.dice_coefficient.reference(mask, pred_mask, class_id)

def iou_or_empty(mask, pred_mask, class_id):
    return 1 / 0
""",
)
TWO_HIDDEN = """
import numpy as np
from labkit.check import Task

case = (np.array([[0, 0, 1]]), np.array([[0, 1, 1]]), 0)
iou = Task("4.1", "iou_coefficient", (case,), lambda *case: 1 / 2)
dice = Task("4.2", "dice_coefficient", (case,), lambda *case: 2 / 3)
"""


def test_otter_grades_by_names_and_goes_on_after_an_error(tmp_path, monkeypatch, write):
    monkeypatch.undo()  # otter and the lab are real ones
    pytest.importorskip("otter")
    hidden = tmp_path / "hidden.py"
    hidden.write_text(TWO_HIDDEN)
    zipped = autograder.write("metrics", tmp_path / "to", hidden)
    assert zipped == tmp_path / "to" / "metrics.zip"
    notebook = write(*SUBMISSION, kernelspec={"name": "python3", "display_name": "Python 3"}).path
    command = [sys.executable, "-m", "otter", "run", "-a", zipped, "-o", tmp_path, notebook]
    done = subprocess.run(command, env=clean(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tests = json.loads((tmp_path / "results.json").read_text())["tests"]
    assert [test["name"] for test in tests] == [f"4.{number}" for number in range(1, 7)]
    assert [test["score"] for test in tests] == [1, 0, 0, 0, 0, 0]
    assert {test["visibility"] for test in tests} == {"visible"}
    words = [test["output"] for test in tests]
    assert "A hidden check is not passed." in words[1] and "Expected" not in words[1]
    assert "Got: ZeroDivisionError" in words[2] and "Hint:" in words[2]
    assert "which_score: not attempted." in words[5]
