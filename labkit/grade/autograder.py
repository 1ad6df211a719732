"""A lab's zip for otter-grader, which is what Gradescope runs, and ``otter grade`` in Docker.

otter runs a notebook and then, in the same process, a test file for each task. ``ask`` is what
those files call. labkit travels in the zip, so the checks are those of the teacher's clone.
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

HIDDEN = Path(__file__).with_name("hidden.py")  # in a zip with hidden checks alone
CONFIG = {  # each task's answer, once, and at once
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
    """What a student is told; otter shows the text of an error."""


def write(lab, to, hidden=None):
    """Write the zip of a lab; returns its path.

    Args:
        lab: a module of ``labkit.check``, such as "metrics".
        to: folder for LAB.zip.
        hidden: a Python file with more tasks.

    Raises:
        ValueError: if otter is not installed or fails, or the hidden tasks are not the lab's.
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
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"otter generate failed: {done.stderr.strip()}")
    return path


def stage(folder, lab, hidden=None):
    """Lay out what ``otter generate`` looks for: tests, configuration, requirements, labkit."""
    tasks = tasks_of(lab)
    more = hidden_tasks(hidden, tasks) if hidden else {}
    (folder / "tests").mkdir()
    for number, task in tasks.items():
        test = TEST.format(lab=lab, number=number, name=task.name, hidden=number in more)
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
    """Raise ``NotPassed``, with the answer in words, unless a task of a lab is done.

    Args:
        lab, number: which task.
        namespace: what the notebook defines, by name.
        hidden: whether there is a hidden check too.
    """
    tasks = tasks_of(lab)
    task = tasks[number]
    written = namespace.get(task.name, ...)
    answer = task(written)
    if answer.passed and hidden and not hidden_tasks(HIDDEN, tasks)[number](written).passed:
        answer = withheld(task)
    if not answer.passed:
        raise NotPassed(answer)
