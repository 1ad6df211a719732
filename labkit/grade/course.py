"""A whole class: every submission graded, results kept, the report written."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from labkit.check.task import Answer
from labkit.grade import collect, report
from labkit.grade.marks import Marks, fingerprint, grade
from labkit.grade.places import find
from labkit.grade.sandbox import Limits
from labkit.grade.tasks import hidden_tasks, tasks_of


def grade_class(source, lab, to, hidden=None, jobs=2, limits=Limits(), trusted=False):
    """Grade the notebooks in a folder or a ZIP; returns the ``Marks``, one a student.

    What was graded before, by the same checks, is taken from ``to``, so an interrupted call goes
    on and late work is added. Writes grades.csv and report.html there.

    Args:
        source: the folder or ZIP.
        lab: a module of ``labkit.check``, such as "metrics".
        to: folder for results.
        hidden: a Python file with more tasks.
        jobs: submissions at the same time.
        limits: for each submission.
        trusted: run the notebooks without isolation where there is none.

    Raises:
        ValueError: if there is nothing to grade.
        sandbox.Unsafe: if submissions can't be isolated here.
    """
    place = find(trusted)
    tasks = tasks_of(lab)
    more = hidden_tasks(hidden, tasks) if hidden else {}
    kept = Path(to) / "kept"
    kept.mkdir(parents=True, exist_ok=True)
    with collect.opened(source) as folder:
        found = collect.submissions(folder)

        def one(submission):
            file = kept / f"{fingerprint(submission, lab, hidden)}.json"
            return load(file, submission) or save(file, grade(submission, lab, more, limits, place))

        with ThreadPoolExecutor(jobs) as pool:
            all_marks = list(tqdm(pool.map(one, found), total=len(found), unit="notebook"))
    report.write(all_marks, tasks, to)
    return all_marks


def save(file, marks):
    """Keep marks as JSON, whole or not at all; returns them."""
    work = file.with_suffix(".new")
    work.write_text(json.dumps(asdict(marks)), encoding="utf-8")
    work.replace(file)
    return marks


def load(file, submission):
    """Marks that were kept, under the name of this submission, or None."""
    if not file.exists():
        return None
    kept = json.loads(file.read_text(encoding="utf-8"))
    answers = {number: Answer(**answer) for number, answer in kept.pop("answers").items()}
    lists = {name: tuple(kept.pop(name)) for name in ("notes", "code")}
    return Marks(**kept | {"student": submission.student}, **lists, answers=answers)
