"""The otter-grader autograder: its test files, its contents, and a run with otter."""

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

HIDDEN_CHECK = """
import numpy as np
from labkit.check import task

@task("9.1", cases=((np.array([5]),),))
def double(value):
    return 2 * value
"""


def raise_not_done(value):
    raise NotDone("9.1")


@pytest.fixture(autouse=True)
def small_lab_for_autograder(monkeypatch, small_lab):
    monkeypatch.setattr(autograder, "tasks_of", lambda lab: TASKS)


@pytest.fixture
def autograder_folder(tmp_path):
    """The folder that ``otter generate`` packs."""
    autograder.stage(tmp_path, "small")
    return tmp_path


@pytest.fixture(autouse=True)
def fake_otter(monkeypatch):
    """Replaces otter's ``test_case``, the only name that test files use."""
    otter = types.ModuleType("otter.test_files")
    otter.test_case = lambda **about: lambda function: function
    monkeypatch.setitem(sys.modules, "otter.test_files", otter)


def run_check(folder, number, **names):
    """Runs a task's test file on a notebook's names; returns its message, "" if it passes."""
    namespace = {}
    exec((folder / "tests" / f"{number}.py").read_text(), namespace)
    assert (namespace["OK_FORMAT"], namespace["name"], namespace["points"]) == (False, number, 1)
    try:
        namespace["check"](env=names)
    except NotPassed as failure:
        return str(failure)
    return ""


SOLVED = {"double": lambda value: value + value, "why": "because it is so"}


@pytest.mark.parametrize("number", TASKS)
def test_solved_task_passes(autograder_folder, number):
    assert run_check(autograder_folder, number, **SOLVED) == ""


@pytest.mark.parametrize("names", [{}, {"double": None}, {"double": raise_not_done}, {"why": ...}])
def test_missing_answers_are_not_attempted(autograder_folder, names):
    assert run_check(autograder_folder, "9.1", **names) == "Task 9.1, double: not attempted."
    assert run_check(autograder_folder, "9.2", **names) == "Task 9.2, why: not attempted."


def test_wrong_answers_are_explained(autograder_folder):
    message = run_check(autograder_folder, "9.1", double=lambda value: value**2)
    assert all(part in message for part in ("double(value=[1, 2, 3])", "[2, 4, 6]", "[1, 4, 9]"))
    assert message.endswith("Hint: This is the square.")
    assert "at least 3 different words" in run_check(autograder_folder, "9.2", why="because")


@pytest.fixture
def hidden_check_folder(tmp_path, monkeypatch):
    """An autograder folder with a hidden check for the first task."""
    hidden = tmp_path / "teachers.py"
    hidden.write_text(HIDDEN_CHECK)
    folder = tmp_path / "hiding"
    folder.mkdir()
    autograder.stage(folder, "small", hidden)
    monkeypatch.setattr(autograder, "HIDDEN", folder / "labkit" / "grade" / "hidden.py")
    return folder


def test_hidden_check_reveals_only_that_it_failed(autograder_folder, hidden_check_folder):
    def visible_only(value):
        return 2 * value if np.size(value) == 3 or value == 7 else 0

    assert run_check(autograder_folder, "9.1", double=visible_only) == ""
    message = run_check(hidden_check_folder, "9.1", double=visible_only)
    assert message.splitlines()[1:] == ["  Hint: A hidden check is not passed."]
    assert [run_check(hidden_check_folder, number, **SOLVED) for number in TASKS] == ["", ""]
    assert "not attempted" in run_check(hidden_check_folder, "9.1")
    autograder.HIDDEN.unlink()
    with pytest.raises(FileNotFoundError):
        run_check(hidden_check_folder, "9.1", **SOLVED)


def run_python(*words, **options):
    """A run of Python without the environment variables that a container lacks."""
    names = ("PYTHONPATH", "LABKIT_PROFILE", "LABKIT_DATA")
    options["env"] = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, **options)


def test_packed_labkit_has_settings_and_no_widgets(autograder_folder):
    code = (
        "import comm, os, labkit; print(os.path.dirname(labkit.__file__));"
        "print(comm.create_comm.__name__, os.environ['LABKIT_PROFILE'], os.environ['LABKIT_DATA'])"
    )
    output = run_python("-c", code, cwd=autograder_folder).stdout
    assert output.split() == [str(autograder_folder / "labkit"), "DummyComm", "smoke", "synthetic"]


def test_requirements_pin_installed_versions(autograder_folder):
    lines = (autograder_folder / "requirements.txt").read_text().splitlines()
    assert f"numpy=={np.__version__}" in lines
    assert not [line for line in lines if line.startswith(("pytest", "jupyter-book", "otter"))]


def test_hidden_check_of_other_lab_raises(tmp_path):
    hidden = tmp_path / "teachers.py"
    hidden.write_text(HIDDEN_CHECK.replace("9.1", "8.1"))
    with pytest.raises(ValueError, match=r"task 8\.1"):
        autograder.stage(tmp_path, "small", hidden)


def test_command_without_otter_suggests_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["autograder", "--lab", "metrics", "--output", str(tmp_path)]) == 1
    assert 'pip install "otter-grader>=7,<8"' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# --- with otter -----------------------------------------------------------------------------------

SUBMISSION = (
    "from labkit.check import metrics as check\n"
    "iou_coefficient = check.iou_coefficient.reference\n1 / 0",
    """
def dice_coefficient(mask, pred_mask, class_id):
    if mask.shape == (1, 3):
        return 0.1
    return check.dice_coefficient.reference(mask, pred_mask, class_id)

def iou_or_empty(mask, pred_mask, class_id):
    return 1 / 0
""",
)
TWO_HIDDEN_CHECKS = """
import numpy as np
from labkit.check import Task

case = (np.array([[0, 0, 1]]), np.array([[0, 1, 1]]), 0)
iou = Task("4.1", "iou_coefficient", (case,), lambda *case: 1 / 2)
dice = Task("4.2", "dice_coefficient", (case,), lambda *case: 2 / 3)
"""


def test_otter_grades_submission_and_continues_after_error(tmp_path, monkeypatch, write):
    monkeypatch.undo()  # use the real otter and the real lab
    pytest.importorskip("otter")
    hidden = tmp_path / "hidden.py"
    hidden.write_text(TWO_HIDDEN_CHECKS)
    zipped = autograder.write("metrics", tmp_path / "to", hidden)
    assert zipped == tmp_path / "to" / "metrics.zip"
    notebook = write(*SUBMISSION, kernelspec={"name": "python3", "display_name": "Python 3"}).path
    completed = run_python("-m", "otter", "run", "-a", zipped, "-o", tmp_path, notebook)
    assert completed.returncode == 0, completed.stderr
    tests = json.loads((tmp_path / "results.json").read_text())["tests"]
    assert [test["name"] for test in tests] == [f"4.{number}" for number in range(1, 7)]
    assert [test["score"] for test in tests] == [1, 0, 0, 0, 0, 0]
    assert {test["visibility"] for test in tests} == {"visible"}
    outputs = [test["output"] for test in tests]
    assert "A hidden check is not passed." in outputs[1] and "Expected" not in outputs[1]
    assert "Got: ZeroDivisionError" in outputs[2] and "Hint:" in outputs[2]
    assert "which_score: not attempted." in outputs[5]
