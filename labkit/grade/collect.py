"""Submissions in a folder or a ZIP: their students, and the code cells to run.

The names in a learning platform's export identify the students: Moodle makes a folder for each
("Name_123_assignsubmission_file"), Canvas a file ("name_123_456_title.ipynb", perhaps with "LATE").
Otherwise the student is the first folder, or the file's name if there is none. A folder that
contains all submissions, such as the top folder of a ZIP, is not a student.
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
        student: the name in the export.
        path: the file.
        also: other notebooks of the same student, which are not graded.
    """

    student: str
    path: Path
    also: tuple[Path, ...] = ()


class Unreadable(ValueError):
    """Raised for a file that cannot be run as a notebook; the text says why."""


@contextmanager
def opened(place):
    """The folder of submissions: ``place`` itself, or a temporary folder with a ZIP's notebooks.

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
    """Extract the notebooks of a ZIP, with their times, into a folder and never outside it."""
    with zipfile.ZipFile(place) as packed:
        notebooks = [entry for entry in packed.infolist() if entry.filename.endswith(".ipynb")]
        if sum(entry.file_size for entry in notebooks) > MOST_UNPACKED:
            raise ValueError(f"{place} holds more than {MOST_UNPACKED / 1024**3:g} GB: unpack it")
        for entry in notebooks:
            path = packed.extract(entry, folder)  # removes ".." and absolute paths from names
            changed = time.mktime((*entry.date_time, 0, 0, -1))
            os.utime(path, (changed, changed))


def submissions(folder):
    """The submission of every student in a folder, sorted by name.

    Of several notebooks, the last modified one counts. Raises ValueError if there are none.
    """
    folder = Path(folder)
    paths = [path.relative_to(folder) for path in sorted(folder.rglob("*.ipynb"))]
    paths = [path for path in paths if not any(map(left_out, path.parts))]
    if not paths:
        raise ValueError(f"no notebook (.ipynb) is in {folder}")
    around = folders_around(paths)
    by_student = {}
    for path in paths:
        by_student.setdefault(student_of(path, around), []).append(folder / path)
    result = []
    for student, files in sorted(by_student.items()):
        last, *others = sorted(files, key=lambda path: (path.lstat().st_mtime, path), reverse=True)
        result.append(Submission(student, last, tuple(others)))
    return result


def left_out(name):
    """Whether a file or folder is not a submission: a checkpoint, or metadata in a Mac's ZIP."""
    return name.startswith((".", "__MACOSX"))


def folders_around(paths):
    """Number of nested folders that contain all notebooks, and so name no student."""
    if len(paths) == 1:
        return 0
    return len(Path(os.path.commonpath([path.parent for path in paths])).parts)


def student_of(path, around=0):
    """The student's name in a notebook's path, ignoring its first ``around`` folders."""
    for name in path.parts[:-1]:
        if MOODLE.search(name):
            return MOODLE.sub("", name).strip()
    parts = path.parts[around:]
    if len(parts) > 1:
        return parts[0].strip()
    canvas = re.fullmatch(r"(.+?)_(?:LATE_)?\d+_\d+_.*", path.stem)
    return (canvas.group(1) if canvas else path.stem).strip()


def code_cells(path):
    """Sources of the code cells of a notebook in format 3 or 4.

    Cells need no keys but their source. Raises ``Unreadable`` with the reason.
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
    """The source of a cell as one string; files may store it as a list of lines."""
    source = cell.get("source", cell.get("input", ""))
    return source if isinstance(source, str) else "".join(source)


def read(path):
    """The content of a notebook file, a dict."""
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
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no notebook: {str(error)[:200]}") from error
    if not isinstance(notebook, dict) or not {"cells", "worksheets"} & notebook.keys():
        raise Unreadable("it is no notebook: there are no cells")
    return notebook
