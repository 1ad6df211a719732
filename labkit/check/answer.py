"""The answer of a check, as text and as HTML."""

import html
import re
from dataclasses import dataclass

from labkit.check.text import text_of

CORRECT, NOT_ATTEMPTED, INCORRECT = "correct", "not attempted", "incorrect"
SIGNS = {CORRECT: "✓", NOT_ATTEMPTED: "○", INCORRECT: "✗"}
COLORS = {CORRECT: "#009E73", NOT_ATTEMPTED: "#808080", INCORRECT: "#D55E00"}


class NotDone(NotImplementedError):
    """What the stub of an unsolved task raises; its cells show one line instead of a traceback."""

    def __init__(self, number):
        super().__init__(f"Task {number} is not done yet.")


def open_task(error):
    """The number of the unsolved task that an error comes from, or None.

    By the text, because TensorFlow may wrap the error in one of its own.
    """
    match = re.search(r"Task (\d+\.\d+) is not done yet", text_of(error)) if error else None
    return match and match.group(1)


@dataclass(frozen=True)
class Answer:
    """What a check answers.

    Attributes:
        number, name: of the task.
        state: ``CORRECT``, ``NOT_ATTEMPTED`` or ``INCORRECT``.
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
        return self.state == CORRECT

    def details(self):
        """The texts that are not empty, by title."""
        details = {"Tried": self.tried, "Expected": self.expected, "Got": self.got}
        return {title: text for title, text in {**details, "Hint": self.hint}.items() if text}

    def __repr__(self):
        head = f"Task {self.number}, {self.name}: {self.state}."  # a console may lack the sign
        return "\n".join([head, *(f"  {title}: {text}" for title, text in self.details().items())])

    def _repr_html_(self):
        head = f"{SIGNS[self.state]} {repr(self).splitlines()[0]}"
        rows = "".join(
            f"<div><b>{title}:</b> {html.escape(text)}</div>"
            for title, text in self.details().items()
        )
        style = f"border-left:4px solid {COLORS[self.state]};padding-left:0.7em"
        return f"<div style='{style}'><div><b>{html.escape(head)}</b></div>{rows}</div>"
