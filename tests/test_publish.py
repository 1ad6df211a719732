"""Publishing: addresses, notebooks for Google Colab and links to them."""

import ast
import os
import re
import shutil
import subprocess
import sys
from functools import cache

import address as addresses
import nbformat
import publish
import pytest
import store

BOOK = publish.BOOK
ADDRESS = addresses.find("https://github.com/a-teacher/pets")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
each_notebook = pytest.mark.parametrize("name", publish.sources())


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/a-teacher/pets",
        "https://github.com/a-teacher/pets/",
        "https://github.com/a-teacher/pets.git",
        "git@github.com:a-teacher/pets.git",
    ],
)
def test_address_accepts_github_urls(text):
    assert addresses.find(text) == addresses.Address(
        "https://github.com/a-teacher/pets",
        "https://a-teacher.github.io/pets",
        "https://colab.research.google.com/github/a-teacher/pets/blob/gh-pages/colab",
        in_colab=True,
    )


def test_address_of_user_site():
    assert addresses.find("https://github.com/Me/me.github.io").site == "https://me.github.io"


@pytest.mark.parametrize("text", ["", "https://example.org/a/b", "https://github.com/a", "gone"])
def test_unsupported_address_is_rejected(text, capsys):
    assert publish.main([text]) == 1
    assert "https://github.com/NAME/REPOSITORY" in capsys.readouterr().err


def test_address_accepts_local_folder(tmp_path):
    address = addresses.find(str(tmp_path))
    assert address.clone == tmp_path.as_uri() and not address.in_colab


# --- notebooks -----------------------------------------------------------------------------------


@cache
def published(name):
    return publish.published(name, ADDRESS, COMMIT)


@each_notebook
def test_published_notebook_is_source_after_setup_cell(name):
    source, made = store.source(name), published(name)
    nbformat.validate(made)
    assert [cell.id for cell in made.cells[2:]] == [cell.id for cell in source.cells]
    assert len({cell.id for cell in made.cells}) == len(made.cells)
    codes = [
        [c.source for c in notebook.cells if c.cell_type == "code"] for notebook in (source, made)
    ]
    assert codes[1][1:] == codes[0]
    assert not any(cell.get("outputs") for cell in made.cells)


@each_notebook
def test_setup_cell_installs_course_at_commit(name):
    words, cell = published(name).cells[:2]
    assert words.cell_type == "markdown" and cell.id.endswith("-colab")
    ast.parse(re.sub("^%.*", "", cell.source, flags=re.MULTILINE))
    assert f'--no-deps "git+{ADDRESS.clone}@{COMMIT}"' in cell.source
    others = re.findall("^%pip.*", cell.source, re.MULTILINE)[1:]
    assert others == (["%pip install --quiet optuna"] if name == "11_methods" else [])


@each_notebook
def test_published_notebook_has_no_book_only_links(name):
    for cell in published(name).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\{[a-z-]+\}`|^:::|^```\{", cell.source, re.MULTILINE), cell.id
            for link in re.findall(r"\]\(([^)]*)\)", cell.source):
                assert link.startswith(("https://", "#")), (cell.id, link)


@each_notebook
def test_course_links_have_targets(name):
    text = "\n".join(c.source for c in published(name).cells if c.cell_type == "markdown")
    for link in re.findall(rf"\]\({ADDRESS.notebooks}/([^)#]*)", text):
        assert link.removeprefix("book/").removesuffix(".ipynb") in publish.sources(), link
    for link in re.findall(rf"\]\({ADDRESS.site}/([^)#]*)", text):
        file = BOOK.parent / link if link.startswith("book/") else BOOK / link
        assert file.exists() or file.with_suffix(".md").exists(), link


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("ronneberger2015", "Ronneberger et al. 2015"),
        ("long2015", "Long et al. 2015"),
        ("dice1945", "Dice 1945"),
        ("tensorflow_segmentation", "TensorFlow Authors"),
    ],
)
def test_citation_shows_authors_and_year(key, words):
    assert publish.short(key) == words


def test_separate_solutions_publish_labs(tmp_path, monkeypatch):
    config = (BOOK.parent / "_config.yml").read_text(encoding="utf-8")
    (tmp_path / "_config.yml").write_text(config.replace("solutions: folded", "solutions: apart"))
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    made = publish.published("04_metrics", ADDRESS, COMMIT)
    assert "# Lab: " in made.cells[2].source
    assert made.cells[2:] == published("labs/04_metrics").cells[2:]
    assert "# Lab: " not in publish.published("01_theory", ADDRESS, COMMIT).cells[2].source


# --- git -----------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A temporary repository with one commit, used as the course."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("COURSE_ADDRESS", "LABKIT_DATA"):
        monkeypatch.setenv(name, "before")  # so that it is restored
        monkeypatch.delenv(name)
    folder = tmp_path / "clone"
    (folder / "labkit").mkdir(parents=True)
    (folder / "labkit" / "__init__.py").write_text("")
    shutil.copy(BOOK.parent / "_config.yml", folder)
    monkeypatch.setattr(publish, "ROOT", folder)
    publish.git("init", "--quiet")
    publish.git("reset", "--quiet", publish.commit_of(folder, "The course"))
    return folder


def test_uncommitted_changes_raise(clone):
    (clone / "labkit" / "new.py").write_text("")
    with pytest.raises(ValueError, match=r"Commit these changes first[^$]*labkit/new.py"):
        publish.checked_commit(addresses.find(str(clone)))


