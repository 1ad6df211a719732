"""What a teacher gets: grades.csv, and one HTML report with a page of feedback for each student.

Everything that comes from a submission is text here, never HTML.
"""

import csv
import html
from collections import Counter
from itertools import combinations
from pathlib import Path

from labkit.check.answer import INCORRECT, NOT_ATTEMPTED

NEAR = 0.9  # share of the lines that two notebooks have in common, from which on they are copies
STYLE = """
:root { color-scheme: light dark; }
body { font-family: sans-serif; max-width: 60em; margin: 1em auto; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: 0.2em 0.6em; text-align: left; }
tr { border-bottom: 1px solid #8888; } .bar { background: #0072B2; height: 0.9em; }
section { border-top: 2px solid #8888; margin-top: 2em; } code { white-space: pre-wrap; }
.scroll { overflow-x: auto; }
"""


def write(results, tasks, folder):
    """Write grades.csv and report.html.

    Args:
        results: ``GradeResult``, one a student.
        tasks: of the lab, by number.
        folder: where to.
    """
    folder = Path(folder)
    whatever = {"errors": "replace"}  # a submission may hold half a character
    with open(folder / "grades.csv", "w", newline="", encoding="utf-8-sig", **whatever) as file:
        csv.writer(file).writerows(table(results, tasks))
    (folder / "report.html").write_text(page(results, tasks), encoding="utf-8", **whatever)


def table(results, tasks):
    """Rows of grades.csv: a header, then a line a student; 1 for a correct task."""
    lines = [["student", "points", *tasks, "problem", "notes"]]
    for result in results:
        done = [int(result.answers[number].passed) for number in tasks]
        texts = [safe(text) for text in (result.student, result.problem, "; ".join(result.notes))]
        lines.append([texts[0], result.points, *done, *texts[1:]])
    return lines


def safe(text):
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def copies(results):
    """Pairs of students whose code is nearly the same, and the share that they have in common.

    Lines that more than half of the class has are the lab's own, and are left out.
    """
    often = Counter(line for result in results for line in result.code)
    most = max(2, len(results) / 2)
    own = {m.student: {line for line in m.code if often[line] <= most} for m in results}
    found = []
    for (one, lines), (other, more) in combinations(own.items(), 2):
        share = len(lines & more) / max(1, len(lines | more))
        if min(len(lines), len(more)) >= 5 and share >= NEAR:
            found.append((one, other, share))
    return sorted(found, key=lambda pair: -pair[2])


def page(results, tasks):
    """The whole report as HTML."""
    parts = [overview(results, tasks), hardest(results, tasks), mistakes(results, tasks)]
    parts += [near(results), *(feedback(result) for result in results)]
    head = f"<meta charset='utf-8'><title>Grades</title><style>{STYLE}</style>"
    view = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    body = "".join(parts)
    return f"<!doctype html><html lang='en'><head>{head}{view}</head><body>{body}</body></html>"


def overview(results, tasks):
    points = Counter(result.points for result in results)
    rows = [
        (f"{n} of {len(tasks)}", points[n], bar(points[n], len(results)))
        for n in range(len(tasks) + 1)
    ]
    stuck = sum(bool(result.problem) for result in results)
    words = f"<p>{stuck} of {len(results)} notebooks did not run to their end.</p>"
    return f"<h1>Grades</h1>{words}<h2>Points</h2>{grid(('points', 'students', ''), rows)}"


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
    if not rows:
        return "<h2>Similar notebooks</h2><p>No two notebooks are similar.</p>"
    words = "<p>Of the lines that are not the lab's own. A question to ask, not a verdict.</p>"
    return f"<h2>Similar notebooks</h2>{words}{grid(('student', 'student', 'in common'), rows)}"


def feedback(result):
    """What one student may read."""
    said = [f"<p><b>Problem:</b> {text(result.problem)}.</p>"] if result.problem else []
    for answer in result.answers.values():
        said.append(answer._repr_html_())
        if written := (result.words or {}).get(answer.number):
            said.append(f"<blockquote>{text(written[:5000])}</blockquote>")
    head = f"<h2>{text(result.student)}: {result.points} of {len(result.answers)}</h2>"
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
