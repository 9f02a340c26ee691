"""Parts that the sections of a report are made of: cards, tables, lists of facts, marks."""

from collections.abc import Sequence
from typing import Final

from lumi_pipeline.analytics.report.markup import Child, Markup, joined, make

_MARKS: Final = {
    "good": "M5.5 12.5l4.2 4.2 8.8-9.2",
    "bad": "M7 7l10 10M17 7L7 17",
    "unsure": "M12 6v7.5M12 17.4v.2",
    "unknown": "M7 12h10",
}
"""A form for each state, so that none is told by its colour alone."""


def mark(state: str) -> Markup:
    """The sign of a state: ``good``, ``bad``, ``unsure`` or ``unknown``. The word beside it is the caller's."""
    path = make("path", d=_MARKS[state])
    return make("svg", path, viewBox="0 0 24 24", class_=f"mark {state}", aria_hidden="true")


def section(name: str, title: str, *content: Child, about: str = "", wide: bool = True) -> Markup:
    """A card with a heading that can be linked to."""
    return make(
        "section",
        make("h2", title, id=f"{name}-title"),
        make("p", about, class_="quiet about") if about else None,
        *content,
        id=name,
        class_="card wide" if wide else "card",
        aria_labelledby=f"{name}-title",
    )


def table(
    header: Sequence[Child], rows: Sequence[Sequence[Child]], numbers: Sequence[int] = (), kind: str = ""
) -> Markup:
    """A table whose first column names the row; the columns in ``numbers`` are aligned right."""
    head = [make("th", cell, scope="col", class_=_align(n, numbers)) for n, cell in enumerate(header)]
    body = [
        make(
            "tr",
            make("th", row[0], scope="row", class_=_align(0, numbers)),
            *(make("td", cell, class_=_align(n, numbers)) for n, cell in enumerate(row[1:], 1)),
        )
        for row in rows
    ]
    whole = make("table", make("thead", make("tr", *head)), make("tbody", *body), class_=kind or None)
    return make("div", whole, class_="scroll", tabindex=0, role="group", aria_label="Table")


def folded(summary: str, *content: Child) -> Markup:
    """What is there for whoever wants the details."""
    return make("details", make("summary", summary), *content)


def facts(pairs: Sequence[tuple[str, Child]]) -> Markup:
    """A list of what things are."""
    return make("dl", *(make("div", make("dt", name), make("dd", value)) for name, value in pairs), class_="facts")


def command_line(text: str) -> Markup:
    """A command to copy, broken between its words rather than at their hyphens."""
    first, *rest = (make("span", word, class_="word") for word in text.split(" "))
    return make("code", first, *(joined(" ", word) for word in rest))


def nothing(text: str) -> Markup:
    """What stands where there is nothing to show."""
    return make("p", text, class_="nothing")


def paragraphs(texts: Sequence[Child], kind: str = "") -> Markup:
    """One paragraph for each text."""
    return joined(*(make("p", text, class_=kind or None) for text in texts))


def _align(column: int, numbers: Sequence[int]) -> str | None:
    return "number" if column in numbers else None
