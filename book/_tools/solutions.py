"""Sphinx: whether a page shows how a lab's tasks are solved. ``solutions`` in _config.yml says it.

folded    functions of the chapter's path stand open, as its text needs them; the lab's other
          tasks are folded, a click away
apart     no solution is in the book, nor in the notebooks that a page offers to download
"""

import json

from sphinx.errors import ConfigError

WAYS = ("folded", "apart")


def setup(app):
    app.add_config_value("solutions", "folded", "env")
    app.connect("config-inited", prepare)
    app.connect("source-read", hide)
    return {"parallel_read_safe": True}


def prepare(app, config):
    if config.solutions not in WAYS:
        raise ConfigError(f"solutions is {config.solutions!r}: use one of {', '.join(WAYS)}")
    if config.solutions == "apart":
        config.html_copy_source = False
        config.html_theme_options["use_download_button"] = False


def hide(app, docname, source):
    """Take the code of solutions off a page; it is executed all the same."""
    if app.config.solutions == "apart" and app.env.doc2path(docname).endswith(".ipynb"):
        source[0] = json.dumps(without_solutions(json.loads(source[0])))


def without_solutions(notebook):
    cells = []
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if number := next((tag[5:] for tag in tags if tag.startswith("task-")), None):
            words = f"*The code that belongs here is task {number} of the lab.*"
            cells.append(
                {
                    "cell_type": "markdown",
                    "id": f"apart-{number.replace('.', '-')}",
                    "metadata": {},
                    "source": words,
                }
            )
        if number or "hide-input" in tags:  # what is folded is a part of a solution
            tags = [tag for tag in tags if tag != "hide-input"]
            cell["metadata"]["tags"] = [*tags, "remove-input"]
        cells.append(cell)
    return notebook | {"cells": cells}
