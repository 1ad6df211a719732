"""Questions that are answered in words: a teacher reads the answer, the check counts its words."""

from dataclasses import dataclass

from labkit.check.answer import CORRECT, INCORRECT, NOT_ATTEMPTED, Answer
from labkit.check.text import short


@dataclass(frozen=True)
class Question:
    """An open question.

    Attributes:
        number, name: as of a ``Task``; the name is that of a variable.
        words: the fewest different words of an answer.
    """

    number: str
    name: str
    words: int = 30

    def __call__(self, text):
        """The ``Answer``: correct if there is text of some length, whatever it says."""
        if text is ... or text is None or (isinstance(text, str) and not text.strip()):
            return Answer(self.number, self.name, NOT_ATTEMPTED)
        if not isinstance(text, str):
            return Answer(
                self.number,
                self.name,
                INCORRECT,
                expected="a text, in quotes",
                got=short(text),
                hint='Three quotes before and after it let a text have several lines: """ ... """.',
            )
        count = len(set(text.lower().split()))
        if count < self.words:
            return Answer(
                self.number,
                self.name,
                INCORRECT,
                expected=f"at least {self.words} different words",
                got=f"{count}",
                hint="Say what you did, what you saw, and what follows.",
            )
        return Answer(self.number, self.name, CORRECT)
