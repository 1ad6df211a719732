"""Sphinx: ways into Google Colab, in a book that is published.

The environment variable COURSE_ADDRESS says where; book/_tools/publish.py sets it. Without it, or
with an address that Colab can't open, a page shows no button and no badge.
"""

import json
import os
import re

import address as addresses

BADGE = "/book/_static/open-in-colab.svg"
LAB = re.compile(r"\{download\}`[^`<]+<[^>`]*\b(labs/\w+\.ipynb)>`")


def setup(app):
    where = os.environ.get("COURSE_ADDRESS")
    if where and (address := addresses.find(where)).in_colab:
        app.connect("config-inited", lambda app, config: add_button(config, address))
        app.connect("source-read", lambda app, page, source: add_badges(app, page, source, address))
    return {"parallel_read_safe": True}


def add_button(config, address):
    """The theme's launch button, at the top of each notebook's page."""
    config.html_theme_options |= {
        "repository_url": address.clone,
        "repository_branch": addresses.BRANCH,
        "path_to_docs": "colab",
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }


def add_badges(app, page, source, address):
    """A badge under the title of a notebook, and behind each lab that a page offers."""
    if not app.env.doc2path(page).endswith(".ipynb"):
        source[0] = with_labs(source[0], address)
        return
    notebook = json.loads(source[0])
    texts = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    for cell in texts:
        cell["source"] = with_labs("".join(cell["source"]), address)
    title, _, rest = texts[0]["source"].partition("\n")
    texts[0]["source"] = f"{title}\n\n{badge(f'{page}.ipynb', address)}\n{rest}"
    source[0] = json.dumps(notebook)


def with_labs(text, address):
    """A text in which a badge follows each link to a lab."""
    return LAB.sub(lambda found: f"{found[0]} {badge(f'book/{found[1]}', address)}", text)


def badge(file, address):
    return f"[![Open in Colab]({BADGE})]({address.notebooks}/{file})"
