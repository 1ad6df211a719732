"""The teacher's output: grades.csv, and an HTML report with feedback for each student.

Everything from a submission is escaped, so that it is never interpreted as HTML.
"""

import csv
import html
from collections import Counter
from itertools import combinations
from pathlib import Path

from labkit.check.answer import INCORRECT, NOT_ATTEMPTED

NEAR = 0.9  # share of common lines from which two notebooks count as copies
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
        results: a ``GradeResult`` for each student.
        tasks: of the lab, by number.
        folder: for the two files.
    """
    folder = Path(folder)
    replace = {"errors": "replace"}  # a submission may contain half of a surrogate pair
    with open(folder / "grades.csv", "w", newline="", encoding="utf-8-sig", **replace) as file:
        csv.writer(file).writerows(table(results, tasks))
    (folder / "report.html").write_text(page(results, tasks), encoding="utf-8", **replace)


def table(results, tasks):
    """Rows of grades.csv: a header, then a line a student; 1 for a correct task."""
    lines = [["student", "points", *tasks, "problem", "notes"]]
    for result in results:
        done = [int(result.answers[number].passed) for number in tasks]
        texts = [safe(text) for text in (result.student, result.problem, "; ".join(result.notes))]
        lines.append([texts[0], result.points, *done, *texts[1:]])
    return lines


def safe(text):
    """The text, quoted if a spreadsheet would take it for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def copies(results):
    """Pairs of students with nearly the same code: (student, student, share of common lines).

    Lines that more than half of the class has belong to the lab and are ignored.
    """
    counts = Counter(line for result in results for line in result.code)
    limit = max(2, len(results) / 2)
    own_lines = {
        result.student: {line for line in result.code if counts[line] <= limit}
        for result in results
    }
    pairs = []
    for (first, lines), (second, other_lines) in combinations(own_lines.items(), 2):
        share = len(lines & other_lines) / max(1, len(lines | other_lines))
        if min(len(lines), len(other_lines)) >= 5 and share >= NEAR:
            pairs.append((first, second, share))
    return sorted(pairs, key=lambda pair: -pair[2])


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
    """The feedback for one student."""
    parts = [f"<p><b>Problem:</b> {text(result.problem)}.</p>"] if result.problem else []
    for answer in result.answers.values():
        parts.append(answer._repr_html_())
        if written := (result.words or {}).get(answer.number):
            parts.append(f"<blockquote>{text(written[:5000])}</blockquote>")
    head = f"<h2>{text(result.student)}: {result.points} of {len(result.answers)}</h2>"
    return f"<section>{head}{''.join(parts)}</section>"


def grid(heads, rows):
    """An HTML table; its cells are HTML already."""
    header = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class='scroll'><table><tr>{header}</tr>{body}</table></div>"


def bar(count, total):
    return f"<div class='bar' style='width:{8 * count / max(1, total):.1f}em'></div>"


def text(value):
    return html.escape(str(value))
