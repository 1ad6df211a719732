"""Conversion of MyST to plain Markdown."""

from plain import plain

SOURCE = """Before {cite}`a2020`.

:::{admonition} Predict first
:class: important
How many?
:::

```{figure} _static/u.svg
:alt: A U.
:width: 420px

The shape {cite}`b2021,c2022`.
```

[Data](02_data.ipynb), the {download}`lab <labs/02_data.ipynb>`, [web](https://example.org/a.ipynb),
[word](back/glossary.md#mask) and [here](#up)."""


def test_myst_becomes_plain_markdown():
    assert (
        plain(SOURCE, lambda file: f"../{file}")
        == """Before.

> **Predict first**
>
> How many?

![A U.](../_static/u.svg)

The shape.

[Data](../02_data.ipynb), the [lab](../labs/02_data.ipynb), [web](https://example.org/a.ipynb),
[word](../back/glossary.md#mask) and [here](#up)."""
    )


def test_citations_are_formatted_by_cite():
    text = plain(SOURCE, str, cite=lambda keys: f"({' and '.join(keys)})")
    assert "Before (a2020)." in text and "The shape (b2021 and c2022)." in text


def test_citation_at_line_start_leaves_no_gap():
    source = 'its "void" pixels\n   {cite}`a2020`;'
    assert plain(source, str) == 'its "void" pixels;'
    assert plain(source, str, cite=lambda keys: "(a)") == 'its "void" pixels\n   (a);'


def test_untitled_admonition_shows_its_kind():
    assert plain(":::{warning}\nLook.\n:::", str) == "> **Warning**\n>\n> Look."
