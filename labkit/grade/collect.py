"""From a folder or a ZIP to submissions: whose they are, and the cells to run.

A learning platform's export is understood by its names: Moodle makes a folder for each student
("Name_123_assignsubmission_file"), Canvas one file ("name_123_456_title.ipynb", perhaps "LATE").
Otherwise a student is the first folder, or the file's name where there is none. A folder around
all of them, such as a computer puts into a ZIP of it, is no student.
"""

import json
import os
import re
import tempfile
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MOODLE = re.compile(r"_\d+_assignsubmission_\w+$")
MOST = 20 * 1024**2  # bytes of a notebook, outputs included
MOST_UNPACKED = 4 * 1024**3  # bytes of a ZIP's notebooks together


@dataclass(frozen=True)
class Submission:
    """One notebook of one student.

    Attributes:
        student: the name, as the export gives it.
        path: the file.
        also: other notebooks of the same student, which are not graded.
    """

    student: str
    path: Path
    also: tuple[Path, ...] = ()


class Unreadable(ValueError):
    """No notebook that could be run; the text says why."""


@contextmanager
def opened(place):
    """The folder of submissions: ``place`` itself, or what a ZIP holds, unpacked for the while.

    Raises ValueError if there is no such folder or ZIP.
    """
    place = Path(place)
    if place.is_dir():
        yield place
        return
    if not zipfile.is_zipfile(place):
        raise ValueError(f"{place} is no folder and no ZIP file: give one of them")
    with tempfile.TemporaryDirectory() as folder:
        unpack(place, Path(folder))
        yield Path(folder)


def unpack(place, folder):
    """The notebooks of a ZIP and their times, as files under a folder; none is written outside."""
    with zipfile.ZipFile(place) as packed:
        kept = [entry for entry in packed.infolist() if entry.filename.endswith(".ipynb")]
        if sum(entry.file_size for entry in kept) > MOST_UNPACKED:
            raise ValueError(f"{place} holds more than {MOST_UNPACKED / 1024**3:g} GB: unpack it")
        for entry in kept:
            path = packed.extract(entry, folder)  # takes ".." and absolute paths out of names
            changed = time.mktime((*entry.date_time, 0, 0, -1))
            os.utime(path, (changed, changed))


def submissions(folder):
    """Every student's notebook below a folder, sorted by name.

    Of several notebooks the one that was changed last counts. Raises ValueError if there is none.
    """
    folder = Path(folder)
    inside = [path.relative_to(folder) for path in sorted(folder.rglob("*.ipynb"))]
    inside = [path for path in inside if not any(map(left_out, path.parts))]
    if not inside:
        raise ValueError(f"no notebook (.ipynb) is in {folder}")
    around = folders_around(inside)
    by_student = {}
    for path in inside:
        by_student.setdefault(student_of(path, around), []).append(folder / path)
    found = []
    for student, paths in sorted(by_student.items()):
        last, *others = sorted(paths, key=lambda path: (path.lstat().st_mtime, path), reverse=True)
        found.append(Submission(student, last, tuple(others)))
    return found


def left_out(name):
    """Whether a file or folder is a program's own: a checkpoint, what a Mac adds to a ZIP."""
    return name.startswith((".", "__MACOSX"))


def folders_around(paths):
    """How many folders lie around several notebooks, one in the other: they name no student."""
    if len(paths) == 1:
        return 0
    return len(Path(os.path.commonpath([path.parent for path in paths])).parts)


def student_of(path, around=0):
    """A student's name from where the notebook lies, the first folders ``around`` it left out."""
    for name in path.parts[:-1]:
        if MOODLE.search(name):
            return MOODLE.sub("", name).strip()
    own = path.parts[around:]
    if len(own) > 1:
        return own[0].strip()
    canvas = re.fullmatch(r"(.+?)_(?:LATE_)?\d+_\d+_.*", path.stem)
    return (canvas.group(1) if canvas else path.stem).strip()


def code_cells(path):
    """Sources of the code cells of a notebook, also one of the old format 3.

    Cells may lack anything but their source. Raises ``Unreadable`` with the reason.
    """
    notebook = read(path)
    try:
        language = notebook.get("metadata", {}).get("kernelspec", {}).get("language", "python")
        sheets = [notebook] if "cells" in notebook else notebook["worksheets"]
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
        code = [source_of(cell) for cell in cells if cell.get("cell_type") == "code"]
    except (AttributeError, KeyError, TypeError) as error:
        raise Unreadable("it is no notebook: its cells can't be read") from error
    if str(language).lower() != "python":
        raise Unreadable(f"it is written in {language}, and the lab in Python")
    return code


def source_of(cell):
    """The text of a cell, which a file may hold line by line."""
    source = cell.get("source", cell.get("input", ""))
    return source if isinstance(source, str) else "".join(source)


def read(path):
    """What the file of a notebook holds, a dict."""
    if path.is_symlink() or not path.is_file():
        raise Unreadable("it is a link or no file, not a notebook")
    if path.stat().st_size > MOST:
        raise Unreadable(f"it is larger than {MOST / 1024**2:g} MB: clear its outputs")
    text = path.read_bytes().decode("utf-8", errors="replace").lstrip("\ufeff")
    if not text.strip():
        raise Unreadable("the file is empty")
    if text.lstrip().startswith("<"):
        raise Unreadable("it is a web page, not the notebook: download the .ipynb file itself")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no notebook: {str(error)[:200]}") from error
    if not isinstance(found, dict) or not {"cells", "worksheets"} & found.keys():
        raise Unreadable("it is no notebook: there are no cells")
    return found
