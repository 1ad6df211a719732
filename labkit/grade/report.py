"""The teacher's output: grades.csv, grades.json, an HTML report, and a file for each student.

Everything from a submission is escaped, so that it is never interpreted as HTML or as a formula.
"""

import csv
import html
import json
import re
import shutil
import unicodedata
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np

from labkit.check.answer import INCORRECT, NOT_ATTEMPTED

MOST_SHOWN = 5000  # characters of a written answer
NEAR = 0.9  # share of common lines from which two notebooks count as copies
STYLE = """
:root { color-scheme: light dark; }
body { font-family: sans-serif; max-width: 60em; margin: 1em auto; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: 0.2em 0.6em; text-align: left; }
tr { border-bottom: 1px solid #8888; } .bar { background: #0072B2; height: 0.9em; }
section { border-top: 2px solid #8888; margin-top: 2em; } code { white-space: pre-wrap; }
td { vertical-align: top; } .scroll { overflow-x: auto; }
@media print { section { break-before: page; } }
"""
# Where a spreadsheet would begin to read a formula: at the start of a cell, or after a semicolon,
# which separates cells in many countries. Full-width signs count in East Asian versions.
FORMULA = re.compile(r'(^|;)(?=[\s"]*[=+\-@＝＋－＠])')
CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")


def write(results, tasks, folder):
    """Write grades.csv, grades.json, report.html, and a page for each student into ``feedback``.

    Args:
        results: a ``GradeResult`` for each student.
        tasks: of the lab, by number.
        folder: for the files.
    """
    folder = Path(folder)
    replace = {"encoding": "utf-8", "errors": "replace"}  # there may be half of a surrogate pair
    lines = table(results, tasks)
    with open(
        folder / "grades.csv", "w", newline="", **replace | {"encoding": "utf-8-sig"}
    ) as file:
        csv.writer(file).writerows([[safe(value) for value in line] for line in lines])
    grades = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    text = json.dumps(grades, ensure_ascii=False, indent=1)
    (folder / "grades.json").write_text(text, **replace)
    (folder / "report.html").write_text(page(results, tasks), **replace)
    shutil.rmtree(folder / "feedback", ignore_errors=True)  # names may change with late work
    (folder / "feedback").mkdir()
    for name, result in zip(file_names(results), results, strict=True):
        alone = document(result.student, feedback(result))
        (folder / "feedback" / f"{name}.html").write_text(alone, **replace)


def table(results, tasks):
    """A header, then a line for each student; 1 for a correct task."""
    lines = [["student", "id", "points", *tasks, "problem", "notes"]]
    for result in results:
        done = [int(result.answers[number].passed) for number in tasks]
        notes = "; ".join(result.notes)
        lines.append([result.student, result.id, result.points, *done, result.problem, notes])
    return lines


def safe(value):
    """A cell's value that no spreadsheet takes for a formula; numbers stay."""
    if not isinstance(value, str):
        return value
    return FORMULA.sub(r"\1'", CONTROLS.sub(" ", value))


def file_names(results):
    """A name for the file of each student, from letters, digits and spaces; no two are equal."""
    names = []
    for number, result in enumerate(results, start=1):
        name = " ".join("".join(map(plain, f"{result.student} {result.id}")).split())[:60]
        while not name or name.casefold() in {other.casefold() for other in names}:
            name = f"{name} {number}".strip()
        names.append(name)
    return names


def plain(sign):
    """A letter, a digit or a mark, which many scripts combine with letters; a space for others."""
    return sign if sign.isalnum() or unicodedata.category(sign)[0] == "M" else " "


def copies(results):
    """Pairs of students with nearly the same code: (student, student, share of common lines).

    Lines that more than half of the class has belong to the lab and are ignored.
    """
    counts = Counter(line for result in results for line in result.code)
    limit = max(2, len(results) / 2)
    own_lines = [
        (result.student, {line for line in result.code if counts[line] <= limit})
        for result in results
    ]
    pairs = []
    for (first, lines), (second, other_lines) in combinations(own_lines, 2):
        share = len(lines & other_lines) / max(1, len(lines | other_lines))
        if min(len(lines), len(other_lines)) >= 5 and share >= NEAR:
            pairs.append((first, second, share))
    return sorted(pairs, key=lambda pair: -pair[2])


def page(results, tasks):
    """The whole report as HTML."""
    parts = [overview(results, tasks), problems(results), contents(results)]
    parts += [hardest(results, tasks), mistakes(results, tasks), near(results)]
    parts += [*written(results, tasks), *(feedback(result) for result in results)]
    return document("Grades", "".join(parts))


def document(title, body):
    """A page of HTML."""
    head = f"<meta charset='utf-8'><title>{text(title)}</title><style>{STYLE}</style>"
    view = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    return f"<!doctype html><html lang='en'><head>{head}{view}</head><body>{body}</body></html>"


