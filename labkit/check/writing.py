"""Questions that are answered in words. A teacher reads the answer; the check only sees one."""

from dataclasses import dataclass

from labkit.check.task import DONE, NOT_YET, WRONG, Answer, short


@dataclass(frozen=True)
class Question:
    """An open question.

    Attributes:
        number, name: as of a ``Task``; the name is that of a variable.
        text: the question, in Markdown.
        words: an answer has at least so many.
    """

    number: str
    name: str
    text: str
    words: int = 30

    def __call__(self, written):
        """The ``Answer``: done if there is text of some length, whatever it says."""
        if written is ... or written is None or written == "":
            return Answer(self.number, self.name, NOT_YET)
        if not isinstance(written, str):
            return Answer(
                self.number,
                self.name,
                WRONG,
                expected="a text, in quotes",
                got=short(written),
                hint='Three quotes before and after it let a text have several lines: """ ... """.',
            )
        count = len(set(written.lower().split()))
        if count < self.words:
            return Answer(
                self.number,
                self.name,
                WRONG,
                expected=f"at least {self.words} different words",
                got=f"{count}",
                hint="Say what you did, what you saw, and what follows.",
            )
        return Answer(self.number, self.name, DONE)
