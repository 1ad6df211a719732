"""Sphinx extension that shows or hides the solutions of a lab's tasks.

The value ``solutions`` in _config.yml is one of:

folded    a solution that the chapter's text refers to is shown; the lab's other tasks are folded
apart     no page and no notebook that a page offers for download has a solution
"""

import json

from sphinx.errors import ConfigError

WAYS = ("folded", "apart")


def setup(app):
    app.add_config_value("solutions", "folded", "env")
    app.connect("config-inited", check_config)
    app.connect("source-read", hide_solutions)
    return {"parallel_read_safe": True}


def check_config(app, config):
    """Check ``solutions``, and remove the links to a page's source if solutions are apart."""
    if config.solutions not in WAYS:
        raise ConfigError(f"solutions is {config.solutions!r}: use one of {', '.join(WAYS)}")
    if config.solutions == "apart":
        config.html_copy_source = False
        config.html_theme_options["use_download_button"] = False


def hide_solutions(app, docname, source):
    """Remove the code of solutions from a page; their outputs stay."""
    if app.config.solutions == "apart" and app.env.doc2path(docname).endswith(".ipynb"):
        source[0] = json.dumps(without_solutions(json.loads(source[0])))


def without_solutions(notebook):
    """Return a notebook with the code of solutions tagged to be removed, and a note before it."""
    cells = []
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if number := next((tag[5:] for tag in tags if tag.startswith("task-")), None):
            cells.append(note(number))
        if number or "hide-input" in tags:  # folded cells belong to a solution
            tags = [tag for tag in tags if tag != "hide-input"]
            cell["metadata"]["tags"] = [*tags, "remove-input"]
        cells.append(cell)
    return notebook | {"cells": cells}


def note(number):
    """Return a Markdown cell that takes the place of a solution."""
    return {
        "cell_type": "markdown",
        "id": f"apart-{number.replace('.', '-')}",
        "metadata": {},
        "source": f"*The code that belongs here is task {number} of the lab.*",
    }
