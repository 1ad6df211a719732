"""A whole class: every submission graded, results kept, the report written."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
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

    What was graded to its end before, by the same checks, is taken from ``to``, so an interrupted
    call goes on and late work is added. Writes grades.csv and report.html there.

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
        files = [kept / f"{fingerprint(one, lab, hidden)}.json" for one in found]
        each = dict(zip(files, found, strict=True))  # of equal notebooks one is graded

        def marks_of(file):
            return load(file) or save(file, grade(each[file], lab, more, limits, place))

        with ThreadPoolExecutor(jobs) as pool:
            graded = list(tqdm(pool.map(marks_of, each), total=len(each), unit="notebook"))
    by_file = dict(zip(each, graded, strict=True))
    all_marks = [named(by_file[file], one) for file, one in zip(files, found, strict=True)]
    report.write(all_marks, tasks, to)
    return all_marks


def named(marks, submission):
    """Marks of a notebook as those of this submission, whose other notebooks are noted."""
    also = len(submission.also)
    note = f"{also} more notebook{'s' if also > 1 else ''}, not graded"
    notes = (note, *marks.notes) if also else marks.notes
    return replace(marks, student=submission.student, notes=notes)


def save(file, marks):
    """Keep marks as JSON, whole or not at all; returns them.

    A problem is not kept: it may be one of a busy machine, and gone the next time.
    """
    if marks.problem:
        return marks
    work = file.with_suffix(".new")
    work.write_text(json.dumps(asdict(marks)), encoding="utf-8")
    work.replace(file)
    return marks


def load(file):
    """Marks that were kept, or None."""
    if not file.exists():
        return None
    kept = json.loads(file.read_text(encoding="utf-8"))
    answers = {number: Answer(**answer) for number, answer in kept.pop("answers").items()}
    lists = {name: tuple(kept.pop(name)) for name in ("notes", "code")}
    return Marks(**kept, **lists, answers=answers)
