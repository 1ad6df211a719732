"""A student's answer, held against what it should give.

A check never raises and never prints: it gives an ``Answer``, which a notebook shows in words. A
hint is found by imitation. Each task has a list of mistakes that people make, as functions; if
the student's function gives what one of them gives, in every case, its hint is the one that fits.
"""

import copy
import html
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

DONE, NOT_YET, WRONG = "done", "not done yet", "not right yet"
SIGNS = {DONE: "✓", NOT_YET: "○", WRONG: "✗"}
COLOURS = {DONE: "#009E73", NOT_YET: "#808080", WRONG: "#D55E00"}


class NotDone(NotImplementedError):
    """What an unsolved task raises; its cells show a line in the place of a traceback."""

    def __init__(self, number):
        super().__init__(f"Task {number} is not done yet.")


def open_task(error):
    """The number of the unsolved task that an error comes from, or None.

    By the text, because TensorFlow may wrap the error in one of its own.
    """
    found = re.search(r"Task (\d+\.\d+) is not done yet", text_of(error)) if error else None
    return found and found.group(1)


@dataclass(frozen=True)
class Answer:
    """What a check says.

    Attributes:
        number, name: of the task.
        state: ``DONE``, ``NOT_YET`` or ``WRONG``.
        tried, expected, got: of the first case that failed, as text.
        hint: what to look at. Never the solution.
    """

    number: str
    name: str
    state: str
    tried: str = ""
    expected: str = ""
    got: str = ""
    hint: str = ""

    @property
    def passed(self):
        return self.state == DONE

    def lines(self):
        """What there is to say, by title."""
        said = {"Tried": self.tried, "Expected": self.expected, "Got": self.got, "Hint": self.hint}
        return {title: text for title, text in said.items() if text}

    def __repr__(self):
        head = f"{SIGNS[self.state]} Task {self.number}, {self.name}: {self.state}."
        return "\n".join([head, *(f"  {title}: {text}" for title, text in self.lines().items())])

    def _repr_html_(self):
        head, *_ = repr(self).splitlines()
        rows = "".join(
            f"<div><b>{title}:</b> {html.escape(text)}</div>"
            for title, text in self.lines().items()
        )
        style = f"border-left:4px solid {COLOURS[self.state]};padding-left:0.7em"
        return f"<div style='{style}'><div><b>{html.escape(head)}</b></div>{rows}</div>"


def called(function, *case):
    """How most answers are used: the function is called."""
    return function(*case)


@dataclass(frozen=True)
class Task:
    """A function or a class that the student writes.

    Attributes:
        number: such as "4.1".
        name: of the function.
        text: what goes in, what comes out, and an example, in Markdown.
        cases: tuples of arguments to try, the simplest first.
        right: a function that gives what is expected. If it raises, the student's has to.
        mistakes: pairs of a function that makes a mistake, and the hint for it.
        use: what is compared is ``use(function, *case)``, for the student's, the right one and
            the mistaken ones alike; by default the function is called. A dict or a tuple is
            compared part by part.
        whole: what comes out must be of an integer type.
        strict: axes of length 1 count; else they are dropped before the comparison.
        tolerance: relative and absolute.
    """

    number: str
    name: str
    text: str
    cases: tuple
    right: Callable
    mistakes: tuple = ()
    use: Callable = called
    whole: bool = False
    strict: bool = False
    tolerance: float = 1e-4
    _known: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __call__(self, function):
        """The ``Answer`` to a student's function."""
        if function is ... or function is None:
            return self.answer(NOT_YET)
        if not callable(function):
            return self.answer(
                WRONG,
                expected="a function",
                got=f"{type(function).__name__}: {short(function)}",
                hint=f"Give the function itself: {self.name}, without brackets behind it.",
            )
        return self.judge([self.attempt(function, case) for case in self.cases])

    def judge(self, outcomes):
        """The ``Answer`` to the ``Outcome`` of each case."""
        if any(open_task(outcome.error) for outcome in outcomes):
            return self.answer(NOT_YET)
        for number, (case, outcome) in enumerate(zip(self.cases, outcomes, strict=True)):
            wanted = self.outcome_of(self.right, number)
            if fault := self.fault(outcome, wanted):
                return self.answer(
                    WRONG,
                    tried=call(self.name, self.right, case),
                    expected="an error" if wanted.error else short(wanted.value),
                    got=outcome.text(),
                    hint=self.known(outcomes) or fault,
                )
        return self.answer(DONE)

    def answer(self, state, **said):
        return Answer(self.number, self.name, state, **said)

    def attempt(self, function, case):
        """The ``Outcome`` of a function for one case, which it can't spoil for others."""
        given = copy.deepcopy(case)
        try:
            with np.errstate(all="ignore"):
                value = self.use(function, *given)
        except (Exception, SystemExit) as error:  # whatever it does, the check goes on
            return Outcome(error=error)
        changed = any(not same(after, before) for after, before in zip(given, case, strict=True))
        return Outcome(value, changed=changed)

    def outcome_of(self, function, number):
        """The ``Outcome`` of the right function or a mistaken one for a case, worked out once."""
        key = id(function), number
        if key not in self._known:
            self._known[key] = self.attempt(function, self.cases[number])
        return self._known[key]

    def known(self, outcomes):
        """The hint of the mistake that gives the same in every case, or None."""
        for mistaken, hint in self.mistakes:
            if all(
                not self.fault(outcome, self.outcome_of(mistaken, number))
                for number, outcome in enumerate(outcomes)
            ):
                return hint
        return None

    def fault(self, outcome, wanted):
        """A general hint if an outcome is not the one wanted, else None."""
        if wanted.error:
            return None if outcome.error else "This input is wrong, and has to end in an error."
        if outcome.error:
            return from_error(outcome.error)
        if outcome.value is None:
            return "The function gives None. Does it end with a return?"
        if outcome.changed:
            return "The function changes the arrays that it is given. Work on a copy."
        return self.difference(outcome.value, wanted.value)

    def difference(self, got, wanted):
        """Words for how two values differ, or None if they agree."""
        if isinstance(wanted, tuple):
            if not isinstance(got, tuple | list) or len(got) != len(wanted):
                return f"{len(wanted)} values have to come out, with a comma between them."
            pairs = zip(got, wanted, strict=True)
            return next(filter(None, (self.difference(*pair) for pair in pairs)), None)
        if isinstance(wanted, dict):
            return self.difference_of_parts(got, wanted)
        if isinstance(wanted, str | bool | type(None)):
            return None if equal(got, wanted) else f"{short(got)} is not {short(wanted)}."
        got, wanted = array(got), array(wanted)
        if got is None:
            return "What comes out is no number and no array of numbers."
        if not self.strict:
            got, wanted = np.squeeze(got), np.squeeze(wanted)
        if got.shape != wanted.shape:
            return f"The shape is {got.shape}, and {wanted.shape} is expected."
        if self.whole and not np.issubdtype(got.dtype, np.integer):
            return f"The values are {got.dtype}: labels have to be whole numbers, such as uint8."
        near = {"rtol": self.tolerance, "atol": self.tolerance, "equal_nan": True}
        if np.allclose(got.astype(float), wanted.astype(float), **near):
            return None
        if np.isnan(got.astype(float)).any():
            return "There is a NaN in it, which is what 0 / 0 gives."
        return "The shape is right, the values are not. Work out what was tried by hand."

    def difference_of_parts(self, got, wanted):
        """Words for the first part of a dict that differs, or None."""
        if not isinstance(got, dict) or not wanted.keys() <= got.keys():
            return f"A dict with {', '.join(map(repr, wanted))} has to come out."
        for name, part in wanted.items():
            if found := self.difference(got[name], part):
                return f"{name}: {found}"
        return None


