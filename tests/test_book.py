"""The notebooks as they are committed, and the tool that builds the book from them."""

import importlib.util
import re
import statistics
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = [
    *sorted((ROOT / "book").glob("*.ipynb")),
    *sorted((ROOT / "book/back").glob("*.ipynb")),
    *sorted((ROOT / "book/labs").glob("*.ipynb")),
]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "book" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build, tidy = load("build"), load("tidy")


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


def lengths(cells):
    return [len([line for line in cell.source.splitlines() if line.strip()]) for cell in cells]


each_notebook = pytest.mark.parametrize(
    "path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}"
)


@each_notebook
def test_a_notebook_is_tidy(path):
    text = path.read_text(encoding="utf-8")
    assert nbformat.writes(tidy.tidy(nbformat.reads(text, as_version=4))) + "\n" == text


@each_notebook
def test_only_compared_cells_have_outputs_and_they_all_do(path):
    for cell in code_cells(path):
        checked = tidy.CHECKED in cell.metadata.get("tags", [])
        assert bool(cell.outputs) == checked, cell.id


@each_notebook
def test_cells_are_small(path):
    sizes = sorted(lengths(code_cells(path)))
    assert sizes[-1] <= 25
    assert statistics.median(sizes) <= 6
    assert sizes[int(0.9 * (len(sizes) - 1))] <= 15


@each_notebook
def test_no_two_code_cells_without_words_between(path):
    kinds = [cell.cell_type for cell in nbformat.read(path, as_version=4).cells]
    assert "code code" not in " ".join(kinds)


@each_notebook
def test_values_are_displayed_not_printed(path):
    assert not [cell.id for cell in code_cells(path) if re.search(r"\bprint\(", cell.source)]


@each_notebook
def test_a_notebook_holds_no_picture_and_no_error(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert not any(kind.startswith("image/") for kind in output.get("data", {}))


def test_tidying_keeps_the_outputs_of_compared_cells_alone():
    value = nbformat.v4.new_output("execute_result", {"text/plain": "1"}, execution_count=3)
    kept = nbformat.v4.new_code_cell("1", outputs=[value], metadata={"tags": [tidy.CHECKED]})
    dropped = nbformat.v4.new_code_cell("1", outputs=[dict(value)], execution_count=4)
    cells = tidy.tidy(nbformat.v4.new_notebook(cells=[kept, dropped])).cells
    assert cells[0].outputs[0].data == {"text/plain": "1"}
    assert cells[1].outputs == [] and cells[1].execution_count is None


# --- the checks of a built book --------------------------------------------------------------

PAGE = "<html><article>" + "word " * 60 + "{}</article></html>"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A built book of one page, whose HTML a test writes."""
    (tmp_path / "_toc.yml").write_text("root: one\nparts: []\n")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "HTML", tmp_path)
    return tmp_path


def test_a_good_page_has_no_fault(site):
    (site / "one.html").write_text(PAGE.format(""))
    assert build.faults() == []


def test_a_missing_page_is_a_fault(site):
    assert build.faults() == ["one: the page is missing"]


def test_an_empty_page_is_a_fault(site):
    (site / "one.html").write_text("<html><article></article></html>")
    assert build.faults() == ["one: the page is empty (0 words)"]


def test_a_traceback_is_a_fault_unless_its_cell_announced_it(site):
    (site / "one.html").write_text(PAGE.format("Traceback (most recent call last)"))
    assert build.faults() == ["one: the page shows a traceback"]
    cell = nbformat.v4.new_code_cell("1 / 0", metadata={"tags": [build.RAISES]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), site / "one.ipynb")
    assert build.faults() == []


def test_every_page_of_the_table_of_contents_has_a_source():
    for page in build.pages():
        assert (ROOT / f"{page}.md").exists() or (ROOT / f"{page}.ipynb").exists(), page


def test_the_build_notices_a_changed_source_and_setting(monkeypatch):
    before = build.fingerprint()
    monkeypatch.setenv("LABKIT_PROFILE", "smoke")
    assert build.fingerprint() != before
