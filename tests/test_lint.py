"""The notebook linter: each rule, and notebooks without problems."""

import lint
import nbformat
import pytest
import tidy
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output


def notebook_text(*cells):
    """Text of a tidy notebook with these cells."""
    notebook = new_notebook(cells=list(cells))
    notebook.metadata = {"kernelspec": tidy.KERNEL, "language_info": {"name": "python"}}
    return nbformat.writes(notebook) + "\n"


def value_output(data=None):
    return new_output("execute_result", data or {"text/plain": "1"}, execution_count=1)


CHECKED = {"tags": [tidy.CHECKED]}
WORDS = new_markdown_cell("Words.", id="words")
LONG = "\n".join(f"a = {number}" for number in range(26))


def compared_cell(**options):
    return new_code_cell("1", id="a", metadata=CHECKED, execution_count=1, **options)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ([new_code_cell("1", id="a", outputs=[value_output()])], "a: an output is stored"),
        ([compared_cell()], "a: no output to compare is stored"),
        (
            [compared_cell(outputs=[value_output({"image/png": ""})])],
            "a: a picture or an error is stored",
        ),
        ([new_code_cell(LONG, id="a")], "a: 26 lines of code, more than 25"),
        ([new_code_cell("1\n2\n3\n4\n5\n6\n7", id="a")], "the median code cell has 7 lines"),
        ([new_code_cell("1", id="a"), new_code_cell("2", id="b")], "b: no text stands before"),
        ([new_code_cell("print(1)", id="a")], "a: it prints"),
        ([new_code_cell("1", id="a", execution_count=3)], "it is not tidy"),
    ],
)
def test_broken_rule_is_reported(cells, problem):
    assert any(reported.startswith(problem) for reported in lint.problems(notebook_text(*cells)))


def test_long_cells_are_limited_to_one_in_ten():
    cells = [WORDS]
    for number in range(20):
        code = "1\n" * (16 if number < 3 else 2)
        cells += [
            new_code_cell(code.strip(), id=f"c{number}"),
            new_markdown_cell("x", id=f"w{number}"),
        ]
    assert lint.problems(notebook_text(*cells)) == [
        "more than one code cell in ten has over 15 lines"
    ]
    assert lint.problems(notebook_text(*cells[:1], *cells[5:])) == []


def test_valid_notebook_has_no_problems(tmp_path, capsys):
    path = tmp_path / "good.ipynb"
    path.write_text(
        notebook_text(new_code_cell("1", id="a"), WORDS, compared_cell(outputs=[value_output()])),
        "utf-8",
    )
    assert lint.main([str(path)]) == 0
    path.write_text(notebook_text(new_code_cell("print(1)", id="a")), "utf-8")
    assert lint.main([str(path)]) == 1
    assert "good.ipynb: a: it prints" in capsys.readouterr().out


def test_tidy_keeps_outputs_of_compared_cells_only():
    kept = new_code_cell("1", outputs=[value_output()], metadata=CHECKED)
    dropped = new_code_cell("1", outputs=[value_output()], execution_count=4)
    cells = tidy.tidy(new_notebook(cells=[kept, dropped])).cells
    assert cells[0].outputs[0].data == {"text/plain": "1"}
    assert cells[1].outputs == [] and cells[1].execution_count is None
