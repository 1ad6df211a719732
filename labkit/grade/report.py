"""What a teacher gets: grades.csv, and one HTML report with a page of feedback for each student.

Everything that comes from a submission is text here, never HTML.
"""

import csv
import html
from collections import Counter
from itertools import combinations
from pathlib import Path

from labkit.check.task import NOT_YET, WRONG

NEAR = 0.9  # share of the lines that two notebooks have in common, from which on they are copies
STYLE = """
:root { color-scheme: light dark; }
body { font-family: sans-serif; max-width: 60em; margin: 1em auto; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: 0.2em 0.6em; text-align: left; }
tr { border-bottom: 1px solid #8888; } .bar { background: #0072B2; height: 0.9em; }
section { border-top: 2px solid #8888; margin-top: 2em; } code { white-space: pre-wrap; }
.scroll { overflow-x: auto; }
"""


def write(all_marks, tasks, folder):
    """Write grades.csv and report.html.

    Args:
        all_marks: ``Marks``, one a student.
        tasks: of the lab, by number.
        folder: where to.
    """
    folder = Path(folder)
    whatever = {"errors": "replace"}  # a submission may hold half a character
    with open(folder / "grades.csv", "w", newline="", encoding="utf-8-sig", **whatever) as file:
        csv.writer(file).writerows(table(all_marks, tasks))
    (folder / "report.html").write_text(page(all_marks, tasks), encoding="utf-8", **whatever)


def table(all_marks, tasks):
    """Rows of grades.csv: a header, then a line a student; 1 for a task that is done."""
    lines = [["student", "points", *tasks, "problem", "notes"]]
    for marks in all_marks:
        done = [int(marks.answers[number].passed) for number in tasks]
        texts = [safe(text) for text in (marks.student, marks.problem, "; ".join(marks.notes))]
        lines.append([texts[0], marks.points, *done, *texts[1:]])
    return lines


def safe(text):
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def copies(all_marks):
    """Pairs of students whose code is nearly the same, and the share that they have in common.

    Lines that more than half of the class has are the lab's own, and are left out.
    """
    often = Counter(line for marks in all_marks for line in marks.code)
    most = max(2, len(all_marks) / 2)
    own = {m.student: {line for line in m.code if often[line] <= most} for m in all_marks}
    found = []
    for (one, lines), (other, more) in combinations(own.items(), 2):
        share = len(lines & more) / max(1, len(lines | more))
        if min(len(lines), len(more)) >= 5 and share >= NEAR:
            found.append((one, other, share))
    return sorted(found, key=lambda pair: -pair[2])


def page(all_marks, tasks):
    """The whole report as HTML."""
    parts = [overview(all_marks, tasks), hardest(all_marks, tasks), mistakes(all_marks, tasks)]
    parts += [near(all_marks), *(feedback(marks) for marks in all_marks)]
    head = f"<meta charset='utf-8'><title>Grades</title><style>{STYLE}</style>"
    view = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    body = "".join(parts)
    return f"<!doctype html><html lang='en'><head>{head}{view}</head><body>{body}</body></html>"


def overview(all_marks, tasks):
    points = Counter(marks.points for marks in all_marks)
    rows = [
        (f"{n} of {len(tasks)}", points[n], bar(points[n], len(all_marks)))
        for n in range(len(tasks) + 1)
    ]
    stuck = sum(bool(marks.problem) for marks in all_marks)
    words = f"<p>{stuck} of {len(all_marks)} notebooks did not run to their end.</p>"
    return f"<h1>Grades</h1>{words}<h2>Points</h2>{grid(('points', 'students', ''), rows)}"


def hardest(all_marks, tasks):
    rows = []
    for number, task in tasks.items():
        states = Counter(marks.answers[number].state for marks in all_marks)
        done = len(all_marks) - states[WRONG] - states[NOT_YET]
        name = f"{number} {task.name}"
        rows.append((done, (name, done, states[WRONG], states[NOT_YET], bar(done, len(all_marks)))))
    ordered = [row for _, row in sorted(rows, key=lambda pair: pair[0])]
    heads = ("task", "done", "not right", "open", "")
    return f"<h2>Tasks, the hardest first</h2>{grid(heads, ordered)}"


def mistakes(all_marks, tasks):
    answers = [marks.answers[number] for marks in all_marks for number in tasks]
    hints = Counter((a.number, a.hint) for a in answers if a.state == WRONG and a.hint)
    rows = [(number, text(hint), count) for (number, hint), count in hints.most_common(10)]
    return f"<h2>The commonest mistakes</h2>{grid(('task', 'hint', 'students'), rows)}"


def near(all_marks):
    rows = [(text(a), text(b), f"{100 * share:.0f} %") for a, b, share in copies(all_marks)]
    if not rows:
        return "<h2>Nearly the same</h2><p>No two notebooks are.</p>"
    words = "<p>Of the lines that are not the lab's own. A question to ask, not a verdict.</p>"
    return f"<h2>Nearly the same</h2>{words}{grid(('student', 'student', 'in common'), rows)}"


def feedback(marks):
    """What one student may read."""
    said = [f"<p><b>Problem:</b> {text(marks.problem)}.</p>"] if marks.problem else []
    for answer in marks.answers.values():
        said.append(answer._repr_html_())
        if written := (marks.words or {}).get(answer.number):
            said.append(f"<blockquote>{text(written[:5000])}</blockquote>")
    head = f"<h2>{text(marks.student)}: {marks.points} of {len(marks.answers)}</h2>"
    return f"<section>{head}{''.join(said)}</section>"


def grid(heads, rows):
    """A table; its cells are HTML already."""
    first = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class='scroll'><table><tr>{first}</tr>{body}</table></div>"


def bar(part, whole):
    return f"<div class='bar' style='width:{8 * part / max(1, whole):.1f}em'></div>"


def text(value):
    return html.escape(str(value))
