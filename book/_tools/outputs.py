"""Sphinx extension that adds the outputs of executed notebooks to their pages.

Notebooks in the repository have no outputs. The environment variable COURSE_OUTPUTS, which
book/_tools/build.py sets, is a JSON object: the path of the executed notebook by page. A page is
read again when that path has changed.
"""

import json
import os
from pathlib import Path


def setup(app):
    # Before extensions that remove cells or change their tags.
    app.connect("source-read", add_outputs, priority=100)
    app.connect("env-get-outdated", outdated)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    return {"parallel_read_safe": True, "env_version": 1}


def executed(page):
    """Return the path of a page's executed notebook, or None."""
    return json.loads(os.environ.get("COURSE_OUTPUTS", "{}")).get(page)


def add_outputs(app, page, source):
    """Give each code cell the outputs of the executed cell with the same id."""
    path = executed(page)
    if path is None or not Path(path).exists():
        return
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    by_id = {cell["id"]: cell for cell in cells if cell["cell_type"] == "code"}
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if found := by_id.get(cell["id"]):
            cell |= {key: found[key] for key in ("outputs", "execution_count")}
    source[0] = json.dumps(notebook)
    read(app.env)[page] = path


def read(env):
    """Return the paths of the executed notebooks that pages were read with, by page."""
    if not hasattr(env, "course_outputs"):
        env.course_outputs = {}
    return env.course_outputs


def outdated(app, env, added, changed, removed):
    """Return the pages whose executed notebook has another path than when they were read."""
    return [page for page in env.found_docs if executed(page) != read(env).get(page)]


def forget(app, env, page):
    """Drop the path of a page that Sphinx is about to read again."""
    read(env).pop(page, None)


def merge(app, env, pages, other):
    """Add the paths of pages that a parallel process has read."""
    read(env).update({page: read(other)[page] for page in pages if page in read(other)})
