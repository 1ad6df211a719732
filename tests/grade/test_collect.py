"""Collecting submissions: file names, folders, platform exports and invalid notebooks."""

import os
import zipfile
from pathlib import Path

import pytest
from conftest import GOOD

from labkit.grade import collect
from labkit.grade.grader import grade

INVALID_NOTEBOOKS = {
    "not JSON": ("{'cells': []}", "no notebook"),
    "empty": ("", "empty"),
    "whitespace": ("  \n ", "empty"),
    "web page": ("<!DOCTYPE html><html></html>", "web page"),
    "list": ([1, 2], "no cells"),
    "number": ("3", "no cells"),
    "no cells": ({"nbformat": 4}, "no cells"),
    "binary": (bytes(range(256)), "no notebook"),
    "invalid cells": ({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}, ""),
    "deeply nested": ("[" * 100_000, "no notebook"),
    "invalid source": ({"cells": [{"cell_type": "code", "source": [1]}]}, "can't be read"),
}


@pytest.mark.parametrize("name", INVALID_NOTEBOOKS)
def test_invalid_notebook_is_reported(write_raw, name):
    content, reason = INVALID_NOTEBOOKS[name]
    result = grade(write_raw(content), None)
    assert result.points == 0 and result.problem and reason in result.problem


def test_too_large_notebook_is_reported(write_raw, monkeypatch):
    monkeypatch.setattr(collect, "MOST", 1000)
    assert "clear its outputs" in grade(write_raw(" " * 2000), None).problem


def test_other_language_is_reported(write):
    submission = write("x <- 1", kernelspec={"name": "ir", "language": "R", "display_name": "R"})
    assert "written in R" in grade(submission, None).problem


def test_symlink_is_not_followed(write, tmp_path):
    outside = write(GOOD, name="../outside.ipynb").path
    link = tmp_path / "class" / "link.ipynb"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    assert "link" in grade(collect.Submission("link", link), None).problem


@pytest.mark.parametrize(("nbformat", "key"), [(3, "input"), (4, "source")])
def test_code_cells_without_metadata(write_raw, nbformat, key):
    sheet = {"cells": [{"cell_type": "code", key: ["a = 1\n", "b = 2"]}]}
    content = {"nbformat": nbformat} | (sheet if nbformat == 4 else {"worksheets": [sheet]})
    assert collect.code_cells(write_raw(content).path) == ["a = 1\nb = 2"]


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("lab.ipynb", "lab"),
        ("Иванова Анна.ipynb", "Иванова Анна"),
        ("Анна Иванова_12345_assignsubmission_file/lab.ipynb", "Анна Иванова"),
        ("Ann Lee_77_assignsubmission_file_/lab (1).ipynb", "Ann Lee"),
        ("leeann_4711_99881_lab-4.ipynb", "leeann"),
        ("group 3/李雷/lab.ipynb", "group 3"),
    ],
)
def test_student_of_path(path, student):
    assert collect.student_of(Path(path)) == student


@pytest.mark.parametrize(
    ("names", "students"),
    [
        (["in/ann_1_2_lab.ipynb", "in/ben_LATE_1_3_lab.ipynb"], ["ann", "ben"]),
        (["in/Ann/lab.ipynb", "in/Ben/lab.ipynb"], ["Ann", "Ben"]),
        (["in/group 1/ann.ipynb", "in/group 1/ben.ipynb"], ["ann", "ben"]),
        (["in/Ann_1_assignsubmission_file/a.ipynb", "__MACOSX/in/._a.ipynb"], ["Ann"]),
        (["A_1_assignsubmission_file/a.ipynb", "A_1_assignsubmission_file/b.ipynb"], ["A"]),
        (["template.ipynb", "in/A_1_assignsubmission_file/a.ipynb"], ["A", "template"]),
        (["Ann/part/lab.ipynb"], ["Ann"]),
        (["a.ipynb", ".ipynb_checkpoints/a.ipynb", "__MACOSX/._a.ipynb", "._b.ipynb"], ["a"]),
    ],
)
def test_students_of_folder(write, tmp_path, names, students):
    """Enclosing folders, checkpoints and files of macOS are no students."""
    for name in names:
        write(GOOD, name=name)
    found = collect.submissions(tmp_path / "class")
    assert [submission.student for submission in found] == students


def test_latest_submission_counts(write, tmp_path):
    for number, name in enumerate(("Ann/old.ipynb", "Ann/new.ipynb", "Ben/lab.ipynb")):
        path = write(GOOD, name=name).path
        os.utime(path, (1000 + number, 1000 + number))
    ann, ben = collect.submissions(tmp_path / "class")
    assert (ann.student, ann.path.name, ben.also) == ("Ann", "new.ipynb", ())
    assert [path.name for path in ann.also] == ["old.ipynb"]


@pytest.fixture
def zipped(tmp_path):
    """A function that writes a ZIP of files, each with its year, and returns its path."""

    def make(files):
        with zipfile.ZipFile(tmp_path / "class.zip", "w") as packed:
            for name, year in files.items():
                entry = zipfile.ZipInfo(name, (year, 11, 27, 12, 0, 0))
                packed.writestr(entry, "{}".ljust(10_000), zipfile.ZIP_DEFLATED)
        return tmp_path / "class.zip"

    return make


def test_latest_submission_in_zip_counts(zipped):
    years = {"Ann/a.ipynb": 2026, "Ann/b.ipynb": 2025, "Ben/c.ipynb": 2024}
    with collect.opened(zipped(years)) as folder:
        ann, ben = collect.submissions(folder)
    assert (ann.path.name, ben.path.name) == ("a.ipynb", "c.ipynb")


def test_zip_is_extracted_without_path_traversal(zipped, tmp_path):
    names = "Анна_1_assignsubmission_file/lab.ipynb", "../../escaped.ipynb", "notes.txt"
    with collect.opened(zipped(dict.fromkeys(names, 2026))) as folder:
        students = {submission.student for submission in collect.submissions(folder)}
        assert students == {"Анна", "escaped"}
        assert all(path.is_relative_to(folder) for path in folder.rglob("*"))
    assert not list(tmp_path.parent.glob("escaped*"))


def test_zip_bomb_raises(zipped, monkeypatch):
    monkeypatch.setattr(collect, "MOST_UNPACKED", 1000)
    file = zipped({"a.ipynb": 2026})
    with pytest.raises(ValueError, match="unpack it"), collect.opened(file):
        pass


@pytest.mark.parametrize("name", ["missing", "text.txt"])
def test_path_that_is_not_folder_or_zip_raises(tmp_path, name):
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(ValueError, match=f"{name} is no folder"), collect.opened(tmp_path / name):
        pass


def test_folder_without_notebooks_raises(tmp_path):
    with pytest.raises(ValueError, match="no notebook"):
        collect.submissions(tmp_path)
