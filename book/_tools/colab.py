"""Sphinx extension that links the pages of a published book to Google Colab.

The environment variable COURSE_ADDRESS, which book/_tools/publish.py sets, is the address of the
course. Without it, or with one that Colab can't open, pages have no links to Colab.
"""

import json
import os
import re

import address as addresses

BADGE = "/book/_static/open-in-colab.svg"
LAB = re.compile(r"\{download\}`[^`<]+<[^>`]*\b(labs/\w+\.ipynb)>`")


def setup(app):
    text = os.environ.get("COURSE_ADDRESS")
    if text and (address := addresses.find(text)).in_colab:
        app.connect("config-inited", lambda app, config: add_button(config, address))
        app.connect("source-read", lambda app, page, source: add_badges(app, page, source, address))
    return {"parallel_read_safe": True}


def add_button(config, address):
    """Configure the theme's launch button, which is at the top of each notebook's page."""
    config.html_theme_options |= {
        "repository_url": address.clone,
        "repository_branch": addresses.BRANCH,
        "path_to_docs": "colab",
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }


def add_badges(app, page, source, address):
    """Add a badge below the title of a notebook, and after each link to a lab."""
    if not app.env.doc2path(page).endswith(".ipynb"):
        source[0] = with_lab_badges(source[0], address)
        return
    notebook = json.loads(source[0])
    texts = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    for cell in texts:
        cell["source"] = with_lab_badges("".join(cell["source"]), address)
    title, _, rest = texts[0]["source"].partition("\n")
    texts[0]["source"] = f"{title}\n\n{badge(f'{page}.ipynb', address)}\n{rest}"
    source[0] = json.dumps(notebook)


def with_lab_badges(text, address):
    """Return a text with a badge after each link to a lab."""
    return LAB.sub(lambda found: f"{found[0]} {badge(f'book/{found[1]}', address)}", text)


def badge(file, address):
    """Return the Markdown of a badge that opens a published notebook."""
    return f"[![Open in Colab]({BADGE})]({address.notebooks}/{file})"
