"""Carries points back to a learning platform, in the CSV that it exports and imports again."""

import csv
import io
import re
from pathlib import Path


def fill(file, column, results, folder):
    """Copy a platform's CSV into a folder, with the points in one of its columns.

    A row is a student's if it has the student's id at the end of a cell ("4711", "Participant 77").

    Args:
        file: Moodle's grading worksheet, or an export of Canvas's gradebook.
        column: the title of the column, such as "Grade".
        results: a ``GradeResult`` for each student.
        folder: for the copy, whose name begins with "marks-".

    Returns:
        The path of the copy, and the students without points in it: they are in no row, or their
        notebook had a problem, and a mark that was there stays.

    Raises:
        ValueError: if the file has no such column, or no row of any student.
    """
    by_id = {result.id: result for result in results if result.id}
    marked = set()
    with open(file, encoding="utf-8-sig", newline="") as source:
        text = source.read()
    separator = max(",;\t", key=text.partition("\n")[0].count)
    rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    titles = rows[0] if rows else []
    if column not in titles:
        raise ValueError(f"{file} has no column {column!r}: use one of {', '.join(titles)}")
    place = titles.index(column)
    # Other columns may hold numbers as well: the one that has most of the ids has them all.
    columns = [[id_in(row[k]) if k < len(row) else "" for row in rows[1:]] for k in range(place)]
    ids = max(columns, key=lambda found: len(by_id.keys() & set(found)), default=[])
    if by_id.keys().isdisjoint(ids):
        raise ValueError(f"{file} has no row with the id of a student who handed in")
    for id, row in zip(ids, rows[1:], strict=True):
        if id in by_id and place < len(row) and not by_id[id].problem:
            row[place] = by_id[id].points
            marked.add(id)
    path = Path(folder) / f"marks-{Path(file).name}"
    with open(path, "w", encoding="utf-8", newline="") as copy:
        csv.writer(copy, delimiter=separator).writerows(rows)
    return path, [result.student for result in results if result.id not in marked]


def id_in(cell):
    """The number at the end of a cell, or ""."""
    found = re.search(r"\d+$", cell)
    return found[0] if found else ""
