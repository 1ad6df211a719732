"""The build tool of the book: page checks, rendering and command line."""

import re
import shutil

import build
import execute
import nbformat
import pytest
import store
import tidy

ROOT = build.ROOT


# --- checks of a built book ------------------------------------------------------------------

PAGE = "<html><article>" + "word " * 60 + "{}</article></html>"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A built book with one page, whose HTML the test writes."""
    (tmp_path / "_toc.yml").write_text("root: one\nparts: []\n")
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(store, "ROOT", tmp_path)
    monkeypatch.setattr(build, "HTML", tmp_path)
    return tmp_path


def test_valid_page_has_no_faults(site):
    (site / "one.html").write_text(PAGE.format(""))
    assert build.faults() == []


def test_missing_page_is_reported(site):
    assert build.faults() == ["FAULT one: the page is missing"]


def test_empty_page_is_reported(site):
    (site / "one.html").write_text("<html><article></article></html>")
    assert build.faults() == ["FAULT one: the page is empty (0 words)"]


def test_unexpected_traceback_is_reported(site):
    (site / "one.html").write_text(PAGE.format("Traceback (most recent call last)"))
    assert build.faults() == ["FAULT one: the page shows a traceback"]
    cell = nbformat.v4.new_code_cell("1 / 0", metadata={"tags": [build.RAISES]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), site / "one.ipynb")
    assert build.faults() == []


def test_toc_pages_have_sources():
    for page in store.toc():
        assert (ROOT / f"{page}.md").exists() or (ROOT / f"{page}.ipynb").exists(), page


# --- rendering -----------------------------------------------------------------------------------

TOC = "format: jb-book\nroot: book/intro\nparts:\n  - caption: All\n    chapters:\n"
TOC += "      - file: book/one\n      - file: book/two\n"
MORE = "A sentence that makes the page long enough for a page of a book. " * 5


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A temporary book with three pages, two of them notebooks."""
    (tmp_path / "book").mkdir()
    (tmp_path / "labkit").mkdir()
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "requirements.txt").write_text("")
    (tmp_path / "book" / "references.bib").write_text("")
    (tmp_path / "book" / "_static").mkdir()
    (tmp_path / "book" / "intro.md").write_text(f"# Start\n\n{MORE}\n")
    shutil.copy(ROOT / "_config.yml", tmp_path)
    (tmp_path / "book" / "_tools").symlink_to(ROOT / "book" / "_tools")
    for name in ("one", "two"):
        words = nbformat.v4.new_markdown_cell(f"# Chapter {name}\n\n{MORE}", id="words")
        code = nbformat.v4.new_code_cell("1 + 1", id="code")
        notebook = tidy.tidy(nbformat.v4.new_notebook(cells=[words, code]))
        nbformat.write(notebook, tmp_path / "book" / f"{name}.ipynb")
    made = tmp_path / "_build"
    places = {"ROOT": tmp_path, "BUILD": made, "HTML": made / "html", "LOG": made / "book.log"}
    for name, place in (places | {"STAMP": made / "rendered.json"}).items():
        monkeypatch.setattr(build, name, place)
    monkeypatch.setattr(store, "ROOT", tmp_path)
    monkeypatch.setattr(build.labs, "main", lambda names: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def render(course, **values):
    """Render with the given output of each page; return the faults and the rewritten pages."""
    jobs = {}
    for name, value in values.items():
        path = course / "_build" / f"{name}-{value}.ipynb"
        path.parent.mkdir(exist_ok=True)
        notebook = nbformat.read(course / "book" / f"{name}.ipynb", as_version=4)
        output = nbformat.v4.new_output("execute_result", {"text/plain": value}, execution_count=1)
        notebook.cells[1].outputs, notebook.cells[1].execution_count = [output], 1
        nbformat.write(notebook, path)
        jobs[name] = type("Job", (), {"path": path})
    before = page_times(course)
    faults = build.rendered(jobs)
    after = page_times(course)
    return faults, {page for page in after if after[page] != before.get(page)}


def page_times(course):
    """Modification time of each rendered page."""
    pages = (course / "_build" / "html" / "book").glob("*.html")
    return {page.stem: page.stat().st_mtime_ns for page in pages}


def edit(path, before, after):
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def html(course, page):
    """HTML of a page without the checksums of style sheets."""
    text = (course / "_build" / "html" / "book" / f"{page}.html").read_text()
    return re.sub(r"\.css\?v=\w+", ".css", text)


@pytest.mark.slow
def test_incremental_rendering_equals_fresh_rendering(course):
    assert render(course, one="11", two="22") == ([], {"intro", "one", "two"})
    assert ">11\n" in html(course, "one") and ">22\n" in html(course, "two")
    assert render(course, one="11", two="22") == ([], set())  # nothing changed
    edit(course / "book" / "one.ipynb", "A sentence", "Another sentence")
    assert render(course, one="11", two="22") == (
        [],
        {"intro", "one"},
    )  # a paragraph; the parent's menu
    assert "Another sentence" in html(course, "one") and ">11\n" in html(course, "one")
    assert render(course, one="33", two="22") == ([], {"intro", "one"})  # an output
    assert ">33\n" in html(course, "one")
    edit(course / "book" / "one.ipynb", "# Chapter one", "# First chapter")
    assert render(course, one="33", two="22")[1] == {"intro", "one", "two"}  # in every menu
    assert "First chapter" in html(course, "two")
    edit(course / "book" / "two.ipynb", "A sentence", "Another sentence")
    render(course, one="33", two="22")
    incremental = {page: html(course, page) for page in ("intro", "one", "two")}
    shutil.rmtree(course / "_build" / "html")
    build.STAMP.unlink()
    render(course, one="33", two="22")
    assert {page: html(course, page) for page in incremental} == incremental


@pytest.mark.slow
def test_warning_is_reported_until_fixed(course):
    edit(course / "book" / "one.ipynb", "A sentence", "A [link](nowhere.md) and a sentence")
    for _ in range(2):
        faults, _ = render(course, one="1")
        assert any("nowhere.md" in fault for fault in faults)
    edit(course / "book" / "one.ipynb", "A [link](nowhere.md) and a sentence", "A sentence")
    assert render(course, one="1")[0] == []


# --- command line --------------------------------------------------------------------------------


def test_unknown_chapter_is_rejected(capsys):
    assert build.main(["13"]) == 2
    assert "'13' is no chapter: use the start of one of 01_theory" in capsys.readouterr().out


def test_single_chapter_is_built_alone(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(store.Settings, "of_book", lambda: None)
    monkeypatch.setattr(
        execute, "up_to_date", lambda names, _: (asked.append(names) or {"a": 1}, [])
    )
    monkeypatch.setattr(build, "rendered", lambda jobs: [])
    assert build.main(["04"]) == 0
    assert asked == [["04_metrics"]]
    assert "The page is complete" in capsys.readouterr().out


def test_failed_notebook_prevents_rendering(monkeypatch, capsys):
    failed = execute.Failure("04_metrics", "ValueError: no", "04-setup (import numpy)")
    monkeypatch.setattr(store.Settings, "of_book", lambda: None)
    monkeypatch.setattr(execute, "up_to_date", lambda names, _: ({}, [failed]))
    monkeypatch.setattr(build, "rendered", lambda jobs: pytest.fail("it was rendered"))
    assert build.main([]) == 1
    assert (
        "FAULT 04_metrics, cell 04-setup (import numpy): ValueError: no" in capsys.readouterr().out
    )
