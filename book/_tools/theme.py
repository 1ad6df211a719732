"""Sphinx extension that mends what the theme and its companions add to each page."""

import html
import os
import re

import address as addresses
import notebooks
from bs4 import BeautifulSoup
from docutils import nodes

TOGGLE = '<summary aria-label="Pages of this section">'
PICTURE = "_static/first-masks.webp"
TABLE = re.compile(r'<table border="1" class="dataframe">.*?</table>', re.DOTALL)
STYLE = re.compile(r"<style scoped>.*?</style>", re.DOTALL)


def setup(app):
    app.connect("config-inited", without_thebe)
    app.connect("html-page-context", named_toggles, priority=900)  # after the theme's own
    app.connect("html-page-context", part_above_title)
    app.connect("html-page-context", card_for_links)
    app.connect("html-page-context", texts_in_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def without_thebe(app, config):
    """Keep thebe, which no page uses, from adding its script: it is added twice and fails."""
    listeners = app.events.listeners["env-before-read-docs"]
    listeners[:] = [one for one in listeners if one.handler.__name__ != "init_thebe_core"]


def named_toggles(app, pagename, templatename, context, doctree):
    """Give the sidebar's toggles a name for screen readers."""
    draw = context.get("generate_toctree_html")
    if draw:
        context["generate_toctree_html"] = lambda *arguments, **options: str(
            draw(*arguments, **options)
        ).replace("<summary>", TOGGLE)


def part_above_title(app, pagename, templatename, context, doctree):
    """Show above the title to which part a page belongs: on a phone the sidebar is closed."""
    if part := notebooks.parts().get(pagename):
        context["body"] = f'<p class="part">{part}</p>\n{context["body"]}'


def card_for_links(app, pagename, templatename, context, doctree):
    """Say what messengers and social networks show for a link to the page.

    The picture needs an absolute address, which only a published book has.
    """
    if doctree is None:
        return
    first_page = app.env.get_doctree(app.config.root_doc)
    about = next(first_page.findall(nodes.paragraph)).astext().replace("\n", " ")
    tags = {"title": app.env.titles[pagename].astext(), "description": about}
    if address := os.environ.get("COURSE_ADDRESS"):
        tags["image"] = f"{addresses.find(address).site}/{PICTURE}"
    for name, content in tags.items():
        context["metatags"] += f'<meta property="og:{name}" content="{html.escape(content)}">\n'


def texts_in_tables(app, pagename, templatename, context, doctree):
    """Mark the columns of pandas tables that hold texts: numbers are right-aligned, texts not.

    The style that pandas adds to some tables would apply to all tables of the page.
    """
    if body := context.get("body"):
        context["body"] = TABLE.sub(lambda found: mark_texts(found[0]), STYLE.sub("", body))


def mark_texts(table):
    """Give the class "text" to the cells of each column in which a cell starts with a letter."""
    table = BeautifulSoup(table, "html.parser")
    rows = [row("td") for row in table.tbody("tr")]
    count = len(rows[0]) if rows else 0
    headings = table("tr")[0]("th")[-count:]  # the first ones are of the index
    if not any(heading.get("colspan") for heading in headings):
        for heading, *cells in zip(headings, *rows, strict=True):
            contents = {cell.text.strip() for cell in cells} - {"NaN", "inf"}
            if any(text[:1].isalpha() for text in contents):
                for cell in (heading, *cells):
                    cell["class"] = "text"
    return str(table)