def overview(results, tasks):
    points = [result.points for result in results]
    rows = [
        (f"{n} of {len(tasks)}", points.count(n), bar(points.count(n), len(results)))
        for n in range(len(tasks) + 1)
    ]
    low, median, high = np.percentile(points, (25, 50, 75))
    words = f"{len(results)} students. Median {median:g}, half of them from {low:g} to {high:g}."
    return f"<h1>Grades</h1><p>{words}</p>{grid(('points', 'students', ''), rows)}"


def problems(results):
    """What a teacher has to look at first."""
    stuck = [result for result in results if result.problem]
    rows = [(link(result), text(result.problem)) for result in stuck]
    words = f"<p>{len(stuck)} of {len(results)} notebooks did not run to their end.</p>"
    if nothing_attempted(results):
        words += "<p><b>No notebook has a task of this lab. Is it another lab?</b></p>"
    return f"<h2>Problems</h2>{words}{grid(('student', 'problem'), rows)}"


def nothing_attempted(results):
    """Whether notebooks ran, and none of them has a task of the lab: it may be another one."""
    ran = [result for result in results if not result.problem]
    states = {answer.state for result in ran for answer in result.answers.values()}
    return states == {NOT_ATTEMPTED}


def contents(results):
    rows = [(link(one), text(one.id), one.points, text("; ".join(one.notes))) for one in results]
    return f"<h2>Students</h2>{grid(('student', 'id', 'points', 'notes'), rows)}"


def link(result):
    return f"<a href='#{anchor(result)}'>{text(result.student)}</a>"


def anchor(result):
    """The id of a student's section."""
    return text("-".join(f"student {result.student} {result.id}".split()))


def written(results, tasks):
    """A table of the written answers to each question, to read them side by side."""
    for number, task in tasks.items():
        texts = [(link(one), (one.words or {}).get(number)) for one in results]
        rows = [(student, text(words[:MOST_SHOWN])) for student, words in texts if words]
        if rows:
            yield f"<h2>Written answers: {number} {task.name}</h2>{grid(('student', ''), rows)}"


def hardest(results, tasks):
    rows = []
    for number, task in tasks.items():
        states = Counter(result.answers[number].state for result in results)
        incorrect, missing = states[INCORRECT], states[NOT_ATTEMPTED]
        done = len(results) - incorrect - missing
        bars = bar(done, len(results))
        rows.append((done, (f"{number} {task.name}", done, incorrect, missing, bars)))
    ordered = [row for _, row in sorted(rows, key=lambda pair: pair[0])]
    heads = ("task", "correct", "incorrect", "not attempted", "")
    return f"<h2>Tasks, the hardest first</h2>{grid(heads, ordered)}"


def mistakes(results, tasks):
    answers = [result.answers[number] for result in results for number in tasks]
    hints = Counter((a.number, a.hint) for a in answers if a.state == INCORRECT and a.hint)
    rows = [(number, text(hint), count) for (number, hint), count in hints.most_common(10)]
    return f"<h2>The most frequent mistakes</h2>{grid(('task', 'hint', 'students'), rows)}"


def near(results):
    rows = [(text(a), text(b), f"{100 * share:.0f} %") for a, b, share in copies(results)]
    words = "<p>No two notebooks are similar.</p>"
    if rows:
        words = "<p>Of the lines that are not the lab's own. A question to ask, not a verdict.</p>"
    same = Counter(result.code for result in results if result.points).most_common(1)
    if same and same[0][1] > max(2, len(results) / 2):  # so ``copies`` takes it for the lab's
        words += f"<p><b>{same[0][1]} notebooks have the same code.</b></p>"
    return f"<h2>Similar notebooks</h2>{words}{grid(('student', 'student', 'in common'), rows)}"


def feedback(result):
    """The feedback for one student."""
    parts = [f"<p><b>Problem:</b> {text(result.problem)}.</p>"] if result.problem else []
    for answer in result.answers.values():
        parts.append(answer._repr_html_())
        if words := (result.words or {}).get(answer.number):
            parts.append(f"<blockquote>{text(words[:MOST_SHOWN])}</blockquote>")
    head = f"<h2>{text(result.student)}: {result.points} of {len(result.answers)}</h2>"
    return f"<section id='{anchor(result)}'>{head}{''.join(parts)}</section>"


def grid(heads, rows):
    """An HTML table; its cells are HTML already."""
    if not rows:
        return ""
    header = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class='scroll'><table><tr>{header}</tr>{body}</table></div>"


def bar(count, total):
    return f"<div class='bar' style='width:{8 * count / max(1, total):.1f}em'></div>"


def text(value):
    return html.escape(str(value))
