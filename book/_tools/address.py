"""Addresses of a published course: its repository, its pages, its notebooks in Google Colab."""

import re
from dataclasses import dataclass
from pathlib import Path

import paths

BRANCH = "gh-pages"
GITHUB = re.compile(r"(?:https://github\.com/|git@github\.com:)([\w.-]+)/([\w.-]+?)(?:\.git)?/?")


@dataclass(frozen=True)
class Address:
    """Addresses of a published course, without a slash at the end.

    Attributes:
        clone: of the repository, for ``git fetch``.
        site: of the built book.
        notebooks: of the folder of published notebooks, as a reader opens them.
        in_colab: whether ``notebooks`` opens Google Colab.
    """

    clone: str
    site: str
    notebooks: str
    in_colab: bool


def find(text):
    """Return the ``Address`` of a course on GitHub or, to try publishing, in a local folder.

    Raises:
        ValueError: for any other text, because Colab opens notebooks from GitHub only.
    """
    if found := GITHUB.fullmatch(text):
        return _on_github(*found.groups())
    folder = Path(text.removeprefix("file://"))
    if text and folder.is_dir():
        site = paths.PUBLISHED.as_uri()
        return Address(folder.resolve().as_uri(), site, f"{site}/colab", in_colab=False)
    raise ValueError(
        f"address is {text!r}, from which Google Colab opens no notebooks: use that of your fork, "
        "https://github.com/NAME/REPOSITORY"
    )


def _on_github(name, repository):
    host = f"{name.lower()}.github.io"
    site = f"https://{host}" if repository.lower() == host else f"https://{host}/{repository}"
    colab = f"https://colab.research.google.com/github/{name}/{repository}/blob/{BRANCH}/colab"
    return Address(f"https://github.com/{name}/{repository}", site, colab, in_colab=True)
