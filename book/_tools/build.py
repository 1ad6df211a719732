"""Build the book: execute the notebooks that are not in the store, render the changed pages.

    python book/_tools/build.py         the whole book
    python book/_tools/build.py 04      one chapter

The exit status is not zero if a notebook raises, a reference is broken, or a page of _toc.yml is
missing, empty or shows an unexpected traceback.
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
import keys
import labs
import nbformat
import notebooks
import paths
import photo
import store
from settings import Settings

RAISES = "raises-exception"
# Tags by which a browser loads a file, with the address of another server.
LOADED = re.compile(
    r"""<(?:img|script|iframe|link)\b[^>]*\s(?:src|href)=["']((?:https?:)?//[^"']+)"""
)
# What other pages may show of a page: headings, labels and citations.
SHOWN = re.compile(r"^\s*\"?#+ .*|^\s*\"?\([\w-]+\)=|\{cite\}`[^`]*`", re.MULTILINE)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chapter", nargs="?", help='build this chapter only, such as "04"')
    chapter = parser.parse_args(arguments).chapter
    if found := set("[]*?") & set(str(paths.ROOT)):
        print(f"Sphinx takes {found.pop()} in {paths.ROOT} for a pattern: rename that folder.")
        return 2
    os.chdir(paths.ROOT)
    names = notebooks.names()
    chosen = [name for name in names if not chapter or name.startswith(chapter)]
    if not chosen:
        print(f"{chapter!r} is no chapter: use the start of one of {', '.join(names)}")
        return 2
    try:
        settings = Settings.of_book()
    except (ValueError, ConnectionError) as error:
        print(error)
        return 2
    jobs, failures = execute.up_to_date(chosen, settings)
    found = failures or render(jobs)
    for fault in found:
        print(fault)
    if found:
        print("The book is not complete. Finished notebooks are kept.")
        return 1
    page = list(jobs)[-1] if chapter else "intro"
    print(f"The {'page' if chapter else 'book'} is complete:\n{paths.HTML / 'book' / page}.html")
    return 0


# --- rendering -----------------------------------------------------------------------------------


def render(jobs):
    """Render the pages that changed since the last build; returns the faults as lines of text."""
    stamp = paths.BUILD / "rendered.json"
    before = json.loads(stamp.read_text()) if stamp.exists() else {}
    outputs = {f"book/{name}": str(one.path) for name, one in jobs.items()}
    outputs = before.get("outputs", {}) | outputs
    now = {"outputs": outputs, "shared": shared_hash(), "pages": pages_hash()}
    now["photo"] = photo.make()
    if now == before:
        print("Nothing changed since the last build.")
        return []
    labs.main([])
    stamp.unlink(missing_ok=True)  # an interrupted build is not taken for a complete one
    everything = now["shared"] != before.get("shared")
    print(f"Rendering {'the whole book' if everything else 'what changed'}.", flush=True)
    found = run_sphinx(outputs, everything) + page_faults()
    if not found:
        store.write(stamp, json.dumps(now))
    return found


def shared_hash():
    """Return a hash of what may show on every page; after a change the whole book is rendered."""
    files = [paths.ROOT / name for name in ("_config.yml", "_toc.yml", "requirements.txt")]
    files += [paths.BOOK / "references.bib", *(paths.BOOK / "_static").iterdir()]
    extensions = ("address", "colab", "formulas", "outputs", "photo", "solutions", "theme")
    files += [Path(__file__).with_name(f"{name}.py") for name in extensions]
    shown = [SHOWN.findall(file.read_text(encoding="utf-8")) for file in page_sources()]
    address = os.environ.get("COURSE_ADDRESS", "")
    return keys.digest([files_hash(files), shown, address])


def pages_hash():
    """Return a hash of the pages and of the package, whose docstrings are the API pages."""
    return files_hash([*page_sources(), *paths.PACKAGE.rglob("*.py"), Path(labs.__file__)])


def page_sources():
    """Return the source file of each page."""
    both = [(paths.ROOT / f"{page}.ipynb", paths.ROOT / f"{page}.md") for page in notebooks.toc()]
    return [notebook if notebook.exists() else text for notebook, text in both]


def files_hash(files):
    """Return a hash of the paths and contents of files."""
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)]
    return keys.digest([sorted(map(str, files)), digests])


def run_sphinx(outputs, everything):
    """Run jupyter-book and keep its log; returns its warnings, or that it failed, as faults."""
    paths.BUILD.mkdir(exist_ok=True)
    book = "from jupyter_book.cli.main import main; main()"  # it can't be called with -m
    command = [sys.executable, "-c", book, "build", ".", "-W", "--keep-going"]
    if everything:
        for folder in ("html", ".doctrees", "jupyter_execute"):
            shutil.rmtree(paths.BUILD / folder, ignore_errors=True)
    # The API pages import all of labkit, which is faster without TensorFlow.
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
    log_file = paths.BUILD / "book.log"
    log_file.write_text(log, encoding="utf-8")
    lines = [line for line in log.splitlines() if re.search(r"\b(WARNING|ERROR): ", line)]
    lines = list(dict.fromkeys(line for line in lines if "absl" not in line))
    if done.returncode and not lines:
        lines = [f"rendering failed; the whole log: {log_file}"]
    return [f"FAULT {line}" for line in lines]


# --- checks of the rendered pages ----------------------------------------------------------------


def page_faults():
    """Return the faults of the rendered pages as lines of text."""
    return [f"FAULT {page}: {fault}" for page in notebooks.toc() for fault in faults_of(page)]


def faults_of(page):
    """Yield what is wrong with a page."""
    path = paths.HTML / f"{page}.html"
    if not path.exists():
        yield "the page is missing"
        return
    html = path.read_text(encoding="utf-8")
    article = re.search(r"<article.*?</article>", html, re.DOTALL)
    words = re.sub(r"<[^>]+>", " ", article[0] if article else "").split()
    if len(words) < 50:
        yield f"the page is empty ({len(words)} words)"
    if html.count("Traceback (most recent call last)") > expected_tracebacks(page):
        yield "the page shows a traceback"
    for address in re.findall(LOADED, html):
        yield f"the page loads {address}, so it is not whole without a network"


def expected_tracebacks(page):
    """Return the number of a notebook's cells that are meant to raise."""
    path = paths.ROOT / f"{page}.ipynb"
    if not path.exists():
        return 0
    return sum(RAISES in labs.tags(cell) for cell in nbformat.read(path, as_version=4).cells)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted. Finished notebooks are kept.")
