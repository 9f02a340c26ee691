"""What commands print: plain lines that are safe to show, or one JSON object."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

import click

from lumi_pipeline.wording import count, safe

__all__ = ["count", "note", "rate", "safe", "say", "say_json", "say_pairs", "say_table", "size"]

_BINARY_UNITS = ("KiB", "MiB", "GiB", "TiB")


def say(text: str = "") -> None:
    """Print a line, or several."""
    click.echo(safe(text))


def note(text: str) -> None:
    """Print to standard error what is neither result nor failure."""
    click.echo(safe(text), err=True)


def say_json(value: Mapping[str, object]) -> None:
    """Print one JSON object on a line of its own, in plain ASCII."""
    click.echo(json.dumps(value, separators=(", ", ": ")))


def say_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values in two columns; pairs without a value (None) are left out."""
    shown = [(name, str(value)) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        say(f"{name:<{width}}  {value}")


def say_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in columns under a header; columns of numbers line up on the right."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *cells]) for i in range(len(header))]
    right = [bool(rows) and all(isinstance(row[i], int) for row in rows) for i in range(len(header))]
    for line in [list(header), *cells]:
        columns = [
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, right, strict=True)
        ]
        say("  ".join(columns).rstrip())


def size(number: int) -> str:
    """Return a number of bytes for people: ``512 B``, ``1.5 MiB``."""
    if number < 1024:
        return f"{number} B"
    power = min(int(math.log2(number)) // 10, len(_BINARY_UNITS))
    return f"{number / 1024**power:.1f} {_BINARY_UNITS[power - 1]}"


def rate(number: int, seconds: float) -> str:
    """Return how long something took and, where it means anything, how many a second that was."""
    return f"{seconds:.1f} s, {number / seconds:,.0f}/s" if number and seconds > 0 else f"{seconds:.1f} s"
