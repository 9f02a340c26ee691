"""HTML and SVG that can't be broken out of: text becomes markup in one place, and is escaped there."""

import html
from dataclasses import dataclass
from typing import Final, TypeAlias

from lumi_pipeline.wording import safe

MAX_SHOWN: Final = 160
"""Characters of foreign text that are shown of one name."""


@dataclass(frozen=True, slots=True)
class Markup:
    """A piece of a document that is markup already. Only :func:`make` makes one from text."""

    text: str


Child: TypeAlias = Markup | str | None
Attribute: TypeAlias = str | int | float | bool | None


def make(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """Make an element. Texts among its children and its attributes are escaped; None is left out.

    Attributes are written as ``class_`` and ``aria_label``; one that is True has no value, one that is False is left
    out. Tags and names of attributes are ours, never anybody's input.
    """
    written = "".join(_attribute(name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{joined(*children).text}</{tag}>")


def joined(*children: Child) -> Markup:
    """Put pieces one after the other."""
    return Markup("".join(_child(child) for child in children if child is not None))


def foreign(text: str) -> Markup:
    """A name that came with an event, cut to what can be read, and kept from turning the text around it."""
    shown = text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
    words = safe(shown).replace("\n", "\\n").replace("\t", "\\t").split("_")
    # Long names of actions may be broken behind their underscores.
    pieces = [piece for word in words for piece in (word, "_", make("wbr"))]
    return make("bdi", *pieces[:-2])


_VOID: Final = frozenset({"br", "hr", "img", "meta", "link", "wbr"})


def _child(child: Markup | str) -> str:
    return child.text if isinstance(child, Markup) else html.escape(safe(child), quote=False)


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f' {name}="{html.escape(safe(text))}"'
