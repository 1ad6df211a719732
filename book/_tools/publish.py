"""Publish the course: the book, and notebooks that set themselves up in Google Colab.

    python book/_tools/publish.py https://github.com/NAME/REPOSITORY

builds the book with that address in its links, writes the whole site into _build/published, and
puts it on the local branch gh-pages. What is left is to push that branch; the last line says how.

Notebooks install the package at the commit that they were published from, so that has to be pushed
first. The site shows drawn pets unless LABKIT_DATA says otherwise.
"""

import argparse
import copy
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import address as addresses
import nbformat
import store
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell
from plain import plain

BOOK = Path(__file__).resolve().parents[1]
ROOT = BOOK.parent
SOURCES = ("book", "labkit", "_config.yml", "_toc.yml")  # what a published notebook shows or runs
NEEDS = {"11_methods": ["optuna"]}  # what a notebook imports and Colab does not have
WORDS = """
**In Google Colab**, first choose *File*, *Save a copy in Drive*: the notebook that you opened is
not yours, and your changes to it are lost. Then run the next cell. It installs the course's
package and changes no other. A runtime ends without warning; to keep data and trained models, set
`KEEP` to a folder of your Google Drive.
"""
CODE = """
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
    """Site and notebooks in ``_build/published`` and on the branch; returns the exit status."""
    import build

    commit = checked_commit(address)
    os.environ["COURSE_ADDRESS"] = address.clone
    os.environ.setdefault("LABKIT_DATA", "synthetic")  # no photograph gets into the repository
    if build.main([]):
        return 1
    shutil.rmtree(addresses.PUBLISHED, ignore_errors=True)
    shutil.copytree(build.HTML, addresses.PUBLISHED)
    (addresses.PUBLISHED / ".nojekyll").touch()  # else GitHub leaves out folders such as _static
    write_notebooks(address, commit, addresses.PUBLISHED / "colab")
    made = commit_of(addresses.PUBLISHED, f"Published from {commit[:7]}")
    git("update-ref", f"refs/heads/{addresses.BRANCH}", made)
    print(f"Published in {addresses.PUBLISHED} and on the branch {addresses.BRANCH}. Now push it:")
    print(f"git push --force {address.clone} {addresses.BRANCH}")
    return 0


# --- git -----------------------------------------------------------------------------------------


def git(*words, folder=None, **environment):
    """What a git command prints. Raises ValueError with git's own words if it fails."""
    settings = {"GIT_TERMINAL_PROMPT": "0", **environment}  # no question that nobody sees
    done = subprocess.run(
        ["git", *map(str, words)],
        cwd=folder or ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ValueError(f"git {' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout.rstrip()


def checked_commit(address):
    """The commit to publish. Raises ValueError unless everybody can fetch it as it is here."""
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
                f"(git push), and see that the repository is public. {error}"
            ) from error
    return commit


def commit_of(folder, message):
    """A commit that holds a folder as it is, without what git ignores; no branch has it yet."""
    with tempfile.TemporaryDirectory() as place:
        index = {"GIT_INDEX_FILE": str(Path(place) / "index")}  # not the reader's own
        git("--work-tree", folder, "add", "--all", **index)
        tree = git("write-tree", **index)
    name = ("-c", "user.name=publish", "-c", "user.email=publish")
    return git(*name, "commit-tree", tree, "-m", message)


# --- notebooks -----------------------------------------------------------------------------------


def write_notebooks(address, commit, folder, names=None):
    """Write published notebooks, all or some, under the paths that they have in the course."""
    for name in names or sources():
        file = folder / "book" / f"{name}.ipynb"
        file.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(published(name, address, commit), file)


def sources():
    """Names of chapters, back matter and labs."""
    return [*store.names(), *store.lab_names()]


def content(name):
    """The notebook that is published under a name: of a chapter its lab, if solutions are apart."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    apart = settings["sphinx"]["config"]["solutions"] == "apart"
    return f"labs/{name}" if apart and f"labs/{name}" in store.lab_names() else name


def published(name, address, commit):
    """A notebook of the book that sets itself up, with links that work from anywhere."""
    path = BOOK / f"{content(name)}.ipynb"
    notebook = copy.deepcopy(store.source(content(name)))
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
    notebook.cells[:0] = set_up(prefix, address, commit, NEEDS.get(path.stem, []))
    return notebook


def set_up(prefix, address, commit, needs):
    """The first two cells: a few words, and the code that installs the course."""
    more = f"\n%pip install --quiet {' '.join(needs)}" if needs else ""
    code = CODE.format(address=address.clone, commit=commit, more=more)
    return [
        new_markdown_cell(WORDS.strip(), id=f"{prefix}-colab-text"),
        new_code_cell(code.strip(), id=f"{prefix}-colab"),
    ]


def target(path, file, address):
    """Where a file that a notebook names is: in Colab, or on the site."""
    found = (path.parent / file).resolve().relative_to(BOOK)
    if found.suffix == ".ipynb":
        return f"{address.notebooks}/book/{found.as_posix()}"
    if found.suffix == ".md":
        return f"{address.site}/book/{found.with_suffix('.html').as_posix()}"
    return f"{address.site}/{found.as_posix()}"  # _static, which the site has at its top


def cite(keys, address):
    """Authors and years, such as "([Long et al. 2015](...))", with a link to the bibliography."""
    page = f"{address.site}/book/back/bibliography.html"
    return "(" + "; ".join(f"[{short(key)}]({page})" for key in keys) + ")"


def short(key):
    """Authors and year of an entry of the bibliography."""
    entries = (BOOK / "references.bib").read_text(encoding="utf-8")
    entry = re.search(rf"@\w+{{{key},(.*?)^}}", entries, re.DOTALL | re.MULTILINE)[1]
    fields = dict(re.findall(r"(author|year)\s*=\s*{(.*)}", entry))
    authors = [
        re.sub(r"[{}\\'\"`]", "", one.split(",")[0]) for one in fields["author"].split(" and ")
    ]
    named = " and ".join(authors) if len(authors) < 3 else f"{authors[0]} et al."
    return f"{named} {fields.get('year', '')}".strip()


if __name__ == "__main__":
    sys.exit(main())
