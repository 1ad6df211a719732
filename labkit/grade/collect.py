"""Submissions in a folder or a ZIP: their students, and the code cells to run.

The names in a learning platform's export identify the students: Moodle makes a folder for each
("Name_123_assignsubmission_file"), Canvas a file ("name_123_456_title.ipynb", perhaps with "LATE");
123 is the platform's id of the student. Otherwise the student is the first folder, or the file's
name if there is none. A folder that contains all submissions, such as the top folder of a ZIP, is
not a student. Whoever handed in no notebook is a submission with the reason.
"""

import json
import os
import re
import tempfile
import time
import unicodedata
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath

NOTHING = "an empty folder"
MOODLE = re.compile(r"(.+?)_(\d+)_assignsubmission_.+")
CANVAS = re.compile(r"(.+?)_(?:LATE_)?(\d+)_(?:(\d+)_.*|(?:text|link)\.html)")
NOTEBOOK = re.compile(r"\.ipynb(\.(txt|json))?$", re.IGNORECASE)  # browsers add the second part
# Russian words beside ASCII: no letter of another alphabet touches a Russian one.
RUSSIAN = re.compile(r"(?!.*([a-z][а-яё]|[а-яё][a-z]))[\x00-\x7fа-яё№]*", re.IGNORECASE)
MOST = 20 * 1024**2  # bytes of a notebook, outputs included
MOST_UNPACKED = 4 * 1024**3  # bytes of a ZIP's notebooks together


@dataclass(frozen=True)
class File:
    """A file, or an empty folder, of an export.

    Attributes:
        name: its path in the export.
        path: where it can be read; None if that is impossible.
        changed: time, to compare with others.
        problem: why it can't be read.
    """

    name: PurePosixPath
    path: Path | None = None
    changed: float = 0.0
    problem: str = ""

    @property
    def is_notebook(self):
        return bool(NOTEBOOK.search(self.name.name))


@dataclass(frozen=True)
class Submission:
    """What one student handed in.

    Attributes:
        student: the name in the export.
        path: the notebook that is graded; None if there is none.
        id: of the student in the learning platform, or "".
        also: other notebooks of the same student, which are not graded.
        problem: why there is no notebook.
    """

    student: str
    path: Path | None
    id: str = ""
    also: tuple[str, ...] = ()
    problem: str = ""


class Unreadable(ValueError):
    """Raised for a file that cannot be run as a notebook; the text says why."""


# --- files of an export --------------------------------------------------------------------------


@contextmanager
def opened(place):
    """The ``File`` list of a folder, or of a ZIP whose notebooks are in a temporary folder.

    Raises ValueError if there is no such folder or ZIP.
    """
    place = Path(place)
    if place.is_dir():
        yield in_folder(place)
        return
    if not zipfile.is_zipfile(place):
        raise ValueError(f"{place} is no folder and no ZIP file: give one of them")
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(place) as packed:
                files = unpacked(packed, Path(folder))
        except zipfile.BadZipFile as error:
            raise ValueError(f"{place} is a damaged ZIP file: {error}") from error
        yield files


def in_folder(folder):
    """A ``File`` for each file and each empty folder in a folder."""
    files = []
    for path in sorted(folder.rglob("*")):
        name = PurePosixPath(composed(path.relative_to(folder).as_posix()))
        if path.is_symlink() or not path.is_dir():
            files.append(File(name, path, path.lstat().st_mtime))
        elif not any(path.iterdir()):
            files.append(File(name / NOTHING, path))
    return files


def unpacked(packed, folder):
    """A ``File`` for each file and each empty folder in an open ZIP; notebooks are extracted.

    The extracted files have numbers for names, so that no name of an entry leads out of the folder,
    is too long, or differs from another only in case.
    """
    files, left = [], MOST_UNPACKED
    for number, entry in enumerate(packed.infolist()):
        name = name_of(entry)
        parts = [part for part in name.split("/") if part not in ("", ".", "..")]
        if not parts:
            continue
        file = File(PurePosixPath(*parts, *[NOTHING] * name.endswith("/")))
        if file.is_notebook:
            file = extracted(file, packed, entry, folder / f"{number}.ipynb")
            left -= file.path.stat().st_size if file.path else 0
        if left < 0:
            most = f"{MOST_UNPACKED / 1024**3:g} GB"
            raise ValueError(f"{packed.filename} holds more than {most}: unpack it")
        files.append(file)
    full = {parent for file in files if file.name.name != NOTHING for parent in file.name.parents}
    return [file for file in files if file.name.name != NOTHING or file.name.parent not in full]


def extracted(file, packed, entry, path):
    """The ``File`` with an entry's content at ``path``, or with the reason for its absence."""
    try:
        with packed.open(entry) as content:
            path.write_bytes(content.read(MOST + 1))  # the size that the entry states may be wrong
    except Exception as error:  # damaged, encrypted, or packed in an unknown way
        return replace(file, problem=f"it can't be unpacked: {str(error)[:200]}")
    return replace(file, path=path, changed=time.mktime((*entry.date_time, 0, 0, -1)))


