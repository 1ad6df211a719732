"""What the book adds to the theme's pages."""

import pandas as pd
import theme


def marked(table):
    """The texts of the cells of a table that are marked as texts."""
    page = theme.TABLE.sub(lambda found: theme.mark_texts(found[0]), table.to_html())
    return [cell.text for cell in theme.BeautifulSoup(page, "html.parser")(class_="text")]


def test_columns_of_texts_are_marked():
    table = pd.DataFrame(
        {"n": [1, 2], "breed": ["Beagle", "Pug"], "IoU": ["0.1 to 0.2", "-0.3 to 0.4"]},
        index=["first", "second"],
    )
    assert marked(table) == ["breed", "Beagle", "Pug"]
    assert marked(table.set_index("n", append=True)) == ["breed", "Beagle", "Pug"]


def test_numbers_and_empty_tables_are_not_marked():
    assert marked(pd.DataFrame({"a": [1.0, float("nan")], "b": [float("inf"), -1]})) == []
    assert marked(pd.DataFrame({"a": []})) == []


def test_headings_over_several_columns_leave_a_table_as_it_is():
    columns = pd.MultiIndex.from_product([["x"], ["a", "b"]])
    assert marked(pd.DataFrame([["one", "two"]], columns=columns)) == []


def test_style_of_a_table_does_not_reach_the_others():
    table = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_product([["x"], ["a", "b"]]))
    context = {"body": table._repr_html_()}
    assert "<style" in context["body"]
    theme.texts_in_tables(None, None, None, context, None)
    assert "<style" not in context["body"] and "<td>2</td>" in context["body"]
