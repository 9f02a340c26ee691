"""Rows of a query on the terminal or in a file: as a table for people, or as CSV, JSON or Parquet for programs."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import click

from lumi_pipeline.cli.output import safe, say_table

if TYPE_CHECKING:
    from typing import TextIO

    import pyarrow as pa

_Function = TypeVar("_Function", bound=Callable[..., object])
_Cells: TypeAlias = dict[str, object]

FORMATS: Final = ("table", "csv", "json", "parquet")
_WIDEST: Final = 100


def format_option(function: _Function) -> _Function:
    """Let the command take ``--format``."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How rows are printed; Parquet is bytes, so send it to a file.",
    )(function)


def print_rows(rows: "pa.RecordBatchReader", form: str) -> int:
    """Print all rows, and return how many. A table shortens long cells; the other forms leave nothing out."""
    if form == "parquet":
        return _parquet(rows)
    if form == "table":
        return _table(rows)
    return write_csv(rows, sys.stdout) if form == "csv" else _json(rows)


def write_csv(rows: "pa.RecordBatchReader", file: "TextIO") -> int:
    """Write rows as CSV (RFC 4180, lines end with LF) under a header; return how many."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows.schema.names)
    count = 0
    for cells in _each(rows):
        writer.writerow(["" if cell is None else _plain(cell) for cell in cells.values()])
        count += 1
    return count


def _table(rows: "pa.RecordBatchReader") -> int:
    shown = [[_shown(cell) for cell in cells.values()] for cells in _each(rows)]
    if shown:
        say_table(rows.schema.names, shown)
    return len(shown)


def _json(rows: "pa.RecordBatchReader") -> int:
    """Print one JSON array, one object a line."""
    count = 0
    for cells in _each(rows):
        line = json.dumps({name: _plain(cell) for name, cell in cells.items()})
        click.echo(f"{',' if count else '['}\n{line}", nl=False)
        count += 1
    click.echo("\n]" if count else "[]")
    return count


def _parquet(rows: "pa.RecordBatchReader") -> int:
    import pyarrow.parquet as pq

    count = 0
    with pq.ParquetWriter(sys.stdout.buffer, rows.schema) as writer:
        for batch in rows:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def _each(rows: "pa.RecordBatchReader") -> Iterator[_Cells]:
    for batch in rows:
        yield from batch.to_pylist()


def _plain(cell: object) -> object:
    """Return a cell as JSON has it; times are written in UTC."""
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    return cell.isoformat() if isinstance(cell, date) else cell


def _shown(cell: object) -> object:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return f"{cell.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    if not isinstance(cell, str):
        return cell
    text = safe(cell).replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
