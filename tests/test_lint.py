"""The linter of notebooks: each rule finds what breaks it, and nothing else."""

import lint
import nbformat
import pytest
import tidy
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output


def text(*cells):
    """A notebook file that is tidy but for what its cells break."""
    notebook = new_notebook(cells=list(cells))
    notebook.metadata = {"kernelspec": tidy.KERNEL, "language_info": {"name": "python"}}
    return nbformat.writes(notebook) + "\n"


def value(data=None):
    return new_output("execute_result", data or {"text/plain": "1"}, execution_count=1)


CHECKED = {"tags": [tidy.CHECKED]}
WORDS = new_markdown_cell("Words.", id="words")
LONG = "\n".join(f"a = {number}" for number in range(26))


def compared(**options):
    return new_code_cell("1", id="a", metadata=CHECKED, execution_count=1, **options)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ([new_code_cell("1", id="a", outputs=[value()])], "a: an output is stored"),
        ([compared()], "a: no output to compare is stored"),
        ([compared(outputs=[value({"image/png": ""})])], "a: a picture or an error is stored"),
        ([new_code_cell(LONG, id="a")], "a: 26 lines of code, more than 25"),
        ([new_code_cell("1\n2\n3\n4\n5\n6\n7", id="a")], "the median code cell has 7 lines"),
        ([new_code_cell("1", id="a"), new_code_cell("2", id="b")], "b: no text stands before"),
        ([new_code_cell("print(1)", id="a")], "a: it prints"),
        ([new_code_cell("1", id="a", execution_count=3)], "it is not tidy"),
    ],
)
def test_a_broken_rule_is_named(cells, problem):
    assert any(found.startswith(problem) for found in lint.problems(text(*cells)))


def test_one_cell_in_ten_may_be_long():
    cells = [WORDS]
    for number in range(20):
        code = "1\n" * (16 if number < 3 else 2)
        cells += [
            new_code_cell(code.strip(), id=f"c{number}"),
            new_markdown_cell("x", id=f"w{number}"),
        ]
    assert lint.problems(text(*cells)) == ["more than one code cell in ten has over 15 lines"]
    assert lint.problems(text(*cells[:1], *cells[5:])) == []


def test_a_notebook_in_order_has_no_problem(tmp_path, capsys):
    path = tmp_path / "good.ipynb"
    path.write_text(text(new_code_cell("1", id="a"), WORDS, compared(outputs=[value()])), "utf-8")
    assert lint.main([str(path)]) == 0
    path.write_text(text(new_code_cell("print(1)", id="a")), "utf-8")
    assert lint.main([str(path)]) == 1
    assert "good.ipynb: a: it prints" in capsys.readouterr().out


def test_tidying_keeps_the_outputs_of_compared_cells_alone():
    kept = new_code_cell("1", outputs=[value()], metadata=CHECKED)
    dropped = new_code_cell("1", outputs=[value()], execution_count=4)
    cells = tidy.tidy(new_notebook(cells=[kept, dropped])).cells
    assert cells[0].outputs[0].data == {"text/plain": "1"}
    assert cells[1].outputs == [] and cells[1].execution_count is None
