"""Collecting submissions: file names, folders, platform exports and invalid notebooks."""

import os
import zipfile
from pathlib import PurePosixPath

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
    "metadata",
    [None, {"kernelspec": None}, {"kernelspec": {}}, {"kernelspec": {"language": "ipython"}}],
)
def test_notebook_of_no_other_language_is_python(write_raw, metadata):
    cells = [{"cell_type": "code", "source": "a = 1"}]
    content = {"nbformat": 4, "metadata": metadata, "cells": cells}
    assert collect.code_cells(write_raw(content).path) == ["a = 1"]


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("lab.ipynb", ("lab", "")),
        ("Иванова Анна.ipynb.txt", ("Иванова Анна", "")),
        ("Анна Иванова_12345_assignsubmission_file/lab.ipynb", ("Анна Иванова", "12345")),
        ("Ann Lee_77_assignsubmission_file_/lab (1).ipynb", ("Ann Lee", "77")),
        ("group 3/李雷/lab.ipynb", ("group 3", "")),
        ("ann_2026_11_27.ipynb", ("ann_2026_11_27", "")),
    ],
)
def test_student_of_path(path, student):
    assert collect.student_of(PurePosixPath(path)) == student


def students_of(*names):
    """The students of files with these names, with their ids."""
    found = collect.submissions([collect.File(PurePosixPath(name)) for name in names])
    return [(submission.student, submission.id) for submission in found]


def test_canvas_is_recognized_if_all_names_and_numbers_fit():
    canvas = ["lee_4711_99881_lab.ipynb", "poe_LATE_4712_99882_a_b.ipynb", "kim_3_4_lab.pdf"]
    assert students_of(*canvas) == [("kim", "3"), ("lee", "4711"), ("poe", "4712")]
    dates = ["lee_2026_11_27_lab.ipynb", "poe_2026_11_28_lab.ipynb"]
    assert students_of(*dates) == [("lee_2026_11_27_lab", ""), ("poe_2026_11_28_lab", "")]
    text = "poe_LATE_4712_text.html"  # instead of a file
    assert students_of(canvas[0], text) == [("lee", "4711"), ("poe", "4712")]
    assert students_of(canvas[0], "kim.ipynb") == [("kim", ""), ("lee_4711_99881_lab", "")]


def test_moodle_without_folders_is_recognized():
    names = ["Ann Lee_77_assignsubmission_file_lab.ipynb", "Ben_8_assignsubmission_file_a.pdf"]
    assert students_of(*names) == [("Ann Lee", "77"), ("Ben", "8")]


def test_whoever_has_only_hidden_files_has_a_row():
    hidden = ["Ann/.ipynb", "Eve/.ipynb_checkpoints/lab.ipynb", "__MACOSX/Zoe/._lab.ipynb"]
    assert students_of("Ben/lab.ipynb", *hidden) == [("Ann", ""), ("Ben", ""), ("Eve", "")]


def test_two_students_of_one_name_are_two():
    names = [f"Ann Lee_{id}_assignsubmission_file/lab.ipynb" for id in (77, 78)]
    assert students_of(*names) == [("Ann Lee", "77"), ("Ann Lee", "78")]


def test_whoever_handed_in_no_notebook_has_a_row(write, write_raw, tmp_path):
    place = "{}_1_assignsubmission_file/{}".format
    write(GOOD, name=place("Anna", "lab.ipynb"))
    write(GOOD, name=place("Boris", "lab.ipynb.txt"))
    write(GOOD, name=place("Clara", "LAB.IPYNB"))
    write_raw("x", name=place("Dora", "lab.pdf"))
    write_raw("x", name="grades of the class.csv")
    (tmp_path / "class" / "Emil_2_assignsubmission_file").mkdir()
    with collect.opened(tmp_path / "class") as files:
        found = collect.submissions(files)
    assert {one.student: one.problem for one in found} == {
        "Anna": "",
        "Boris": "",
        "Clara": "",
        "Dora": "no notebook (.ipynb), but lab.pdf",
        "Emil": "no notebook (.ipynb), but an empty folder",
    }
    assert grade(found[-1], None).problem == found[-1].problem


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
    with collect.opened(tmp_path / "class") as files:
        found = collect.submissions(files)
    assert [submission.student for submission in found] == students


