"""HTML and SVG as text, in which names from a run cannot become markup."""

from __future__ import annotations

from html import escape

__all__ = ["Markup", "join", "table", "tag"]


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """An element.

    Args:
        name: Of the element.
        children: Text, which is escaped, or `Markup`, which is not.
        attributes: `class_` is class, `text_anchor` is text-anchor; floats are rounded to a tenth, which in a
            drawing is a tenth of a pixel; None leaves the attribute out.
    """
    listed = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{listed}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Several pieces of text or markup, one behind the other."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child, quote=False) for child in children))


def table(titles: list[str], rows: list[list[str]], numbers: list[int]) -> Markup:
    """A table that sorts by a click on a title.

    Args:
        titles: Of the columns.
        rows: Cells, the first of which begins in line, the others end in line.
        numbers: Of the record that each row shows.
    """
    side = ["t", *[None] * (len(titles) - 1)]
    head = [tag("th", title, scope="col", class_=kind) for title, kind in zip(titles, side, strict=True)]
    body = [
        tag("tr", *(tag("td", cell, class_=kind) for cell, kind in zip(row, side, strict=True)), data_n=number)
        for row, number in zip(rows, numbers, strict=True)
    ]
    whole = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body), class_="sortable")
    return tag("div", whole, class_="wide", tabindex="0")


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return str(value)
