"""The script of the page "Try it on your photo", and what happens without npm."""

import os

import photo
import pytest


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(photo, "FOLDER", tmp_path)
    monkeypatch.setattr(photo, "SCRIPT", tmp_path / "photo-data.js")


def test_without_npm_the_book_is_built_without_the_script(monkeypatch, capsys):
    photo.SCRIPT.write_text("of an older network")
    monkeypatch.setattr(photo.shutil, "which", lambda program: None)
    assert photo.make() is None
    assert not photo.SCRIPT.exists()
    assert "npm is not installed" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="the program in its place is a shell script")
def test_a_failure_of_npm_is_said(tmp_path, monkeypatch, capsys):
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\ntest -f package-lock.json && echo "no network, $1" >&2\nexit 1\n')
    npm.chmod(0o755)
    monkeypatch.setattr(photo.shutil, "which", lambda program: str(npm))
    assert photo.make() is None
    assert "npm failed. no network, ci" in capsys.readouterr().out


def test_a_script_that_is_up_to_date_is_kept(monkeypatch):
    monkeypatch.setattr(photo.shutil, "which", lambda program: pytest.fail(f"it needs {program}"))
    photo.SCRIPT.write_text("this network")
    (photo.FOLDER / "key").write_text(photo.key())
    assert photo.make() == photo.key()
