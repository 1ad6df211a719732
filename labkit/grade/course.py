"""Grades every submission of a class, saves the results and writes the report."""

import json
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path

from tqdm import tqdm

from labkit.check.answer import Answer
from labkit.grade import collect, report
from labkit.grade.container import select_backend
from labkit.grade.grader import UNFINISHED, GradeResult, fingerprint, grade
from labkit.grade.process import ENDED, Process
from labkit.grade.tasks import hidden_tasks, tasks_of


def grade_class(source, lab, to, hidden=None, jobs=2, no_container=False, forbidden=()):
    """Grade the notebooks in a folder or a ZIP; returns a ``GradeResult`` for each student.

    Writes grades.csv and report.html to ``to``. Results that the same code saved there before are
    loaded, so another call resumes an interrupted one and adds late work.

    Args:
        source: the folder or ZIP.
        lab: a module of ``labkit.check``, such as "metrics".
        to: folder for results.
        hidden: a Python file with hidden checks for tasks of the lab.
        jobs: number of submissions graded at the same time.
        no_container: run the notebooks without isolation if none is available.
        forbidden: full names, such as "sklearn.metrics"; a task that uses one is not correct.

    Raises:
        ValueError: if there is nothing to grade.
        container.Unsafe: if submissions can't be isolated on this machine.
    """
    backend = select_backend(no_container)
    tasks = tasks_of(lab)
    hidden_by_number = hidden_tasks(hidden, tasks) if hidden else {}
    cache = Path(to) / "kept"
    cache.mkdir(parents=True, exist_ok=True)
    with collect.opened(source) as exported:
        submissions = collect.submissions([file for file in exported if not within(file, to)])
        files = [cache / f"{fingerprint(s, lab, hidden, forbidden)}.json" for s in submissions]
        by_file = dict(zip(files, submissions, strict=True))  # equal notebooks are graded once

        def result_of(file):
            options = {"hidden": hidden_by_number, "backend": backend, "forbidden": forbidden}
            return load(file) or save(file, grade(by_file[file], lab, **options))

        graded = in_parallel(result_of, by_file, jobs)
        for file, result in graded.items():
            if result.problem.startswith(ENDED):  # perhaps because the machine was short of memory
                graded[file] = result_of(file)
    results = [named(graded[f], s) for f, s in zip(files, submissions, strict=True)]
    report.write(results, tasks, to)
    return results


def within(file, folder):
    """Whether a file of the source is in the folder of results."""
    return bool(file.path) and file.path.resolve().is_relative_to(Path(folder).resolve())


def in_parallel(action, values, jobs):
    """The results of an action by value. When interrupted, it ends the submissions that run."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(action, value): value for value in values}
        try:
            done = tqdm(as_completed(futures), total=len(futures), unit="notebook")
            return {futures[future]: future.result() for future in done}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in futures):  # one may just be starting
                Process.end_all()
                time.sleep(0.1)
            raise


def named(result, submission):
    """The result with the submission's student and id, and a note on ungraded notebooks."""
    also = len(submission.also)
    note = f"{also} more notebook{'s' if also > 1 else ''}, not graded"
    notes = (note, *result.notes) if also else result.notes
    return replace(result, student=submission.student, id=submission.id, notes=notes)


def save(file, result):
    """Save a result as JSON in one step and return it.

    A result with a problem is not saved: a busy machine may have caused it.
    """
    if result.problem or any(a.hint.startswith(UNFINISHED) for a in result.answers.values()):
        return result
    partial = file.with_suffix(".new")
    partial.write_text(json.dumps(asdict(result)), encoding="utf-8")
    partial.replace(file)
    return result


def load(file):
    """A saved result, or None."""
    if not file.exists():
        return None
    fields = json.loads(file.read_text(encoding="utf-8"))
    answers = {number: Answer(**answer) for number, answer in fields.pop("answers").items()}
    tuples = {name: tuple(fields.pop(name)) for name in ("notes", "code")}
    return GradeResult(**fields, **tuples, answers=answers)