@dataclass(frozen=True)
class Outcome:
    """What a function did with one case."""

    value: object = None
    error: BaseException | None = None
    changed: bool = False

    def text(self):
        if self.error is None:
            return short(self.value)
        first = (text_of(self.error).splitlines() or [""])[0]
        return cut(f"{type(self.error).__name__}: {first}", 500)


def equal(got, wanted):
    """Whether a value is this text, truth value or None."""
    try:
        return bool(got == wanted)
    except Exception:  # an array of several values has no truth value
        return False


def same(after, before):
    """Whether an argument is as it was; what is no array is taken to be."""
    if not isinstance(before, np.ndarray):
        return True
    return np.array_equal(after, before, equal_nan=np.issubdtype(before.dtype, np.floating))


def array(value):
    """A value as a NumPy array of numbers, or None."""
    try:
        if hasattr(value, "detach"):  # PyTorch
            value = value.detach().cpu()
        found = np.asarray(value)
        found.astype(float)
    except Exception:  # whatever __array__ a student has written; a number too large for a float
        return None
    return found


def from_error(error):
    """What to look at after an error."""
    known = {
        TypeError: "Compare the function's arguments with those of the task, and their types.",
        NameError: "A name is not known inside the function. Is it spelt right, and imported?",
        IndexError: "A place is asked for that the array does not have. Print its shape.",
        AttributeError: "Something is not what it is taken for. Print its type.",
        ZeroDivisionError: "What should come out when the divisor is 0?",
    }
    for kind, hint in known.items():
        if isinstance(error, kind):
            return hint
    return "The function ends with an error. Run it on what was tried, and read the last line."


def call(name, function, case):
    """A call as text: "iou(mask=[[0, 1]], class_id=0)"."""
    names = list(inspect.signature(function).parameters)
    given = [f"{key}={short(value)}" for key, value in zip(names, case, strict=False)]
    return f"{name}({', '.join(given)})"


def short(value, most=200):
    """A value as text that fits a screen: ``most`` characters of a part, 5 times that of all."""
    try:
        return cut(parts(value, most), 5 * most)
    except Exception:  # parts in parts without end
        return f"something of type {type(value).__name__}"


def parts(value, most):
    """A value as text, each part of it cut."""
    if isinstance(value, tuple):
        return f"({', '.join(parts(part, most) for part in value)})"
    if isinstance(value, dict):
        return ", ".join(f"{name} {parts(part, most)}" for name, part in value.items())
    found = array(value) if not isinstance(value, str | bytes) else None
    if found is None or found.dtype == object:
        return cut(text_of(value, repr), most)
    if found.size > 40:
        return f"{found.dtype} array of shape {found.shape}, from {found.min()} to {found.max()}"
    return str(
        np.round(found.astype(float), 4).tolist() if found.dtype.kind == "f" else found.tolist()
    )


def text_of(value, how=str):
    """``str`` or ``repr`` of a value, which may be a student's own and raise."""
    try:
        return how(value)
    except Exception:
        return f"something of type {type(value).__name__}"


def cut(text, most):
    return text if len(text) <= most else f"{text[:most]}..."
