"""Folders of the course, and of what is made from it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
LABS = BOOK / "labs"
PACKAGE = ROOT / "labkit"
BUILD = ROOT / "_build"
EXECUTED = BUILD / "executed"
HTML = BUILD / "html"
PUBLISHED = BUILD / "published"