def test_latest_submission_counts(write, tmp_path):
    for number, name in enumerate(("Ann/old.ipynb", "Ann/new.ipynb", "Ben/lab.ipynb")):
        path = write(GOOD, name=name).path
        os.utime(path, (1000 + number, 1000 + number))
    ann, ben = collect.submissions(collect.in_folder(tmp_path / "class"))
    assert (ann.student, ann.path.name, ben.also) == ("Ann", "new.ipynb", ())
    assert ann.also == ("Ann/old.ipynb",)


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
    with collect.opened(zipped(years)) as files:
        ann, ben = collect.submissions(files)
    assert (ann.also, ben.also) == (("Ann/b.ipynb",), ())


def test_zip_is_extracted_without_path_traversal(zipped, tmp_path):
    long = "лабораторная работа " * 8
    names = (
        "Анна_1_assignsubmission_file/lab.ipynb",
        "../../escaped.ipynb",
        f"{long}.ipynb",
        "a.txt",
    )
    with collect.opened(zipped(dict.fromkeys(names, 2026))) as files:
        students = {submission.student for submission in collect.submissions(files)}
        assert students == {"Анна", "escaped", long.strip()}
        assert len({file.path.parent for file in files if file.path}) == 1
    assert not list(tmp_path.parent.glob("**/escaped*"))


@pytest.mark.parametrize("encoding", ["utf-8", "cp866", "cp437"])
def test_names_in_a_zip_without_the_flag_for_utf_8(zipped, encoding):
    """A Mac, a Russian Windows and a Western one write them, here with backslashes."""
    name = {"cp437": "Jürgen Größe"}.get(encoding, "Пётр_Lee 2")
    raw = name.encode(encoding)
    file = zipped({f"class\\{'X' * len(raw)}\\lab.ipynb": 2026, "class\\Ann\\lab.ipynb": 2026})
    file.write_bytes(file.read_bytes().replace(b"X" * len(raw), raw))
    with collect.opened(file) as files:
        assert [one.student for one in collect.submissions(files)] == ["Ann", name]


def test_a_student_is_one_with_composed_and_decomposed_letters(write, zipped, tmp_path):
    names = ["Ben/lab.ipynb", "Mu\u0308ller/a.ipynb", "M\u00fcller/b.ipynb"]
    for name in names:
        write(GOOD, name=name)
    for place in (tmp_path / "class", zipped(dict.fromkeys(names, 2026))):
        with collect.opened(place) as files:
            students = [one.student for one in collect.submissions(files)]
        assert students == ["Ben", "M\u00fcller"]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("method", 99, "compression method"),
        ("flags", 1, "encrypted"),
        ("content", None, "can't be unpacked"),
        ("folder", None, ""),
    ],
)
def test_damaged_entry_of_a_zip_is_the_problem_of_its_student(zipped, field, value, reason):
    file = zipped({"Ann/lab.ipynb": 2026, "Ben/lab.ipynb": 2026, "Emil/": 2026})
    data = bytearray(file.read_bytes())
    start = data.index(b"Ben/lab.ipynb")  # in the local header; the central directory is last
    listed = data.rindex(b"Ben/lab.ipynb")
    if field == "method":
        data[start - 22], data[listed - 36] = value, value
    if field == "flags":
        data[start - 24] = data[listed - 38] = value
    if field == "content":
        data[start + 20] ^= 255
    file.write_bytes(data)
    with collect.opened(file) as files:
        found = {one.student: one.problem for one in collect.submissions(files)}
    assert found["Ann"] == "" and reason in found["Ben"] and bool(found["Ben"]) == bool(reason)
    assert "an empty folder" in found["Emil"]


def test_strange_names_in_a_zip_stop_nothing(zipped):
    names = "class\\", "class\\Ann\\lab.ipynb", "class\\Ben\\lab.ipynb", "..", "\\"
    with collect.opened(zipped(dict.fromkeys(names, 2026))) as files:
        assert [one.student for one in collect.submissions(files)] == ["Ann", "Ben"]


def test_name_that_is_no_cp437_is_kept():
    entry = zipfile.ZipInfo("Ann/lab.ipynb")
    entry.filename = "Иван/lab.ipynb"  # as newer versions of zipfile read a name in Unicode
    assert collect.name_of(entry) == "Иван/lab.ipynb"


def test_damaged_zip_raises(zipped):
    file = zipped({"Ann/lab.ipynb": 2026})
    data = file.read_bytes()
    file.write_bytes(data.replace(b"PK\x01\x02", b"PK\x00\x00"))
    with pytest.raises(ValueError, match="damaged ZIP"), collect.opened(file):
        pass


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
        collect.submissions(collect.in_folder(tmp_path))
