"""The build tool of the book: page checks, rendering and command line."""

import re
import shutil
from types import SimpleNamespace

import build
import execute
import nbformat
import notebooks
import paths
import pytest
import tidy
from settings import Settings

ROOT = paths.ROOT


def write_notebook(path, words, code="1 + 1", **metadata):
    cells = [nbformat.v4.new_markdown_cell(words, id="words")]
    cells.append(nbformat.v4.new_code_cell(code, id="code", metadata=metadata))
    nbformat.write(tidy.tidy(nbformat.v4.new_notebook(cells=cells)), path)


# --- checks of rendered pages --------------------------------------------------------------------

PAGE = "<html><article>" + "word " * 60 + "{}</article></html>"
TRACEBACK = "Traceback (most recent call last)"


@pytest.mark.parametrize(
    ("html", "tags", "fault"),
    [
        (PAGE.format(""), [], None),
        (None, [], "missing"),
        ("<html><article></article></html>", [], "empty"),
        (PAGE.format(TRACEBACK), [], "traceback"),
        (PAGE.format(TRACEBACK), [build.RAISES], None),
        (PAGE.format('<img alt="a" src="https://a.org/b.png">'), [], "loads https://a.org/b.png"),
        (PAGE.format('<script async src="//a.org/b.js"></script>'), [], "loads //a.org/b.js"),
        (PAGE.format('<link rel="stylesheet" href="http://a.org/c">'), [], "loads http://a.org/c"),
        (PAGE.format('<a href="https://a.org">a</a><img src="b.png">'), [], None),
    ],
)
def test_page_faults(course_root, html, tags, fault):
    (course_root / "_toc.yml").write_text("root: one\nparts: []\n")
    write_notebook(course_root / "one.ipynb", "Words.", "1 / 0", tags=tags)
    paths.HTML.mkdir(parents=True)
    if html:
        (paths.HTML / "one.html").write_text(html)
    faults = build.page_faults()
    assert len(faults) == bool(fault)
    assert all(one.startswith("FAULT one: ") and fault in one for one in faults)


def test_toc_pages_have_sources():
    for page in notebooks.toc():
        assert (ROOT / f"{page}.md").exists() or (ROOT / f"{page}.ipynb").exists(), page


# --- rendering -----------------------------------------------------------------------------------

TOC = "format: jb-book\nroot: book/intro\nparts:\n  - caption: All\n    chapters:\n"
TOC += "      - file: book/one\n      - file: book/two\n"
MORE = "A sentence that makes the page long enough for a page of a book. " * 5


@pytest.fixture
def course(course_root, monkeypatch):
    """A temporary book with three pages, two of them notebooks."""
    for folder in (paths.BOOK / "_static", paths.PACKAGE):
        folder.mkdir(parents=True)
    files = {"_toc.yml": TOC, "requirements.txt": "", "book/references.bib": ""}
    for name, text in (files | {"book/intro.md": f"# Start\n\n{MORE}\n"}).items():
        (course_root / name).write_text(text)
    shutil.copy(ROOT / "_config.yml", course_root)
    shutil.copy(ROOT / "book" / "_static" / "favicon.svg", paths.BOOK / "_static")
    (paths.BOOK / "_tools").symlink_to(ROOT / "book" / "_tools")
    for name in ("one", "two"):
        write_notebook(paths.BOOK / f"{name}.ipynb", f"# Chapter {name}\n\n{MORE}")
    monkeypatch.setattr(build.labs, "main", lambda names: None)
    monkeypatch.setattr(build.photo, "make", lambda: None)
    monkeypatch.chdir(course_root)
    return course_root


def render(**values):
    """Render with the given output of each notebook; returns the faults and the changed pages."""
    jobs = {}
    for name, value in values.items():
        path = paths.BUILD / f"{name}-{value}.ipynb"
        path.parent.mkdir(exist_ok=True)
        notebook = nbformat.read(paths.BOOK / f"{name}.ipynb", as_version=4)
        output = nbformat.v4.new_output("execute_result", {"text/plain": value}, execution_count=1)
        notebook.cells[1].outputs, notebook.cells[1].execution_count = [output], 1
        nbformat.write(notebook, path)
        jobs[name] = SimpleNamespace(path=path)
    before = page_times()
    faults = build.render(jobs)
    return faults, {page for page, time in page_times().items() if time != before.get(page)}


def page_times():
    """Modification time of each rendered page."""
    return {page.stem: page.stat().st_mtime_ns for page in (paths.HTML / "book").glob("*.html")}