def name_of(entry):
    """The name of a ZIP's entry with slashes, in the encoding of the program that packed it.

    Without the flag for UTF-8, ``zipfile`` takes a name for cp437. But a Mac writes UTF-8 all the
    same, and a Russian Windows cp866.
    """
    name = entry.filename
    if not entry.flag_bits & 0x800 and not name.isascii():
        try:
            raw = name.encode("cp437")
            name = raw.decode("utf-8")
        except UnicodeEncodeError:  # the entry has a name in Unicode as well
            pass
        except UnicodeDecodeError:
            russian = raw.decode("cp866")
            name = russian if RUSSIAN.fullmatch(russian) else name
    return composed(name.replace("\\", "/"))


def composed(name):
    """The name with composed letters, so that a student is one in exports of a Mac and others."""
    return unicodedata.normalize("NFC", name)


# --- students ------------------------------------------------------------------------------------


def submissions(files):
    """The submission of every student, sorted by name.

    Of several notebooks, the last modified one counts. Raises ValueError if no file is a notebook.
    """
    every = files
    files = [file for file in files if not any(map(left_out, file.name.parts))]
    if not any(file.is_notebook for file in files):
        raise ValueError("there is no notebook (.ipynb) among the submissions")
    canvas, around = is_canvas(files), folders_around(files)
    moodle = any(MOODLE.fullmatch(part) for file in files for part in file.name.parts)
    by_student = {}
    for file in files:
        beside = moodle and len(file.name.parts) == 1  # of the teacher, next to students' folders
        if file.is_notebook or not beside or MOODLE.fullmatch(file.name.name):
            by_student.setdefault(student_of(file.name, around, canvas), []).append(file)
    for file in every:  # whoever has nothing but hidden files has a line as well
        folders = [*takewhile(lambda part: not left_out(part), file.name.parts[:-1])]
        if len(folders) > around and not canvas:
            by_student.setdefault(student_of(file.name, around), [])
    return [submission(*student, handed_in) for student, handed_in in sorted(by_student.items())]


def submission(student, id, files):
    """The ``Submission`` of a student who handed in these files."""
    notebooks = [file for file in files if file.is_notebook]
    if not notebooks:
        names = ", ".join(file.name.name for file in files)[:200] or "hidden files"
        return Submission(student, None, id, problem=f"no notebook (.ipynb), but {names}")
    last, *others = sorted(notebooks, key=lambda file: (file.changed, file.name), reverse=True)
    return Submission(
        student, last.path, id, tuple(str(file.name) for file in others), last.problem
    )


def left_out(name):
    """Whether a file or folder is not a submission: a checkpoint, or metadata in a Mac's ZIP."""
    return name.startswith((".", "__MACOSX"))


def is_canvas(files):
    """Whether all files have names of Canvas, whose last number no two files share.

    Dates in file names look alike, but are not in all of them, or are equal.
    """
    matches = [CANVAS.fullmatch(file.name.name) for file in files]
    numbers = [match[3] for match in matches if match and match[3]]
    return all(matches) and len(set(numbers)) == len(numbers)


def folders_around(files):
    """Number of nested folders that contain all submissions, and so name no student."""
    kept = [file for file in files if file.is_notebook or len(file.name.parts) > 1]
    folders = {file.name.parent for file in kept}
    if len(folders) == 1 and sum(file.is_notebook for file in kept) == 1:
        return 0
    return len(Path(os.path.commonpath(folders)).parts)


def student_of(name, around=0, canvas=False):
    """The student of a file, and the platform's id or "": ("Ann Lee", "77").

    Args:
        name: the file's path in the export.
        around: the number of its first folders to ignore.
        canvas: whether the export is of Canvas.
    """
    for part in name.parts:  # Moodle can also put it into the names of files
        if match := MOODLE.fullmatch(part):
            return match[1].strip(), match[2]
    if canvas:
        match = CANVAS.fullmatch(name.name)
        return match[1].strip(), match[2]
    first, *rest = name.parts[around:] or name.parts[-1:]
    if rest:
        return first.strip(), ""
    return (NOTEBOOK.sub("", first) if NOTEBOOK.search(first) else Path(first).stem).strip(), ""


# --- notebooks -----------------------------------------------------------------------------------


def code_cells(path):
    """Sources of the code cells of a notebook in format 3 or 4.

    Cells need no keys but their source. Raises ``Unreadable`` with the reason.
    """
    notebook = read(path)
    try:
        kernel = (notebook.get("metadata") or {}).get("kernelspec") or {}
        language = kernel.get("language") or "python"
        sheets = [notebook] if "cells" in notebook else notebook["worksheets"]
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
        code = [source_of(cell) for cell in cells if cell.get("cell_type") == "code"]
    except (AttributeError, KeyError, TypeError) as error:
        raise Unreadable("it is no notebook: its cells can't be read") from error
    if str(language).lower() not in ("python", "ipython"):
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
