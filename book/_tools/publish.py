"""Publish the course: the book, and notebooks that install the course in Google Colab.

    python book/_tools/publish.py https://github.com/NAME/REPOSITORY

Builds the book with links to that address, writes the whole site into _build/published, and
commits it to the local branch gh-pages. The last line of the output is the command that pushes the
branch.

Published notebooks install the package at the current commit, which has to be pushed first. The
site shows synthetic pets unless LABKIT_DATA says otherwise.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import address as addresses
import nbformat
import notebooks
import paths
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell
from plain import plain

SOURCES = ("book", "labkit", "_config.yml", "_toc.yml")  # what published notebooks show or run
NEEDS = {"13_methods": ["optuna"]}  # packages that a notebook imports and Colab does not have
SETUP_TEXT = """
**In Google Colab**, first choose *File*, *Save a copy in Drive*: the notebook that you opened is
not yours, and your changes to it are lost. Then run the next cell. It installs the course's
package and changes no other. A runtime ends without warning; to keep data and trained models, set
`KEEP` to a folder of your Google Drive.
"""
SETUP_CODE = """
KEEP = ""  # such as "/content/drive/MyDrive/course"

%pip install --quiet --no-deps "git+{address}@{commit}"{more}

from labkit import profile

profile.keep_in(KEEP)
"""


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="of your fork: https://github.com/NAME/REPOSITORY")
    try:
        return publish(addresses.find(parser.parse_args(arguments).address))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


def publish(address):
    """Write the site into ``_build/published`` and commit it; returns the exit status."""
    import build

    commit = published_commit(address)
    os.environ["COURSE_ADDRESS"] = address.clone
    os.environ.setdefault("LABKIT_DATA", "synthetic")  # no photographs in the repository
    if build.main([]):
        return 1
    shutil.rmtree(paths.PUBLISHED, ignore_errors=True)
    shutil.copytree(paths.HTML, paths.PUBLISHED)
    (paths.PUBLISHED / ".nojekyll").touch()  # otherwise GitHub omits folders such as _static
    write_notebooks(address, commit, paths.PUBLISHED / "colab")
    site_commit = commit_of(paths.PUBLISHED, f"Published from {commit[:7]}")
    git("update-ref", f"refs/heads/{addresses.BRANCH}", site_commit)
    print(f"Published in {paths.PUBLISHED} and on the branch {addresses.BRANCH}. Now push it:")
    print(f"git push --force {address.clone} {addresses.BRANCH}")
    return 0


# --- git -----------------------------------------------------------------------------------------


def git(*words, folder=None, **environment):
    """Return the output of a git command; raises ValueError with git's message if it fails."""
    settings = {"GIT_TERMINAL_PROMPT": "0", **environment}  # fail instead of asking for a password
    done = subprocess.run(
        ["git", *map(str, words)],
        cwd=folder or paths.ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ValueError(f"git {' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout.rstrip()


def published_commit(address):
    """Return the current commit; raises ValueError unless readers can fetch the sources by it."""
    if changed := git("status", "--porcelain", "--", *SOURCES):
        raise ValueError(f"Commit these changes first, because readers fetch a commit:\n{changed}")
    commit = git("rev-parse", "HEAD")
    with tempfile.TemporaryDirectory() as folder:
        git("init", "--quiet", folder=folder)
        try:
            git("fetch", "--quiet", "--depth", "1", address.clone, commit, folder=folder)
        except ValueError as error:
            raise ValueError(
                f"Readers can't fetch commit {commit[:7]} from {address.clone}: push it first "
                f"(git push), and check that the repository is public. {error}"
            ) from error
    return commit


def commit_of(folder, message):
    """Return a new commit without parents of a folder's files, except those that git ignores."""
    with tempfile.TemporaryDirectory() as place:
        index = {"GIT_INDEX_FILE": str(Path(place) / "index")}  # leaves the user's index alone
        git("--work-tree", folder, "add", "--all", **index)
        tree = git("write-tree", **index)
    name = ("-c", "user.name=publish", "-c", "user.email=publish")
    return git(*name, "commit-tree", tree, "-m", message)


# --- notebooks -----------------------------------------------------------------------------------


def write_notebooks(address, commit, folder, names=None):
    """Write published notebooks, all or those named, under the same paths as in the course."""
    for name in names or notebooks.all_names():
        file = folder / "book" / f"{name}.ipynb"
        file.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(published(name, address, commit), file)


def published(name, address, commit):
    """Return a notebook that installs the course, with links that work from anywhere."""
    source_name = content(name)
    path = paths.BOOK / f"{source_name}.ipynb"
    notebook = notebooks.source(source_name)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain(
                cell.source,
                lambda file: target(path, file, address),
                lambda keys: cite(keys, address),
            )
        else:
            cell.outputs, cell.execution_count = [], None
    prefix = notebook.cells[0].id.split("-")[0]
    notebook.cells[:0] = setup_cells(prefix, address, commit, NEEDS.get(path.stem, []))
    return notebook


def content(name):
    """Return the notebook to publish under a name: if solutions are apart, a chapter's lab."""
    config = yaml.safe_load((paths.ROOT / "_config.yml").read_text(encoding="utf-8"))
    apart = config["sphinx"]["config"]["solutions"] == "apart"
    return f"labs/{name}" if apart and f"labs/{name}" in notebooks.lab_names() else name


def setup_cells(prefix, address, commit, needs):
    """Return the first two cells: an explanation, and the code that installs the course."""
    more = f"\n%pip install --quiet {' '.join(needs)}" if needs else ""
    code = SETUP_CODE.format(address=address.clone, commit=commit, more=more)
    return [
        new_markdown_cell(SETUP_TEXT.strip(), id=f"{prefix}-colab-text"),
        new_code_cell(code.strip(), id=f"{prefix}-colab"),
    ]


def target(path, file, address):
    """Return the address of a file that a notebook links to, in Colab or on the site."""
    found = (path.parent / file).resolve().relative_to(paths.BOOK)
    if found.suffix == ".ipynb":
        return f"{address.notebooks}/book/{found.as_posix()}"
    if found.suffix == ".md":
        return f"{address.site}/book/{found.with_suffix('.html').as_posix()}"
    return f"{address.site}/{found.as_posix()}"  # _static is at the top of the site


def cite(keys, address):
    """Return a citation with links to the bibliography: "([Long et al. 2015](...))"."""
    page = f"{address.site}/book/back/bibliography.html"
    return "(" + "; ".join(f"[{short(key)}]({page})" for key in keys) + ")"


def short(key):
    """Return authors and year of an entry of the bibliography: "Long et al. 2015"."""
    entries = (paths.BOOK / "references.bib").read_text(encoding="utf-8")
    entry = re.search(rf"@\w+{{{key},(.*?)^}}", entries, re.DOTALL | re.MULTILINE)[1]
    fields = dict(re.findall(r"(author|year)\s*=\s*{(.*)}", entry))
    authors = [
        re.sub(r"[{}\\'\"`]", "", one.split(",")[0]) for one in fields["author"].split(" and ")
    ]
    named = " and ".join(authors) if len(authors) < 3 else f"{authors[0]} et al."
    return f"{named} {fields.get('year', '')}".strip()


if __name__ == "__main__":
    sys.exit(main())
