"""Conversion of MyST to plain Markdown, which every notebook program renders."""

import re

BOX = re.compile(r"^:::\{(\w+)\} ?(.*)\n(?::\w+:.*\n)*((?:.*\n)*?):::$", re.M)
FIGURE = re.compile(r"^```\{figure\} (\S+)\n:alt: (.*)\n(?::\w+:.*\n)*\n?((?:.*\n)*?)```$", re.M)
DOWNLOAD = re.compile(r"\{download\}`([^`<]+?) ?<([^>`]+)>`")
CITE = re.compile(r"(\s*)\{cite\}`([^`]*)`")  # with the space before it, to omit both
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+\.(?:ipynb|md|svg))")


def plain(source, link, cite=None):
    """Return a Markdown cell's source with admonitions as quotations and figures as images.

    Args:
        source: of the cell, in MyST.
        link: a function from the file that a link or an image names to its address.
        cite: a function from the keys of a citation to its text; None omits citations.
    """
    source = BOX.sub(as_quote, source)
    source = FIGURE.sub(lambda found: f"![{found[2]}]({found[1]})\n\n{found[3].strip()}", source)
    source = DOWNLOAD.sub(r"[\1](\2)", source)
    source = CITE.sub(lambda found: found[1] + cite(found[2].split(",")) if cite else "", source)
    return LINK.sub(lambda found: f"]({link(found[1])}", source)


def as_quote(found):
    """Return a matched admonition as a quotation with a bold title."""
    title = found[2] or found[1].capitalize()
    body = [f"> {line}".rstrip() for line in found[3].strip().splitlines()]
    return "\n".join([f"> **{title}**", ">", *body])
