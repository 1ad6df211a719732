"""Carries points back to a learning platform, in the CSV that it exports and imports again."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Worksheet:
    """A platform's CSV: its path, the separator, its rows, and the place of the points in a row."""

    file: Path
    separator: str
    rows: list
    place: int


def read(file, column):
    """The ``Worksheet`` in a file, for points in one of its columns.

    Args:
        file: Moodle's grading worksheet, or an export of Canvas's gradebook.
        column: the title of the column, such as "Grade".

    Raises:
        ValueError: if the file is not in UTF-8, or has no such column.
    """
    try:
        text = Path(file).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not in UTF-8: save it as CSV UTF-8") from error
    separator = max(",;\t", key=text.partition("\n")[0].count)
    rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    titles = rows[0] if rows else []
    if column not in titles:
        raise ValueError(f"{file} has no column {column!r}: use one of {', '.join(titles)}")
    return Worksheet(Path(file), separator, rows, titles.index(column))


def fill(worksheet, results, folder):
    """Copy a worksheet into a folder, with the points of the students.

    A row is a student's if it has the student's id at the end of a cell ("4711", "Participant 77").

    Args:
        worksheet: from ``read``.
        results: a ``GradeResult`` for each student.
        folder: for the copy, whose name begins with "marks-".

    Returns:
        The path of the copy, and the students without points in it: they are in no row, or their
        notebook had a problem, and a mark that was there stays.

    Raises:
        ValueError: if no row is of any student.
    """
    by_id = {result.id: result for result in results if result.id}
    marked = set()
    place, rows = worksheet.place, worksheet.rows[1:]
    # Other columns may hold numbers as well: the one that has most of the ids has them all.
    columns = [[id_in(row[k]) if k < len(row) else "" for row in rows] for k in range(place)]
    ids = max(columns, key=lambda found: len(by_id.keys() & set(found)), default=[])
    if by_id.keys().isdisjoint(ids):
        raise ValueError(f"{worksheet.file} has no row with the id of a student who handed in")
    for id, row in zip(ids, rows, strict=True):
        if id in by_id and place < len(row) and not by_id[id].problem:
            row[place] = by_id[id].points
            marked.add(id)
    path = Path(folder) / f"marks-{worksheet.file.name}"
    with open(path, "w", encoding="utf-8", newline="") as copy:
        csv.writer(copy, delimiter=worksheet.separator).writerows(worksheet.rows)
    return path, [result.student for result in results if result.id not in marked]


def id_in(cell):
    """The number at the end of a cell, or ""."""
    found = re.search(r"\d+$", cell)
    return found[0] if found else ""
