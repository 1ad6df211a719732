"""MyST as Markdown that every notebook program shows, Google Colab among them."""

import re

BOX = re.compile(r"^:::\{(\w+)\} ?(.*)\n(?::\w+:.*\n)*((?:.*\n)*?):::$", re.M)
FIGURE = re.compile(r"^```\{figure\} (\S+)\n:alt: (.*)\n(?::\w+:.*\n)*\n?((?:.*\n)*?)```$", re.M)
DOWNLOAD = re.compile(r"\{download\}`([^`<]+?) ?<([^>`]+)>`")
CITE = re.compile(r"(\s*)\{cite\}`([^`]*)`")  # left out, the space before it goes too
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+\.(?:ipynb|md|svg))")


def plain(source, link, cite=None):
    """Boxes become quotations, figures images; nothing that only a book understands is left.

    Args:
        source: of a Markdown cell.
        link: a function from the file that a link or an image names to its address.
        cite: a function from the keys of a citation to its text; None leaves citations out.
    """
    source = BOX.sub(as_quote, source)
    source = FIGURE.sub(lambda found: f"![{found[2]}]({found[1]})\n\n{found[3].strip()}", source)
    source = DOWNLOAD.sub(r"[\1](\2)", source)
    source = CITE.sub(lambda found: found[1] + cite(found[2].split(",")) if cite else "", source)
    return LINK.sub(lambda found: f"]({link(found[1])}", source)


def as_quote(found):
    """A box as a quotation with a bold title."""
    title = found[2] or found[1].capitalize()
    body = [f"> {line}".rstrip() for line in found[3].strip().splitlines()]
    return "\n".join([f"> **{title}**", ">", *body])
