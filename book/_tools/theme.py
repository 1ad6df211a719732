"""Sphinx extension that mends what the theme and its companions add to each page."""

import html
import os

import address as addresses
import notebooks
from docutils import nodes

TOGGLE = '<summary aria-label="Pages of this section">'
PICTURE = "_static/first-masks.webp"


def setup(app):
    app.connect("config-inited", without_thebe)
    app.connect("html-page-context", named_toggles, priority=900)  # after the theme's own
    app.connect("html-page-context", part_above_title)
    app.connect("html-page-context", card_for_links)
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
