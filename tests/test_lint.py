"""The notebook linter: each rule, and notebooks without problems."""

import json

import lint
import nbformat
import notebooks
import paths
import pytest
import tidy
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

CHECKED = {"tags": [tidy.CHECKED]}
WORDS = new_markdown_cell("Words.", id="words")


def notebook_text(*cells):
    """Text of a tidy notebook with these cells."""
    return nbformat.writes(new_notebook(cells=list(cells), metadata=tidy.METADATA)) + "\n"


def code_cell(code="1", kind=None, checked=False, **options):
    """A code cell with an output of this kind, or none."""
    if kind:
        options["outputs"] = [new_output("execute_result", {kind: "1"}, execution_count=1)]
    if checked:
        options |= {"metadata": CHECKED, "execution_count": 1}
    return new_code_cell(code, id=options.pop("id", "a"), **options)


def timed(minutes, words):
    """A first cell of five words and more, with the minutes that it states."""
    text = f"**Time:** about {minutes} minutes to read" + " word" * words
    return new_markdown_cell(text, id="a")


def question(name, *answers):
    choice = '<details name="{}"><summary>a</summary>\n\n**{}.** Because.\n\n</details>\n'
    return "".join(choice.format(name, answer) for answer in answers)


def quiz(*questions):
    """A chapter that ends with these questions."""
    return [timed(5, 1), new_markdown_cell("## Check yourself\n\n" + "".join(questions), id="q")]


QUESTIONS = [question(f"q{number}", "No", "Yes", "No") for number in range(3)]
GOOD = [code_cell(), WORDS, code_cell(kind="text/plain", checked=True, id="b")]


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ([code_cell(kind="text/plain")], "a: an output"),
        ([code_cell(checked=True)], "a: no output"),
        ([code_cell(kind="image/png", checked=True)], "a: an image"),
        ([code_cell("1\n" * 26)], "a: 26 lines"),
        ([code_cell("1\n" * 7)], "the median code cell has 7 lines"),
        ([code_cell(), code_cell(id="b")], "b: no text"),
        ([code_cell("print(1)")], "a: it prints"),
        ([code_cell("1" * 77)], "a: 77 characters in a line"),
        ([new_markdown_cell("word " * 3001, id="a")], "it has 3001 words"),
        ([timed(5, 745), new_markdown_cell("word", id="b")], "it takes about 10 minutes"),
        ([code_cell(execution_count=3)], "it is not tidy"),
        ([timed(5, 1)], '0 cells have the heading "## Check yourself"'),
        ([WORDS, quiz(*QUESTIONS)[1]], '1 cells have the heading "## Check yourself"'),
        (quiz(*QUESTIONS[:2]), "q: it has 2 questions"),
        (quiz(*QUESTIONS[:2], question("q", "No", "No", "No")), "q: q needs three choices"),
        (quiz(*QUESTIONS[:2], question("q", "No", "Yes", "Yes")), "q: q needs three choices"),
        (quiz(*QUESTIONS[:2], question("q", "No", "Yes")), "q: q needs three choices"),
        (quiz(*QUESTIONS, question("q", "Perhaps")), "q: a choice is not like the others"),
    ],
)
def test_broken_rule_is_reported(cells, problem, tmp_path, capsys):
    problems = lint.problems(notebook_text(*cells))
    assert any(reported.startswith(problem) for reported in problems)
    path = tmp_path / "notebook.ipynb"
    path.write_text(notebook_text(*cells), "utf-8")
    assert lint.main([str(path)]) == 1
    assert f"{path}: {problem}" in capsys.readouterr().out
    path.write_text(notebook_text(*GOOD), "utf-8")
    assert lint.main([str(path)]) == 0


def test_words_that_the_page_omits_do_not_count():
    shown = new_markdown_cell("one [two](three.md)\n\n## Check yourself\n\nsix")
    omitted = new_markdown_cell("seven", metadata={"tags": ["remove-cell", "text-4.1"]})
    assert lint.count_words(new_notebook(cells=[shown, code_cell("x = 1"), omitted])) == 6


def test_cells_without_ids_get_them():
    older = json.loads(notebook_text(*GOOD)) | {"nbformat_minor": 0}
    for cell in older["cells"]:
        del cell["id"]
    (problem,) = lint.problems(json.dumps(older))
    assert problem.startswith("it is not tidy")
    tidied = tidy.tidy_text(json.dumps(older))
    assert lint.problems(tidied) == []
    ids = [cell["id"] for cell in json.loads(tidied)["cells"]]
    assert ids == [cell.id for cell in notebooks.parse(json.dumps(older)).cells]


def test_long_cells_are_limited_to_one_in_ten():
    cells = []
    for number in range(20):
        code = "\n".join("1" * (16 if number < 3 else 2))
        cells += [new_code_cell(code, id=f"c{number}"), new_markdown_cell("x", id=f"w{number}")]
    (problem,) = lint.problems(notebook_text(*cells))
    assert "one code cell in ten" in problem
    assert lint.problems(notebook_text(*cells[4:])) == []


def test_tidy_keeps_outputs_of_compared_cells_only():
    kept = code_cell(kind="text/plain", checked=True)
    dropped = code_cell(kind="text/plain", execution_count=4, id="b")
    kept, dropped = tidy.tidy(new_notebook(cells=[kept, dropped])).cells
    assert kept.outputs[0].data == {"text/plain": "1"}
    assert dropped.outputs == [] and dropped.execution_count is None


def test_other_notebooks_are_left_alone(course_root):
    paths.BOOK.mkdir(parents=True)
    (paths.ROOT / "_toc.yml").write_text("root: book/01\nparts: []\n")
    for name in ("01", "Untitled"):
        (paths.BOOK / f"{name}.ipynb").write_text(notebook_text(code_cell(kind="text/plain")))
    assert list(tidy.read_texts([])) == [paths.BOOK / "01.ipynb"]
