"""MyST that every notebook program shows."""

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


def test_what_only_a_book_understands_becomes_plain_markdown():
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


def test_citations_become_what_is_asked_for():
    text = plain(SOURCE, str, cite=lambda keys: f"({' and '.join(keys)})")
    assert "Before (a2020)." in text and "The shape (b2021 and c2022)." in text


def test_a_citation_at_the_start_of_a_line_leaves_no_gap():
    source = 'its "void" pixels\n   {cite}`a2020`;'
    assert plain(source, str) == 'its "void" pixels;'
    assert plain(source, str, cite=lambda keys: "(a)") == 'its "void" pixels\n   (a);'


def test_a_box_without_a_title_has_the_name_of_its_kind():
    assert plain(":::{warning}\nLook.\n:::", str) == "> **Warning**\n>\n> Look."
