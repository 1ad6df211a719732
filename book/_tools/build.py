"""Build the book: execute the notebooks that are stale, render the pages that changed.

    python book/_tools/build.py         the whole book
    python book/_tools/build.py 04      chapter 4 alone

Ends non-zero if a notebook raised, a reference is broken, or a page of _toc.yml is missing, empty
or shows a traceback that its chapter did not announce.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import execute
import labs
import nbformat
import store

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "_build"
HTML = BUILD / "html"
LOG = BUILD / "book.log"
STAMP = BUILD / "rendered.json"
FIRST = HTML / "book" / "intro.html"
RAISES = "raises-exception"
# Of a page's text, what other pages show: headings, labels, citations.
SHOWN = re.compile(r"^\s*\"?#+ .*|^\s*\"?\([\w-]+\)=|\{cite\}`[^`]*`", re.MULTILINE)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", nargs="?", help='execute and render this one alone, as "04"')
    chapter = parser.parse_args(arguments).chapter
    os.chdir(ROOT)
    chosen = [name for name in store.names() if not chapter or name.startswith(chapter)]
    if not chosen:
        print(f"{chapter!r} is no chapter: use the start of one of {', '.join(store.names())}")
        return 2
    try:
        settings = store.Settings.of_book()
    except (ValueError, ConnectionError) as error:
        print(error)
        return 2
    jobs, failures = execute.up_to_date(chosen, settings)
    found = failures or rendered(jobs)
    for fault in found:
        print(fault)
    if found:
        print("The book is not complete. What was executed is kept.")
        return 1
    print(f"The {'page' if chapter else 'book'} is complete:\n{page_of(jobs, chapter)}")
    return 0


def page_of(jobs, chapter):
    """The page to look at."""
    last = list(jobs)[-1]
    return HTML / "book" / f"{last}.html" if chapter else FIRST


# --- rendering -----------------------------------------------------------------------------------


def rendered(jobs):
    """Render what changed; returns the faults, in words."""
    before = json.loads(STAMP.read_text()) if STAMP.exists() else {}
    outputs = {f"book/{name}": str(one.path) for name, one in jobs.items()}
    now = {"outputs": before.get("outputs", {}) | outputs, "frame": frame(), "texts": texts()}
    if now == before:
        print("Nothing changed since the last build.")
        return []
    labs.main([])
    STAMP.unlink(missing_ok=True)  # whatever happens now, a half is never taken for the whole
    whole = now["frame"] != before.get("frame")
    print(f"Rendering {'the whole book' if whole else 'what changed'}.", flush=True)
    found = sphinx(now["outputs"], whole) + faults()
    if not found:
        store.write(STAMP, json.dumps(now))
    return found


def frame():
    """A hash of what shows on pages other than its own; a change of it renders the whole book."""
    files = [ROOT / name for name in ("_config.yml", "_toc.yml", "requirements.txt")]
    files += [ROOT / "book" / "references.bib", *(ROOT / "book" / "_static").iterdir()]
    files += [Path(__file__).with_name(f"{name}.py") for name in ("address", "colab")]
    files += [Path(__file__).with_name(f"{name}.py") for name in ("outputs", "solutions")]
    shown = [SHOWN.findall(file.read_text(encoding="utf-8")) for file in sources()]
    address = os.environ.get("COURSE_ADDRESS", "")
    return store.digest([content(files), shown, address])


def texts():
    """A hash of the pages, and of the package, whose docstrings are a page too."""
    return content([*sources(), *(ROOT / "labkit").rglob("*.py"), Path(labs.__file__)])


def sources():
    """Files of the pages."""
    both = [(ROOT / f"{page}.ipynb", ROOT / f"{page}.md") for page in store.toc()]
    return [notebook if notebook.exists() else text for notebook, text in both]


def content(files):
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)]
    return store.digest([sorted(map(str, files)), digests])


def sphinx(outputs, whole):
    """Run jupyter-book, keep its log; returns what it warned of, or that it failed."""
    BUILD.mkdir(exist_ok=True)
    book = "from jupyter_book.cli.main import main; main()"  # it can't be called with -m
    command = [sys.executable, "-c", book, "build", ".", "-W", "--keep-going"]
    if whole:
        for made in (HTML, BUILD / ".doctrees", BUILD / "jupyter_execute"):
            shutil.rmtree(made, ignore_errors=True)
    # The API pages import all of labkit, which is quicker without TensorFlow.
    environment = os.environ | {"COURSE_OUTPUTS": json.dumps(outputs), "KERAS_BACKEND": "numpy"}
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    log = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    LOG.write_text(log, encoding="utf-8")
    lines = [line for line in log.splitlines() if re.search(r"\b(WARNING|ERROR): ", line)]
    lines = list(dict.fromkeys(line for line in lines if "absl" not in line))
    if done.returncode and not lines:
        lines = [f"rendering failed; the whole log: {LOG}"]
    return [f"FAULT {line}" for line in lines]


# --- what a reader would see ---------------------------------------------------------------------


def faults():
    """What is wrong with the pages, in words; an empty list if nothing is."""
    found = []
    for page in store.toc():
        path = HTML / f"{page}.html"
        if not path.exists():
            found.append(f"FAULT {page}: the page is missing")
            continue
        html = path.read_text(encoding="utf-8")
        article = re.search(r"<article.*?</article>", html, re.DOTALL)
        words = re.sub(r"<[^>]+>", " ", article[0] if article else "").split()
        if len(words) < 50:
            found.append(f"FAULT {page}: the page is empty ({len(words)} words)")
        if html.count("Traceback (most recent call last)") > announced(page):
            found.append(f"FAULT {page}: the page shows a traceback")
    return found


def announced(page):
    """Number of cells of a notebook that are meant to raise."""
    path = ROOT / f"{page}.ipynb"
    if not path.exists():
        return 0
    cells = nbformat.read(path, as_version=4).cells
    return sum(RAISES in cell.metadata.get("tags", []) for cell in cells)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted. What was executed is kept.")
