"""A whole class: every submission graded, results kept, the report written."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from tqdm import tqdm

from labkit.check.answer import Answer
from labkit.grade import collect, report
from labkit.grade.grader import GradeResult, fingerprint, grade
from labkit.grade.isolation import select_backend
from labkit.grade.sandbox import Limits
from labkit.grade.tasks import hidden_tasks, tasks_of


def grade_class(source, lab, to, hidden=None, jobs=2, limits=Limits(), no_sandbox=False):
    """Grade the notebooks in a folder or a ZIP; returns the ``GradeResult``, one a student.

    What was graded to its end before, by the same checks, is taken from ``to``, so an interrupted
    call goes on and late work is added. Writes grades.csv and report.html there.

    Args:
        source: the folder or ZIP.
        lab: a module of ``labkit.check``, such as "metrics".
        to: folder for results.
        hidden: a Python file with more tasks.
        jobs: submissions at the same time.
        limits: for each submission.
        no_sandbox: run the notebooks without isolation where there is none.

    Raises:
        ValueError: if there is nothing to grade.
        sandbox.Unsafe: if submissions can't be isolated here.
    """
    backend = select_backend(no_sandbox)
    tasks = tasks_of(lab)
    more = hidden_tasks(hidden, tasks) if hidden else {}
    kept = Path(to) / "kept"
    kept.mkdir(parents=True, exist_ok=True)
    with collect.opened(source) as folder:
        found = collect.submissions(folder)
        files = [kept / f"{fingerprint(one, lab, hidden)}.json" for one in found]
        each = dict(zip(files, found, strict=True))  # of equal notebooks one is graded

        def result_of(file):
            return load(file) or save(file, grade(each[file], lab, more, limits, backend))

        with ThreadPoolExecutor(jobs) as pool:
            graded = list(tqdm(pool.map(result_of, each), total=len(each), unit="notebook"))
    by_file = dict(zip(each, graded, strict=True))
    results = [named(by_file[file], one) for file, one in zip(files, found, strict=True)]
    report.write(results, tasks, to)
    return results


def named(result, submission):
    """A notebook's result as that of this submission, whose other notebooks are noted."""
    also = len(submission.also)
    note = f"{also} more notebook{'s' if also > 1 else ''}, not graded"
    notes = (note, *result.notes) if also else result.notes
    return replace(result, student=submission.student, notes=notes)


def save(file, result):
    """Keep a result as JSON, whole or not at all; returns it.

    A problem is not kept: it may be one of a busy machine, and gone the next time.
    """
    if result.problem:
        return result
    work = file.with_suffix(".new")
    work.write_text(json.dumps(asdict(result)), encoding="utf-8")
    work.replace(file)
    return result


def load(file):
    """A result that was kept, or None."""
    if not file.exists():
        return None
    kept = json.loads(file.read_text(encoding="utf-8"))
    answers = {number: Answer(**answer) for number, answer in kept.pop("answers").items()}
    lists = {name: tuple(kept.pop(name)) for name in ("notes", "code")}
    return GradeResult(**kept, **lists, answers=answers)
