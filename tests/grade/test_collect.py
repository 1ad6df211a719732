"""Collecting submissions: file names, folders, platform exports and invalid notebooks."""

import os
import zipfile

import pytest
from conftest import GOOD

from labkit.grade import collect
from labkit.grade.grader import grade

V3_NOTEBOOK = {
    "nbformat": 3,
    "nbformat_minor": 0,
    "metadata": {"name": ""},
    "worksheets": [
        {
            "cells": [
                {
                    "cell_type": "code",
                    "input": GOOD.splitlines(True),
                    "language": "python",
                    "outputs": [],
                    "metadata": {},
                    "collapsed": False,
                }
            ],
            "metadata": {},
        }
    ],
}
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


def test_code_cells_of_nbformat_3(write_raw):
    assert collect.code_cells(write_raw(V3_NOTEBOOK).path) == [GOOD]


def test_code_cells_without_metadata(write_raw):
    content = {"cells": [{"cell_type": "code", "source": ["a = 1\n", "b = 2"]}]}
    submission = write_raw(content | {"nbformat": 4, "nbformat_minor": 2, "metadata": {}})
    assert collect.code_cells(submission.path) == ["a = 1\nb = 2"]


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("lab.ipynb", "lab"),
        ("Иванова Анна.ipynb", "Иванова Анна"),
        ("Анна Иванова_12345_assignsubmission_file/lab.ipynb", "Анна Иванова"),
        ("Ann Lee_77_assignsubmission_file_/lab (1).ipynb", "Ann Lee"),
        ("leeann_4711_99881_lab-4.ipynb", "leeann"),
        ("leeann_LATE_4711_99881_lab.ipynb", "leeann"),
        ("group 3/李雷/lab.ipynb", "group 3"),
    ],
)
def test_student_of_path(path, student):
    from pathlib import Path

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
    ],
)
def test_submissions_ignore_enclosing_folder(write, tmp_path, names, students):
    for name in names:
        write(GOOD, name=name)
    assert [
        submission.student for submission in collect.submissions(tmp_path / "class")
    ] == students


def test_latest_submission_counts(write, tmp_path):
    for number, name in enumerate(("Ann/old.ipynb", "Ann/new.ipynb", "Ben/lab.ipynb")):
        path = write(GOOD, name=name).path
        os.utime(path, (1000 + number, 1000 + number))
    ann, ben = collect.submissions(tmp_path / "class")
    assert (ann.student, ann.path.name, [path.name for path in ann.also]) == (
        "Ann",
        "new.ipynb",
        ["old.ipynb"],
    )
    assert ben.also == ()


def test_latest_submission_in_zip_counts(tmp_path):
    packed = tmp_path / "class.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for name, year in (("Ann/a.ipynb", 2026), ("Ann/b.ipynb", 2025), ("Ben/c.ipynb", 2024)):
            file.writestr(zipfile.ZipInfo(name, (year, 11, 27, 12, 0, 0)), "{}")
    with collect.opened(packed) as folder:
        ann, ben = collect.submissions(folder)
    assert (ann.path.name, ben.path.name) == ("a.ipynb", "c.ipynb")


def test_checkpoints_and_macos_files_are_ignored(write, tmp_path):
    for name in ("a.ipynb", ".ipynb_checkpoints/a.ipynb", "__MACOSX/._a.ipynb", "._b.ipynb"):
        write(GOOD, name=name)
    assert [submission.student for submission in collect.submissions(tmp_path / "class")] == ["a"]


def test_zip_is_extracted_without_path_traversal(tmp_path):
    packed = tmp_path / "class.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("Анна_1_assignsubmission_file/lab.ipynb", "{}")
        file.writestr("../../escaped.ipynb", "{}")
        file.writestr("notes.txt", "no notebook")
    with collect.opened(packed) as folder:
        assert {submission.student for submission in collect.submissions(folder)} == {
            "Анна",
            "escaped",
        }
        assert all(path.is_relative_to(folder) for path in folder.rglob("*"))
    assert not list(tmp_path.parent.glob("escaped*"))


def test_zip_bomb_raises(tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "MOST_UNPACKED", 1000)
    packed = tmp_path / "class.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.ipynb", "0" * 100_000)
    with pytest.raises(ValueError, match="unpack it"), collect.opened(packed):
        pass


@pytest.mark.parametrize("name", ["missing", "text.txt"])
def test_path_that_is_not_folder_or_zip_raises(tmp_path, name):
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(ValueError, match=f"{name} is no folder"), collect.opened(tmp_path / name):
        pass


def test_folder_without_notebooks_raises(tmp_path):
    with pytest.raises(ValueError, match="no notebook"):
        collect.submissions(tmp_path)
