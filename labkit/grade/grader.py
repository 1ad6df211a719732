"""Grades one submission: runs its cells in a container and judges its answers outside."""

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import labkit
from labkit.check.answer import INCORRECT, NOT_ATTEMPTED, Answer, open_task
from labkit.check.engine import Task
from labkit.check.question import Question
from labkit.grade import names
from labkit.grade.collect import MOST, Unreadable, code_cells
from labkit.grade.container import Container
from labkit.grade.process import Limits
from labkit.grade.session import Ended, Session
from labkit.grade.tasks import tasks_of, withheld

UNFINISHED = "The check could not finish"
PROCESSES = 4  # of one submission, if its functions end them
NAMED = 3  # cells that raised, which the notes name


@dataclass(frozen=True)
class GradeResult:
    """The result of a submission.

    Attributes:
        student: the name.
        answers: an ``Answer`` for each task, by number.
        problem: why the notebook did not run to its end; "" if it did.
        notes: for the teacher to look at.
        words: the written answers, by number.
        code: the distinct lines of code, for comparing submissions.
        id: of the student in the learning platform, or "".
    """

    student: str
    answers: dict
    problem: str = ""
    notes: tuple = ()
    words: dict | None = None
    code: tuple = ()
    id: str = ""

    @property
    def points(self):
        """Number of tasks that are done."""
        return sum(answer.passed for answer in self.answers.values())


def grade(submission, lab, hidden=None, limits=Limits(), backend=Container, forbidden=()):
    """The ``GradeResult`` of a submission. No content of a submission makes it raise.

    Args:
        submission: a ``collect.Submission``.
        lab: a module of ``labkit.check``, such as "metrics".
        hidden: hidden ``Task`` objects by number (``hidden_tasks``); an answer must pass both.
        limits: of the container.
        backend: as for ``session.Session``.
        forbidden: full names, such as "sklearn.metrics", that no function may use.
    """
    tasks = tasks_of(lab)
    answers = {number: Answer(number, task.name, NOT_ATTEMPTED) for number, task in tasks.items()}
    if submission.path is None:
        return GradeResult(submission.student, answers, submission.problem)
    try:
        cells = code_cells(submission.path)
    except (Unreadable, OSError) as problem:
        return GradeResult(submission.student, answers, str(problem))
    code = tuple(sorted({line.strip() for cell in cells for line in cell.splitlines()} - {""}))
    notes, refused = read(cells, tasks, forbidden)
    result = GradeResult(submission.student, answers, notes=notes, code=code)
    result = run(result, cells, tasks, lab, hidden or {}, partial(Session, limits, backend))
    refused = {number: one for number, one in refused.items() if result.answers[number].passed}
    return replace(result, answers={**result.answers, **refused})


def read(cells, tasks, forbidden):
    """Notes on what the code uses, and answers in place of right ones that use what is forbidden.

    Where something is forbidden, code that can't be searched is not accepted.
    """
    functions = {number: task for number, task in tasks.items() if isinstance(task, Task)}
    try:
        notebook = names.Notebook(cells)
        notes = names.notes(notebook, functions)
        used = {n: names.among(notebook.uses(t.name), forbidden) for n, t in functions.items()}
        hints = {
            n: f"It uses {names.shown(found)}: not allowed." for n, found in used.items() if found
        }
    except Exception as error:  # one notebook must not end the grading of a class
        known = isinstance(error, names.Unreadable)
        notes = [str(error) if known else f"its code can't be searched: {type(error).__name__}"]
        hints = dict.fromkeys(
            functions if forbidden else (), "Its code can't be searched for names."
        )
    refused = {n: Answer(n, tasks[n].name, INCORRECT, hint=hint) for n, hint in hints.items()}
    return tuple(notes), refused


def run(result, cells, tasks, lab, hidden, start):
    """The result with the answers that the submission gives.

    A function that ends the process, or whose values break the judge, loses its own task: another
    process is asked for the rest.

    Args:
        start: a function that returns a new ``Session``.
    """
    answers, words, left, ended = dict(result.answers), {}, [*tasks], ()
    raised, problem, visible = (), "", {}
    for _ in range(PROCESSES):
        session = start()  # outside of ``try``: a missing container is not the submission's fault
        has_run = False
        try:
            with session:
                raised = errors_in(session.run(cells))
                has_run = True
                while left:
                    number, answer = left[0], ask(session, tasks[left[0]], lab, words)
                    if number in hidden and answer.passed:
                        visible[number], answer = answer, withheld(tasks[number])
                    answers[number] = answer
                    left.pop(0)
                ask_hidden(answers, visible, tasks, hidden, session)
                problem = ""
                break
        except Exception as error:
            problem = reason_of(error)
        if not has_run or not left:  # its cells, or a hidden check
            break
        number = left.pop(0)
        hint = f"{UNFINISHED}: {problem}."
        answers[number] = Answer(number, tasks[number].name, INCORRECT, hint=hint)
        ended = (*ended, f"task {number}: {problem}")
    notes = (*result.notes, *ended, *raised)
    texts = {number: text for number, text in words.items() if isinstance(text, str)}
    return replace(result, answers=answers, problem=problem, notes=notes, words=texts)


def reason_of(error):
    """Why a submission gave no answer, as text."""
    if isinstance(error, Ended):
        return str(error)
    return f"its answers can't be judged: {type(error).__name__}"  # values made to break the judge


def ask(session, task, lab, words):
    """The ``Answer`` to a visible check; what a student wrote goes into ``words``."""
    if not isinstance(task, Question):
        return judged(session, task, lab)
    words[task.number] = session.value(task.name)
    return task(words[task.number])


def errors_in(errors):
    """A note on the cells that raised, except those that wait for a task: a tuple of texts."""
    found = [
        f"code cell {number}: {error.splitlines()[0]}"
        for number, error in enumerate(errors, start=1)
        if error and not open_task(error)
    ]
    more = (f"{len(found) - NAMED} more cells raised",) if len(found) > NAMED else ()
    return (*found[:NAMED], *more)


def judged(session, task, lab):
    """The answer to a visible check."""
    return task.verdict(session.outcomes(task.name, task, lab))


def ask_hidden(answers, visible, tasks, hidden, session):
    """Give back the answers that pass the hidden check too, of those that pass the visible one.

    They were withheld, because the notebook may end before its hidden check. It runs last, so that
    a notebook that stores hidden cases cannot show them in the report.
    """
    for number, answer in visible.items():
        if hidden[number].verdict(session.outcomes(tasks[number].name, hidden[number])).passed:
            answers[number] = answer


def fingerprint(submission, lab, hidden_file=None, forbidden=()):
    """A hash of all that a result depends on: labkit, the notebook, the hidden checks, and so on.

    Not of the paths, which can be written in several ways.
    """
    files = sorted(Path(labkit.__file__).parent.rglob("*.py"))
    files += [Path(file) for file in (submission.path, hidden_file) if file]
    digest = hashlib.sha256(f"{lab} {submission.problem} {sorted(forbidden)}".encode())
    for file in files:
        digest.update(hashlib.sha256(beginning(file)).digest())
    return digest.hexdigest()[:16]


def beginning(file):
    """The bytes of a file, as many as a notebook may have; b"-" if it can't be read."""
    try:
        if file.is_symlink() or not file.is_file():
            return b"-"
        with open(file, "rb") as opened:
            return opened.read(MOST)
    except OSError:
        return b"-"
