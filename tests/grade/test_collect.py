"""Files to submissions: any names, folders, exports of platforms, files that are no notebook."""

import os
import zipfile

import pytest
from conftest import GOOD

from labkit.grade import collect
from labkit.grade.grader import grade

V3 = {
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
NO_NOTEBOOKS = {
    "not JSON": ("{'cells': []}", "no notebook"),
    "empty": ("", "empty"),
    "only spaces": ("  \n ", "empty"),
    "a web page": ("<!DOCTYPE html><html></html>", "web page"),
    "a list": ([1, 2], "no cells"),
    "a number": ("3", "no cells"),
    "no cells": ({"nbformat": 4}, "no cells"),
    "binary": (bytes(range(256)), "no notebook"),
    "cells that are none": ({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 3}, ""),
    "nested": ("[" * 100_000, "no notebook"),
    "sources that are none": ({"cells": [{"cell_type": "code", "source": [1]}]}, "can't be read"),
}


@pytest.mark.parametrize("name", NO_NOTEBOOKS)
def test_what_is_no_notebook_gets_a_reason(raw, name):
    content, reason = NO_NOTEBOOKS[name]
    found = grade(raw(content), None)
    assert found.points == 0 and found.problem and reason in found.problem


def test_a_huge_notebook_gets_a_reason(raw, monkeypatch):
    monkeypatch.setattr(collect, "MOST", 1000)
    assert "clear its outputs" in grade(raw(" " * 2000), None).problem


def test_a_foreign_kernel_gets_a_reason(write):
    submission = write("x <- 1", kernelspec={"name": "ir", "language": "R", "display_name": "R"})
    assert "written in R" in grade(submission, None).problem


def test_a_link_to_a_file_outside_is_not_followed(write, tmp_path):
    outside = write(GOOD, name="../outside.ipynb").path
    link = tmp_path / "class" / "link.ipynb"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    assert "link" in grade(collect.Submission("link", link), None).problem


def test_the_oldest_format_is_read(raw):
    assert collect.code_cells(raw(V3).path) == [GOOD]


def test_cells_without_metadata_and_kernel_are_read(raw):
    content = {"cells": [{"cell_type": "code", "source": ["a = 1\n", "b = 2"]}]}
    submission = raw(content | {"nbformat": 4, "nbformat_minor": 2, "metadata": {}})
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
def test_the_student_is_read_from_the_name(path, student):
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
def test_a_folder_around_all_is_no_student(write, tmp_path, names, students):
    for name in names:
        write(GOOD, name=name)
    assert [found.student for found in collect.submissions(tmp_path / "class")] == students


def test_the_last_of_several_counts_and_the_others_are_told(write, tmp_path):
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


def test_the_last_of_several_in_a_zip_counts_too(tmp_path):
    packed = tmp_path / "class.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for name, year in (("Ann/a.ipynb", 2026), ("Ann/b.ipynb", 2025), ("Ben/c.ipynb", 2024)):
            file.writestr(zipfile.ZipInfo(name, (year, 11, 27, 12, 0, 0)), "{}")
    with collect.opened(packed) as folder:
        ann, ben = collect.submissions(folder)
    assert (ann.path.name, ben.path.name) == ("a.ipynb", "c.ipynb")


def test_checkpoints_and_a_mac_s_files_are_left_out(write, tmp_path):
    for name in ("a.ipynb", ".ipynb_checkpoints/a.ipynb", "__MACOSX/._a.ipynb", "._b.ipynb"):
        write(GOOD, name=name)
    assert [found.student for found in collect.submissions(tmp_path / "class")] == ["a"]


def test_a_zip_is_opened_and_nothing_is_written_beside_it(tmp_path):
    packed = tmp_path / "class.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("Анна_1_assignsubmission_file/lab.ipynb", "{}")
        file.writestr("../../escaped.ipynb", "{}")
        file.writestr("notes.txt", "no notebook")
    with collect.opened(packed) as folder:
        assert {found.student for found in collect.submissions(folder)} == {"Анна", "escaped"}
        assert all(path.is_relative_to(folder) for path in folder.rglob("*"))
    assert not list(tmp_path.parent.glob("escaped*"))


def test_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(collect, "MOST_UNPACKED", 1000)
    packed = tmp_path / "class.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.ipynb", "0" * 100_000)
    with pytest.raises(ValueError, match="unpack it"), collect.opened(packed):
        pass


@pytest.mark.parametrize("name", ["missing", "text.txt"])
def test_what_is_no_folder_and_no_zip_is_refused(tmp_path, name):
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(ValueError, match=f"{name} is no folder"), collect.opened(tmp_path / name):
        pass


def test_a_folder_without_notebooks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no notebook"):
        collect.submissions(tmp_path)