def test_unpushed_commit_raises(clone, tmp_path):
    publish.git("init", "--quiet", "--bare", tmp_path / "fork.git")
    fork = addresses.find(str(tmp_path / "fork.git"))
    with pytest.raises(ValueError, match="push it first"):
        publish.checked_commit(fork)
    publish.git("push", "--quiet", tmp_path / "fork.git", "HEAD:refs/heads/main")
    assert publish.checked_commit(fork) == publish.git("rev-parse", "HEAD")


def test_commit_of_folder_keeps_index(clone, tmp_path):
    site = tmp_path / "site"
    (site / "_static").mkdir(parents=True)
    (site / ".nojekyll").touch()
    (site / "_static" / "a.css").write_text("a")
    made = publish.commit_of(site, "Published")
    names = publish.git("ls-tree", "-r", "--name-only", made).split()
    assert names == [".nojekyll", "_static/a.css"]
    assert publish.git("status", "--porcelain") == ""


def test_publish_commits_site_and_notebooks_to_branch(clone, tmp_path, monkeypatch, capsys):
    import build

    (tmp_path / "html" / "book").mkdir(parents=True)
    (tmp_path / "html" / "book" / "intro.html").write_text("<html>")
    monkeypatch.setattr(build, "HTML", tmp_path / "html")
    monkeypatch.setattr(build, "main", lambda _: built.update(os.environ) or 0)
    monkeypatch.setattr(addresses, "PUBLISHED", tmp_path / "published")
    built = {}
    assert publish.main([str(clone)]) == 0
    assert (built["COURSE_ADDRESS"], built["LABKIT_DATA"]) == (clone.as_uri(), "synthetic")
    names = publish.git("ls-tree", "-r", "--name-only", "gh-pages").split()
    assert {".nojekyll", "book/intro.html", "colab/book/01_theory.ipynb"} < set(names)
    assert len([name for name in names if name.startswith("colab/")]) == len(publish.sources())
    assert f"git push --force {clone.as_uri()} gh-pages" in capsys.readouterr().out


def test_incomplete_book_is_not_published(clone, monkeypatch):
    import build

    monkeypatch.setattr(build, "main", lambda _: 1)
    assert publish.main([str(clone)]) == 1
    assert "gh-pages" not in publish.git("branch", "--list")


# --- pages ---------------------------------------------------------------------------------------

CONF = """
import sys

sys.path.insert(0, {extensions!r})
extensions = ["myst_nb", "colab"]
nb_execution_mode = "off"
html_theme = "sphinx_book_theme"
"""
LABS = "# Labs\n\n- {download}`Metrics <../labs/04_metrics.ipynb>`: IoU.\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A book with three pages: a chapter, the list of labs and a start page."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("labs", "back", "_static"):
        (folder / "book" / name).mkdir(parents=True)
    (folder / "conf.py").write_text(CONF.format(extensions=str(BOOK / "_tools")))
    (folder / "index.md").write_text(
        "# Start\n\n```{toctree}\nbook/04_metrics\nbook/back/labs\n```\n"
    )
    (folder / "book" / "back" / "labs.md").write_text(LABS)
    shutil.copy(BOOK / "_static" / "open-in-colab.svg", folder / "book" / "_static")
    text = nbformat.v4.new_markdown_cell(
        "# Metrics\n\nSee the {download}`lab <labs/04_metrics.ipynb>`."
    )
    notebook = nbformat.v4.new_notebook(cells=[text, nbformat.v4.new_code_cell("1 + 1")])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "book" / "04_metrics.ipynb")
    nbformat.write(notebook, folder / "book" / "labs" / "04_metrics.ipynb")
    return folder


def build(project, to, address):
    """Build the project; return the HTML of the chapter, the list of labs and the start page."""
    command = [sys.executable, "-m", "sphinx", "-q", str(project), str(project / to)]
    environment = {key: value for key, value in os.environ.items() if key != "COURSE_ADDRESS"}
    environment |= {"COURSE_ADDRESS": address} if address else {}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    pages = ("book/04_metrics", "book/back/labs", "index")
    return [(project / to / f"{page}.html").read_text(encoding="utf-8") for page in pages]


def colab_links(html):
    """Colab addresses that a page links to, and the number of badges."""
    badges = re.findall(r'<a [^>]*><img alt="Open in Colab" src="([^"]*)"', html)
    return sorted(set(re.findall(r'href="(https://colab[^"]*)"', html))), len(badges)


def test_published_page_links_to_colab(project):
    chapter, labs, start = build(project, "published", ADDRESS.clone)
    addresses_in_colab = [
        f"{ADDRESS.notebooks}/book/{name}.ipynb" for name in ("04_metrics", "labs/04_metrics")
    ]
    assert colab_links(chapter) == (addresses_in_colab, 2)
    assert "logo_colab" in chapter  # the theme's button
    assert colab_links(labs) == (addresses_in_colab[1:], 1)
    assert colab_links(start) == ([], 0)
    shown = re.search(r'alt="Open in Colab" src="([^"]*)"', chapter)[1]
    assert (project / "published" / "book" / shown).exists()


@pytest.mark.parametrize("address", [None, "/"])
def test_local_page_has_no_colab_links(project, address):
    for html in build(project, "here", address):
        assert colab_links(html) == ([], 0)
        assert "colab" not in html.lower()
