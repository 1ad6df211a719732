"""Publishing: addresses, notebooks for Google Colab and the branch with the site."""

import ast
import os
import re
import shutil
from functools import cache

import address as addresses
import build
import nbformat
import notebooks
import paths
import publish
import pytest

BOOK = paths.BOOK
URL = "https://github.com/a-teacher/pets"
ADDRESS = addresses.find(URL)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
each_notebook = pytest.mark.parametrize("name", notebooks.all_names())


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [URL, f"{URL}/", f"{URL}.git", "git@github.com:a-teacher/pets.git"]
)
def test_address_of_github_repository(text):
    colab = "https://colab.research.google.com/github/a-teacher/pets/blob/gh-pages/colab"
    site = "https://a-teacher.github.io/pets"
    assert addresses.find(text) == addresses.Address(URL, site, colab, in_colab=True)


def test_address_of_user_site_and_folder(tmp_path):
    assert addresses.find("https://github.com/Me/me.github.io").site == "https://me.github.io"
    folder = addresses.find(str(tmp_path))
    assert folder.clone == tmp_path.as_uri() and not folder.in_colab


@pytest.mark.parametrize("text", ["", "https://example.org/a/b", "https://github.com/a", "gone"])
def test_unsupported_address_is_rejected(text, capsys):
    assert publish.main([text]) == 1
    assert "https://github.com/NAME/REPOSITORY" in capsys.readouterr().err


# --- notebooks -----------------------------------------------------------------------------------


@cache
def published(name):
    return publish.published(name, ADDRESS, COMMIT)


@each_notebook
def test_published_notebook_is_source_after_setup_cell(name):
    source, made = notebooks.source(name), published(name)
    nbformat.validate(made)
    assert [cell.id for cell in made.cells[2:]] == [cell.id for cell in source.cells]
    assert len({cell.id for cell in made.cells}) == len(made.cells)
    setup, *codes = (cell.source for cell in notebooks.code_cells(made))
    assert codes == [cell.source for cell in notebooks.code_cells(source)]
    assert not any(cell.get("outputs") for cell in made.cells)
    ast.parse(re.sub("^%.*", "", setup, flags=re.MULTILINE))
    course, *others = re.findall("^%pip.*", setup, re.MULTILINE)
    assert f'--no-deps "git+{ADDRESS.clone}@{COMMIT}"' in course
    assert others == (["%pip install --quiet optuna"] if name == "13_methods" else [])


@each_notebook
def test_published_text_is_plain_and_links_have_targets(name):
    for cell in published(name).cells:
        if cell.cell_type == "code":
            continue
        assert not re.search(r"\{[a-z-]+\}`|^:::|^```\{", cell.source, re.MULTILINE), cell.id
        for link in re.findall(r"\]\(([^)]*)\)", cell.source):
            assert link.startswith(("https://", "#")), (cell.id, link)
            file = link.partition("#")[0]
            if file.startswith(ADDRESS.notebooks):
                file = file.removeprefix(f"{ADDRESS.notebooks}/book/").removesuffix(".ipynb")
                assert file in notebooks.all_names(), link
            elif file.startswith(ADDRESS.site):
                file = file.removeprefix(f"{ADDRESS.site}/")
                path = (paths.ROOT if file.startswith("book/") else BOOK) / file
                assert path.exists() or path.with_suffix(".md").exists(), link


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("ronneberger2015", "Ronneberger et al. 2015"),
        ("dice1945", "Dice 1945"),
        ("tensorflow_segmentation", "TensorFlow Authors"),
    ],
)
def test_citation_shows_authors_and_year(key, words):
    assert publish.short(key) == words


def test_separate_solutions_publish_labs(tmp_path, monkeypatch):
    chapter, lab, other = map(published, ("04_metrics", "labs/04_metrics", "01_theory"))
    for name in ("_config.yml", "_toc.yml"):
        text = (paths.ROOT / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace("solutions: folded", "solutions: apart"))
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    made = publish.published("04_metrics", ADDRESS, COMMIT)
    assert made.cells[2:] == lab.cells[2:] != chapter.cells[2:]
    assert publish.published("01_theory", ADDRESS, COMMIT) == other  # has no lab
    chapters = [notebooks.source(name) for name in notebooks.all_names()]
    solutions = {cell.source for chapter in chapters for cell in chapter.cells if is_task(cell)}
    for name in notebooks.all_names():
        made = publish.published(name, ADDRESS, COMMIT)
        assert not solutions.intersection(cell.source for cell in made.cells), name


def is_task(cell):
    return any(tag.startswith("task-") for tag in cell.metadata.get("tags", []))


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
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(paths.ROOT / name, folder)
    monkeypatch.setattr(paths, "ROOT", folder)
    publish.git("init", "--quiet")
    publish.git("reset", "--quiet", publish.commit_of(folder, "The course"))
    return folder


def test_sources_must_be_committed_and_pushed(clone, tmp_path):
    publish.git("init", "--quiet", "--bare", tmp_path / "fork.git")
    fork = addresses.find(str(tmp_path / "fork.git"))
    with pytest.raises(ValueError, match="push"):
        publish.published_commit(fork)
    publish.git("push", "--quiet", tmp_path / "fork.git", "HEAD:refs/heads/main")
    assert publish.published_commit(fork) == publish.git("rev-parse", "HEAD")
    (clone / "labkit" / "new.py").write_text("")
    with pytest.raises(ValueError, match=r"Commit[^$]*labkit/new.py"):
        publish.published_commit(fork)


def test_publish_commits_site_and_notebooks_to_branch(clone, tmp_path, monkeypatch, capsys):
    for name in ("HTML", "PUBLISHED"):
        monkeypatch.setattr(paths, name, tmp_path / name)
    (paths.HTML / "book").mkdir(parents=True)
    (paths.HTML / "book" / "intro.html").write_text("<html>")
    built = {}
    monkeypatch.setattr(build, "main", lambda _: built.update(os.environ) or 0)
    assert publish.main([str(clone)]) == 0
    assert (built["COURSE_ADDRESS"], built["LABKIT_DATA"]) == (clone.as_uri(), "synthetic")
    names = publish.git("ls-tree", "-r", "--name-only", "gh-pages").split()
    made = {f"colab/book/{name}.ipynb" for name in notebooks.all_names()}
    assert set(names) == {".nojekyll", "book/intro.html"} | made
    assert publish.git("status", "--porcelain") == ""  # the index is unchanged
    assert f"git push --force {clone.as_uri()} gh-pages" in capsys.readouterr().out


def test_incomplete_book_is_not_published(clone, monkeypatch):
    monkeypatch.setattr(build, "main", lambda _: 1)
    assert publish.main([str(clone)]) == 1
    assert "gh-pages" not in publish.git("branch", "--list")
