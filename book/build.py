"""Build the book: execute every notebook, render from fresh, look at every page.

    python book/build.py

`jupyter-book build` alone ends with 0 when a notebook raised. This ends non-zero if a notebook
raised, a reference is broken, or a page of _toc.yml is missing, empty or shows a traceback that
its chapter did not announce. When nothing changed since the last build it only says so.
"""

import hashlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build"
HTML = BUILD / "html"
LOG = BUILD / "book.log"
STAMP = BUILD / "built.json"
# And all that begin with LABKIT_.
SETTINGS = ("COURSE_ADDRESS", "TFDS_DATA_DIR", "KERAS_HOME", "KERAS_BACKEND")
RAISES = "raises-exception"


def main():
    os.chdir(ROOT)
    resolve_paths()
    inputs = fingerprint()
    if STAMP.exists() and json.loads(STAMP.read_text()) == inputs and not faults():
        print(f"Nothing changed since the last build.\n{HTML / 'book' / 'intro.html'}")
        return 0
    shutil.rmtree(BUILD / "runs", ignore_errors=True)
    for old in (HTML, BUILD / ".doctrees", BUILD / "jupyter_execute"):
        shutil.rmtree(old, ignore_errors=True)
    STAMP.unlink(missing_ok=True)
    status = render()
    found = faults()
    for fault in found:
        print(f"FAULT {fault}")
    if status or found:
        print(f"The book is not complete. The whole log: {LOG}")
        return 1
    STAMP.write_text(json.dumps(inputs))
    print(f"The book is complete. Its first page:\n{HTML / 'book' / 'intro.html'}")
    return 0


def resolve_paths():
    """Notebooks run in book/: make the folders that the settings name independent of that."""
    for name in ("TFDS_DATA_DIR", "KERAS_HOME", "LABKIT_CACHE"):
        if os.environ.get(name):
            os.environ[name] = str(Path(os.environ[name]).expanduser().resolve())
    # Apart from a reader's own runs; relative to book/, because pages show where a run is kept.
    os.environ["LABKIT_RUNS"] = os.path.join("..", "_build", "runs")


def fingerprint():
    """All that shapes the book: sources by content, settings, and which data are at hand."""
    files = [ROOT / name for name in ("_config.yml", "_toc.yml", "requirements.txt")]
    for folder in (ROOT / "book", ROOT / "labkit"):
        files += [path for path in folder.rglob("*") if is_source(path)]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    settings = {k: v for k, v in os.environ.items() if k in SETTINGS or k.startswith("LABKIT_")}
    from labkit import data

    there = (data.prepared_folder() / "dataset_info.json").exists()
    return {"sources": digest.hexdigest(), "settings": settings, "real data": there}


def is_source(path):
    skipped = {"__pycache__", ".ipynb_checkpoints", "runs"}
    return path.is_file() and not skipped & set(path.relative_to(ROOT).parts)


def pages():
    """The pages of _toc.yml, as paths without an ending."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(entry["file"] for part in toc["parts"] for entry in part["chapters"])]


def render():
    """Run jupyter-book, tell how far it is, keep its whole log; returns its exit status."""
    notebooks = [page for page in pages() if (ROOT / f"{page}.ipynb").exists()]
    print(
        f"Building the book: {len(pages())} pages, {len(notebooks)} of them notebooks to execute."
    )
    book = "from jupyter_book.cli.main import main; main()"  # it can't be called with -m
    command = [sys.executable, "-c", book, "build", ".", "-W", "--keep-going", "--all"]
    BUILD.mkdir(exist_ok=True)
    with open(LOG, "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        for line in follow(process):
            log.write(line)
            tell(line, len(notebooks))
    return process.wait()


def follow(process, every=30):
    """The lines of a process as they come; when none comes for a while, a sign of life."""
    lines = queue.Queue()

    def read():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    start = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=every)
        except queue.Empty:
            print(f"    still at it, {time.monotonic() - start:.0f} s since the start", flush=True)
            continue
        if line is None:
            return
        yield line


executed = 0


def tell(line, total):
    """Of jupyter-book's log, what a person waits for: notebooks, warnings, errors."""
    global executed
    line = re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip()
    name = re.search(r"([\w-]+)\.ipynb", line)
    if "Executing notebook" in line and name:
        executed += 1
        print(f"[{executed} of {total}] executing {name[1]}", flush=True)
    elif "Executed notebook in" in line:
        print(f"    {line.split('Executed notebook in')[1].split('[')[0].strip()}", flush=True)
    elif re.search(r"\b(WARNING|ERROR):|Error:|Traceback", line) and "absl" not in line:
        print(f"    {line}", flush=True)


def faults():
    """What is wrong with the pages, in words; an empty list if nothing is."""
    found = []
    for page in pages():
        path = HTML / f"{page}.html"
        if not path.exists():
            found.append(f"{page}: the page is missing")
            continue
        html = path.read_text(encoding="utf-8")
        article = re.search(r"<article.*?</article>", html, re.DOTALL)
        words = re.sub(r"<[^>]+>", " ", article[0] if article else "").split()
        if len(words) < 50:
            found.append(f"{page}: the page is empty ({len(words)} words)")
        shown = html.count("Traceback (most recent call last)")
        if shown > announced(page):
            found.append(f"{page}: the page shows a traceback")
    return found


def announced(page):
    """Number of cells of a notebook that are meant to raise."""
    path = ROOT / f"{page}.ipynb"
    if not path.exists():
        return 0
    cells = nbformat.read(path, as_version=4).cells
    return sum(RAISES in cell.metadata.get("tags", []) for cell in cells)


if __name__ == "__main__":
    sys.exit(main())
