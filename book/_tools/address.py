"""Where a published course is: what git fetches, its pages, and its notebooks in Google Colab."""

import re
from dataclasses import dataclass
from pathlib import Path

BRANCH = "gh-pages"
PUBLISHED = Path(__file__).resolve().parents[2] / "_build" / "published"
GITHUB = re.compile(r"(?:https://github\.com/|git@github\.com:)([\w.-]+)/([\w.-]+?)(?:\.git)?/?")


@dataclass(frozen=True)
class Address:
    """Addresses without a slash at the end.

    Attributes:
        clone: what ``git fetch`` takes.
        site: of the built book.
        notebooks: of the folder of published notebooks, as a reader opens them.
        in_colab: whether ``notebooks`` opens Google Colab.
    """

    clone: str
    site: str
    notebooks: str
    in_colab: bool


def find(text):
    """The addresses of a course on GitHub, or, for a trial, of one in a folder.

    Raises ValueError for any other, because Colab opens notebooks from GitHub alone.
    """
    if found := GITHUB.fullmatch(text):
        return _on_github(*found.groups())
    folder = Path(text.removeprefix("file://"))
    if text and folder.is_dir():
        site = PUBLISHED.as_uri()
        return Address(folder.resolve().as_uri(), site, f"{site}/colab", in_colab=False)
    raise ValueError(
        f"{text!r} is no address that Google Colab can open: give that of your fork, "
        "https://github.com/NAME/REPOSITORY"
    )


def _on_github(name, repository):
    host = f"{name.lower()}.github.io"
    site = f"https://{host}" if repository.lower() == host else f"https://{host}/{repository}"
    colab = f"https://colab.research.google.com/github/{name}/{repository}/blob/{BRANCH}/colab"
    return Address(f"https://github.com/{name}/{repository}", site, colab, in_colab=True)
