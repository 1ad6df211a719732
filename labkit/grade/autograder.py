"""Zip files for otter-grader, which Gradescope and ``otter grade`` (in Docker) run.

otter runs a notebook and then, in the same process, a test file for each task, which calls ``ask``.
The zip contains labkit, so the checks are those of the teacher's clone.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from labkit.grade.container import pins
from labkit.grade.tasks import hidden_tasks, tasks_of, withheld

HIDDEN = Path(__file__).with_name("hidden.py")  # exists only in zips with hidden checks
CONFIG = {  # show each task's answer once and immediately
    "show_all_public": True,
    "show_hidden": True,
    "force_public_test_summary": False,
}
SETTINGS = """
# Added by labkit autograder: few drawn pets, as in labkit grade, and no widgets, because running
# one can block for ever (jupyter/nbclient#312).
import comm

os.environ.setdefault("LABKIT_PROFILE", "smoke")
os.environ.setdefault("LABKIT_DATA", "synthetic")
comm.create_comm = comm.DummyComm
"""
TEST = """\
from otter.test_files import test_case

from labkit.grade.autograder import ask

OK_FORMAT = False
name = "{number}"
points = 1


@test_case(name="{name}")
def check(env):
    ask("{lab}", "{number}", env, hidden={hidden})
"""


class NotPassed(Exception):
    """Raised for a task that is not done; otter shows its text to the student."""


def write(lab, to, hidden=None):
    """Write the zip of a lab and return its path.

    Args:
        lab: a module of ``labkit.check``, such as "metrics".
        to: folder for LAB.zip.
        hidden: a Python file with hidden checks for tasks of the lab.

    Raises:
        ValueError: if otter is not installed or fails, or a hidden task is not one of the lab's.
    """
    if importlib.util.find_spec("otter") is None:
        raise ValueError('otter-grader is not here: pip install "otter-grader>=7,<8"')
    path = Path(to).resolve() / f"{lab}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder), lab, hidden)
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        otter = [sys.executable, "-m", "otter", "generate", "--python-version", python]
        command = [*otter, "--output-path", str(path), "labkit"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        raise ValueError(f"otter generate failed: {result.stderr.strip()}")
    return path


def stage(folder, lab, hidden=None):
    """Write the input of ``otter generate``: tests, configuration, requirements, labkit."""
    tasks = tasks_of(lab)
    hidden_by_number = hidden_tasks(hidden, tasks) if hidden else {}
    (folder / "tests").mkdir()
    for number, task in tasks.items():
        is_hidden = number in hidden_by_number
        test = TEST.format(lab=lab, number=number, name=task.name, hidden=is_hidden)
        (folder / "tests" / f"{number}.py").write_text(test)
    (folder / "otter_config.json").write_text(json.dumps(CONFIG))
    (folder / "requirements.txt").write_text("\n".join(pins()))
    package = folder / "labkit"
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(__file__).parents[1], package, ignore=compiled)
    with open(package / "__init__.py", "a", encoding="utf-8") as file:
        file.write(SETTINGS)
    if hidden:
        shutil.copy(hidden, package / "grade" / HIDDEN.name)


def ask(lab, number, namespace, hidden=False):
    """Raise ``NotPassed`` with the answer as text unless a task of a lab is done.

    Args:
        lab, number: of the task.
        namespace: the notebook's variables by name.
        hidden: whether the task also has a hidden check.
    """
    tasks = tasks_of(lab)
    task = tasks[number]
    value = namespace.get(task.name, ...)
    answer = task(value)
    if answer.passed and hidden and not hidden_tasks(HIDDEN, tasks)[number](value).passed:
        answer = withheld(task)
    if not answer.passed:
        raise NotPassed(answer)
