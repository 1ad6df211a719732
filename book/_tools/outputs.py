"""Sphinx: put the outputs of executed notebooks into their pages.

Notebooks in the repository have no outputs. The environment variable COURSE_OUTPUTS, which
book/_tools/build.py sets, has the executed notebook of each page, a dict in JSON. A page is read
again when that file is another one than last time.
"""

import json
import os
from pathlib import Path


def setup(app):
    # Before other extensions take cells off a page or change their tags.
    app.connect("source-read", put_in, priority=100)
    app.connect("env-get-outdated", outdated)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    return {"parallel_read_safe": True, "env_version": 1}


def executed(page):
    """Path of the executed notebook of a page, or None."""
    return json.loads(os.environ.get("COURSE_OUTPUTS", "{}")).get(page)


def put_in(app, page, source):
    """Give each code cell the outputs of the executed cell with its id."""
    path = executed(page)
    if path is None or not Path(path).exists():
        return
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    there = {cell["id"]: cell for cell in cells if cell["cell_type"] == "code"}
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if found := there.get(cell["id"]):
            cell |= {key: found[key] for key in ("outputs", "execution_count")}
    source[0] = json.dumps(notebook)
    read(app.env)[page] = path


def read(env):
    """The executed notebook that each page was read with."""
    if not hasattr(env, "course_outputs"):
        env.course_outputs = {}
    return env.course_outputs


def outdated(app, env, added, changed, removed):
    return [page for page in env.found_docs if executed(page) != read(env).get(page)]


def forget(app, env, page):
    read(env).pop(page, None)


def merge(app, env, pages, other):
    read(env).update({page: read(other)[page] for page in pages if page in read(other)})