def edit(name, before, after):
    path = paths.BOOK / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def html(page):
    """HTML of a page without the checksums of style sheets."""
    return re.sub(r"\.css\?v=\w+", ".css", (paths.HTML / "book" / f"{page}.html").read_text())


@pytest.mark.slow
def test_incremental_rendering_equals_fresh_rendering(course):
    assert render(one="11", two="22") == ([], {"intro", "one", "two"})
    assert ">11\n" in html("one") and ">22\n" in html("two")
    assert render(one="11", two="22") == ([], set())  # nothing changed
    edit("one.ipynb", "A sentence", "Another sentence")
    assert render(one="11", two="22") == ([], {"intro", "one"})  # the page and its parent's menu
    assert "Another sentence" in html("one") and ">11\n" in html("one")
    assert render(one="33", two="22") == ([], {"intro", "one"})  # an output
    assert ">33\n" in html("one")
    edit("one.ipynb", "# Chapter one", "# First chapter")
    assert render(one="33", two="22")[1] == {"intro", "one", "two"}  # in every menu
    assert "First chapter" in html("two")
    edit("two.ipynb", "A sentence", "Another sentence")
    render(one="33", two="22")
    incremental = {page: html(page) for page in ("intro", "one", "two")}
    shutil.rmtree(paths.HTML)
    (paths.BUILD / "rendered.json").unlink()
    render(one="33", two="22")
    assert {page: html(page) for page in incremental} == incremental


@pytest.mark.slow
def test_warning_is_reported_until_fixed(course):
    edit("one.ipynb", "A sentence", "A [link](nowhere.md) and a sentence")
    for _ in range(2):
        faults, _ = render(one="1")
        assert any("nowhere.md" in fault for fault in faults)
    edit("one.ipynb", "A [link](nowhere.md) and a sentence", "A sentence")
    assert render(one="1")[0] == []


@pytest.mark.slow
def test_formulas_need_no_script(course):
    edit("intro.md", "A sentence", "$p_k$ and\n\n$$\\frac{1}{2}$$\n\nA sentence")
    assert render(one="1")[0] == []
    assert "<msub>" in html("intro") and "<mfrac>" in html("intro")


@pytest.mark.slow
def test_only_published_pages_link_to_colab(course, monkeypatch):
    shutil.copy(ROOT / "book" / "_static" / "open-in-colab.svg", paths.BOOK / "_static")
    shutil.copytree(paths.BOOK, paths.LABS, ignore=lambda *_: ["_static", "_tools"])
    for name in ("one.ipynb", "intro.md"):
        edit(name, "A sentence", "The {download}`lab <labs/one.ipynb>` and a sentence")
    render(one="1")
    assert not any("colab" in html(page).lower() for page in ("intro", "one"))
    monkeypatch.setenv("COURSE_ADDRESS", "https://github.com/a-teacher/pets")
    assert render(one="1") == ([], {"intro", "one", "two"})
    folder = "https://colab.research.google.com/github/a-teacher/pets/blob/gh-pages/colab/book"
    expected = {"intro": ["labs/one"], "one": ["one", "labs/one"], "two": ["two"]}
    for page, names in expected.items():
        badge = r'<a [^>]*href="([^"]*)"><img alt="Open in Colab" src="([^"]*)'
        links = dict(re.findall(badge, html(page)))
        assert list(links) == [f"{folder}/{name}.ipynb" for name in names]
        assert all((paths.HTML / "book" / image).exists() for image in links.values())
        assert ("logo_colab" in html(page)) == (page != "intro")  # the theme's button


# --- command line --------------------------------------------------------------------------------


def test_folder_that_sphinx_cannot_read_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "ROOT", tmp_path / "course [a]")
    assert build.main([]) == 2
    assert str(tmp_path / "course [a]") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "failures", "status", "names"),
    [
        (["99"], [], 2, None),  # no such chapter
        (["04"], [], 0, ["04_metrics"]),
        ([], [], 0, notebooks.names()),
        ([], [execute.Failure("04_metrics", "ValueError: no", "04-setup")], 1, notebooks.names()),
    ],
)
def test_command_executes_then_renders(arguments, failures, status, names, monkeypatch, capsys):
    executed, rendered = [], []
    monkeypatch.setattr(Settings, "of_book", lambda: None)
    monkeypatch.setattr(
        execute, "up_to_date", lambda names, _: executed.append(names) or ({"a": 1}, failures)
    )
    monkeypatch.setattr(build, "render", lambda jobs: rendered.append(jobs) or [])
    assert build.main(arguments) == status
    assert executed == ([names] if names else [])
    assert len(rendered) == (status == 0)
    assert all(str(failure) in capsys.readouterr().out for failure in failures)
