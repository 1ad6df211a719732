"""Conversion of MyST to plain Markdown."""

from plain import plain

SOURCE = """Before {cite}`a2020`.

:::{admonition} Predict first
:class: important
How many?
:::

:::{warning}
Look.
:::

```{figure} _static/u.svg
:alt: A U.
:width: 420px

The shape
  {cite}`b2021,c2022`.
```

[Data](02_data.ipynb), the {download}`lab <labs/02_data.ipynb>`, [web](https://example.org/a.ipynb),
[word](back/glossary.md#mask) and [here](#up)."""
PLAIN = """Before.

> **Predict first**
>
> How many?

> **Warning**
>
> Look.

![A U.](../_static/u.svg)

The shape.

[Data](../02_data.ipynb), the [lab](../labs/02_data.ipynb), [web](https://example.org/a.ipynb),
[word](../back/glossary.md#mask) and [here](#up)."""


def test_myst_becomes_plain_markdown():
    assert plain(SOURCE, lambda file: f"../{file}") == PLAIN


def test_citations_are_formatted_by_cite():
    text = plain(SOURCE, str, cite=lambda keys: f"({' and '.join(keys)})")
    assert "Before (a2020)." in text and "The shape\n  (b2021 and c2022)." in text
