"""Rows that a command prints or writes to a file: as a table, CSV, JSON or Parquet, a batch at a time."""

import json
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from enum import StrEnum
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

import click

from lumi_pipeline.cli.command import ExitCode, Stop
from lumi_pipeline.cli.options import PATH
from lumi_pipeline.cli.output import safe
from lumi_pipeline.wording import FORMULA_STARTS

if TYPE_CHECKING:
    import pyarrow as pa

    from lumi_pipeline.analytics.asking import Answer

_Function = TypeVar("_Function", bound=Callable[..., object])
_LEAST_WIDTH: Final = 8
_GAP: Final = "  "
_LINE_BREAKS: Final = str.maketrans({"\n": "\\n", "\t": "\\t"})


class Format(StrEnum):
    """How rows are written. JSON is one object a line, so that any number can be written and read."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def result_options(function: _Function) -> _Function:
    """Let the command take ``--format``, its short form ``--json``, and ``--output``."""
    function = click.option(
        "-o", "--output", metavar="FILE", type=PATH, help="Write to this file; its ending tells the format."
    )(function)
    function = click.option("--json", "form", flag_value=Format.JSON.value, help="Short for --format json.")(function)
    return click.option(
        "--format", "form", type=click.Choice([form.value for form in Format]), help="Default: table. JSON: one a line."
    )(function)


def chosen_format(form: str | None, output: Path | None) -> Format:
    """The format that was asked for: by name, else by the ending of the file."""
    if form is not None:
        chosen = Format(form)
    else:
        ending = output.suffix.removeprefix(".").lower() if output else Format.TABLE.value
        if ending not in list(Format):
            if output is not None and output != Path("-"):
                raise click.UsageError(f"the ending of {output} names no format; give one with --format")
            ending = Format.TABLE.value
        chosen = Format(ending)
    if chosen is Format.PARQUET and _to_terminal(output):
        raise click.UsageError("Parquet is not for a terminal; name a file with -o")
    return chosen


def _to_terminal(output: Path | None) -> bool:
    """Whether somebody sees it at once."""
    return output in {None, Path("-")} and sys.stdout.isatty()


def write_rows(answer: "Answer", form: Format, output: Path | None) -> int:
    """Write all rows, and return how many. A file has its name only when it is whole; a pipe gets rows as they come."""
    rows = 0

    def counted() -> "Iterator[pa.RecordBatch]":
        nonlocal rows
        for batch in answer.batches:
            rows += batch.num_rows
            yield batch

    counting = replace(answer, batches=counted())
    with writing(output) as sink:
        if form is Format.PARQUET:
            _write_parquet(counting, sink)
            return rows
        for lines in _LINES[form](counting, _to_terminal(output)):
            sink.write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
    return rows


@contextmanager
def writing(output: Path | None) -> Iterator[BinaryIO]:
    """Open what is written to: a file that has its name only when it is whole, a device, or standard output."""
    if output is None or output == Path("-"):
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if output.exists() and not output.is_file():
        with output.open("wb") as file:  # a device or a pipe, which nothing may replace
            yield file
        return
    temporary = output.with_name(f".{output.name}.{secrets.token_hex(8)}.new")
    try:
        with temporary.open("wb") as file:
            yield file
        # A crash before this line leaves the temporary file; the result's name still holds what it held.
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)


def _write_parquet(answer: "Answer", sink: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = answer.schema
    for index, name in enumerate(_names(schema)):
        schema = schema.set(index, schema.field(index).with_name(name))
    try:
        with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            for batch in answer.batches:
                writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    except pa.ArrowNotImplementedError as error:
        raise Stop(f"Parquet can't hold that: {error}; cast the column to text", ExitCode.FAILURE) from None


def _csv(answer: "Answer", on_terminal: bool) -> Iterator[list[str]]:
    """CSV as RFC 4180 has it, with LF; a null is empty, an empty text in quotes, what looks like a formula marked.

    A terminal would obey what a cell tells it to do, so there that is escaped.
    """
    shown = safe if on_terminal else str
    yield [shown(",".join(map(_csv_cell, answer.schema.names)))]
    for batch in answer.batches:
        yield [shown(",".join(map(_csv_cell, row))) for row in _rows(batch)]


def _json(answer: "Answer", _: bool) -> Iterator[list[str]]:
    names = _names(answer.schema)
    for batch in answer.batches:
        yield [json.dumps(dict(zip(names, map(_json_value, row), strict=True))) for row in _rows(batch)]


def _table(answer: "Answer", on_terminal: bool) -> Iterator[list[str]]:
    """Columns as wide as the first rows need; on a terminal no wider than it is, and then cells are cut."""
    import pyarrow as pa
    from rich.cells import cell_len, set_cell_size

    names = [_table_cell(name) for name in answer.schema.names]
    right = [
        pa.types.is_integer(f.type) or pa.types.is_floating(f.type) or pa.types.is_decimal(f.type)
        for f in answer.schema
    ]
    widths: list[int] = []

    def line(cells: Sequence[str]) -> str:
        parts = []
        for cell, width, numeric in zip(cells, widths, right, strict=True):
            room = width - cell_len(cell)
            if room < 0 and on_terminal:
                parts.append(set_cell_size(cell, width - 1) + "…")
            else:
                parts.append(" " * room + cell if numeric else cell + " " * room)
        return _GAP.join(parts).rstrip()

    def lines() -> Iterator[list[str]]:
        for batch in answer.batches:
            rows = [list(map(_table_cell, row)) for row in _rows(batch)]
            if not widths:
                widths.extend(max(cell_len(row[i]) for row in [names, *rows]) for i in range(len(names)))
                if on_terminal:
                    _fit(widths, shutil.get_terminal_size().columns)
                yield [line(names)]
            yield [line(row) for row in rows]

    if answer.schema.names == ["explain_key", "explain_value"]:  # a picture, not a cell
        yield [safe(str(row[1])) for batch in answer.batches for row in _rows(batch)]
        return
    yield from lines()
    if not widths:
        yield [_GAP.join(names)]


def _fit(widths: list[int], room: int) -> None:
    """Make the widest columns narrower until all fit, as far as that makes sense."""
    while sum(widths) + len(_GAP) * (len(widths) - 1) > room and max(widths) > _LEAST_WIDTH:
        widths[widths.index(max(widths))] -= 1


_LINES: Final = {Format.TABLE: _table, Format.CSV: _csv, Format.JSON: _json}


def _rows(batch: "pa.RecordBatch") -> Iterator[tuple[object, ...]]:
    try:
        columns = [column.to_pylist() for column in batch.columns]
    except (ValueError, OverflowError) as error:
        raise Stop(f"a value can't be shown ({error}); cast its column to text", ExitCode.FAILURE) from None
    return zip(*columns, strict=True)


def _names(schema: "pa.Schema") -> list[str]:
    """The columns' names, each once: a second ``a`` is ``a_2``."""
    names: list[str] = []
    for name in schema.names:
        number, unique = 2, name
        while unique in names:
            number, unique = number + 1, f"{name}_{number}"
        names.append(unique)
    return names


def _csv_cell(value: object) -> str:
    if value is None:
        return ""
    text = _text(value)
    if isinstance(value, str) and text.startswith(tuple(FORMULA_STARTS)):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if not text or any(sign in text for sign in ',"\r\n') else text


def _table_cell(value: object) -> str:
    return "" if value is None else safe(_text(value)).translate(_LINE_BREAKS)


def _text(value: object) -> str:
    plain = _json_value(value)
    if isinstance(plain, str):
        return plain
    return json.dumps(plain, ensure_ascii=False)


def _json_value(value: object) -> object:
    """A value as JSON can hold it: times in ISO 8601, bytes in hexadecimal, whole decimals as integers."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, Decimal)):
        return _number(value)
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    return _spelt(value)


def _number(value: float | Decimal) -> float | str:
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:
        return int(value)
    return float(value) if isfinite(value) else str(value)


def _spelt(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, (date, time)) else str(value)
