"""Files that came out of a SIEM: CSV or JSON, gzipped or not, opened in DuckDB without being trusted.

Their size does not matter; that of one record is limited. What is wrong with one is said with the line, never with what
is on it.
"""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Final, cast

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv

from lumi_pipeline.errors import SiemError
from lumi_pipeline.interrupting import interruptible
from lumi_pipeline.siem.exportfields import KNOWN, Layout, csv_layout, json_layout
from lumi_pipeline.siem.sqltext import quoted
from transparency.encoding import excerpt

SUMMARY: Final = ("tenant_id", "day", "events", "distinct_events", "min_seq", "max_seq")
"""The columns of a summary, which the generated queries return."""

MAX_RECORD: Final = 32 << 20
"""Bytes of one record: twice what an event may have, as JSON text within JSON text or CSV."""

MAX_COLUMNS: Final = 1000
MAX_HEADER: Final = 1 << 20
_SHOWN: Final = 20
_BOM: Final = b"\xef\xbb\xbf"
_PLACE: Final = re.compile(r"(?:line|record/value|Row) #?([0-9]+)")


@dataclass(frozen=True, slots=True)
class Export:
    """A file as its beginning shows it: JSON or CSV, gzipped or not, and for CSV the names in its header."""

    path: Path
    gzipped: bool
    is_json: bool
    header: tuple[str, ...] = ()

    @property
    def is_summary(self) -> bool:
        """Whether it is the result of a generated query."""
        return set(self.header) >= set(SUMMARY)


def look_at(path: Path) -> Export:
    """Look at a file's beginning; :class:`~lumi_pipeline.errors.SiemError` when it is neither CSV nor JSON."""
    with reading_export(path), path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    with _opened(path, gzipped=gzipped) as stream:
        start = stream.peek(4).removeprefix(_BOM).lstrip() or stream.peek(1024).removeprefix(_BOM).lstrip()
        if not start:
            raise SiemError(f"{path} is empty")
        if start[:1] in {b"{", b"["}:
            return Export(path, gzipped, is_json=True)
        line = stream.readline(MAX_HEADER)
    try:
        names = next(csv.reader([line.removeprefix(_BOM).decode()], strict=True))
    except (UnicodeDecodeError, csv.Error, StopIteration):
        raise SiemError(f"{path} is neither CSV with a header nor JSON, in UTF-8") from None
    if len(names) > MAX_COLUMNS:
        raise SiemError(f"{path} has {len(names)} columns; more than {MAX_COLUMNS} are not read")
    return Export(path, gzipped, is_json=False, header=tuple(name.strip() for name in names))


@contextmanager
def opened_export(db: duckdb.DuckDBPyConnection, export: Export, directory: Path) -> Iterator[Layout]:
    """Make an export's records the relation ``records``, which can be read once; yield how they are laid out.

    ``directory`` is a temporary one. Raises :class:`~lumi_pipeline.errors.SiemError` when it holds no events.
    """
    with reading_export(export.path):
        layout = _open_json(db, export, directory) if export.is_json else _open_csv(db, export)
    if layout is None:
        raise SiemError(_unknown_columns(export))
    try:
        yield layout
    finally:
        db.unregister("records")


def _open_json(db: duckdb.DuckDBPyConnection, export: Export, directory: Path) -> Layout | None:
    link = directory / "export"  # the path itself may hold what DuckDB takes for a pattern
    link.unlink(missing_ok=True)
    link.symlink_to(export.path.absolute())
    compression = "gzip" if export.gzipped else "none"
    options = f"format = 'auto', compression = '{compression}', maximum_object_size = {MAX_RECORD}"
    db.sql(f"SELECT json FROM read_json_objects({quoted(str(link))}, {options})").create_view("records")  # noqa: S608
    return json_layout(_first_json(export), "json")


def _open_csv(db: duckdb.DuckDBPyConnection, export: Export) -> Layout | None:
    batches = _csv_batches(export)
    first = next(batches, None)
    if first is None:
        first = pa.RecordBatch.from_pylist([], pa.schema([(name, pa.string()) for name in _cells(export)]))
    db.register("records", pa.RecordBatchReader.from_batches(first.schema, chain([first], batches)))
    row = first.slice(0, 1).to_pylist()
    values = [str(row[0][cell]) if row else "" for cell in _cells(export)]
    return csv_layout(
        dict(zip(export.header, _cells(export), strict=True)), dict(zip(export.header, values, strict=True))
    )


def _cells(export: Export) -> list[str]:
    """The names of CSV's columns in SQL; the header's own may be anything, and there twice."""
    return [f"c{number}" for number in range(len(export.header))]


def _unknown_columns(export: Export) -> str:
    wanted = (
        f"the columns of a summary ({', '.join(SUMMARY)}), or events with at least event_id and integrity_hash, and "
        f"any of {', '.join(KNOWN)}"
    )
    if export.is_json:
        return f"{export.path}: its first record is no event of ours; wanted are {wanted}"
    shown = ", ".join(excerpt(name) for name in export.header[:_SHOWN])
    more = f" and {len(export.header) - _SHOWN} more" if len(export.header) > _SHOWN else ""
    return f"{export.path}: its columns are {shown}{more}; wanted are {wanted}"


@contextmanager
def _opened(path: Path, *, gzipped: bool) -> Iterator[BufferedReader]:
    with reading_export(path):
        if gzipped:
            with gzip.open(path, "rb") as stream:
                yield cast("BufferedReader", stream)
        else:
            with path.open("rb") as stream:
                yield stream


@contextmanager
def opened_text(export: Export) -> Iterator[TextIOWrapper]:
    """Open an export as text, for Python's reader of CSV."""
    with _opened(export.path, gzipped=export.gzipped) as stream:
        try:
            yield TextIOWrapper(stream, "utf-8-sig", newline="")
        except UnicodeDecodeError:
            raise SiemError(f"{export.path} is not UTF-8") from None


def _first_json(export: Export) -> object:
    """The first record of NDJSON or of an array."""
    with _opened(export.path, gzipped=export.gzipped) as stream:
        start = stream.read(MAX_RECORD)
    try:
        text = start.removeprefix(_BOM).decode("utf-8", "ignore").lstrip()
        return json.JSONDecoder().raw_decode(text.removeprefix("[").lstrip())[0]
    except (ValueError, RecursionError):
        raise SiemError(f"{export.path}: its first record is not JSON of at most {MAX_RECORD:,} bytes") from None


def _csv_batches(export: Export) -> Iterator[pa.RecordBatch]:
    """Yield the rows of CSV, all cells as text."""
    names = _cells(export)
    with _opened(export.path, gzipped=export.gzipped) as stream:
        stream.readline(MAX_HEADER)
        yield from pacsv.open_csv(
            stream,
            pacsv.ReadOptions(column_names=names, block_size=MAX_RECORD),
            pacsv.ParseOptions(newlines_in_values=True),
            pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )


@contextmanager
def reading_export(path: Path) -> Iterator[None]:
    """Make what is wrong with a file ours, while it is read: :class:`~lumi_pipeline.errors.SiemError`."""
    try:
        with interruptible():
            yield
    except duckdb.OutOfMemoryException:
        raise SiemError(
            f"{path}: there is no room to compare it; free space in the directory that TMPDIR names"
        ) from None
    except (duckdb.Error, pa.ArrowException, zlib.error, EOFError, gzip.BadGzipFile) as error:
        # Their messages repeat what is in the file, so no more than the place is taken from them.
        found = _PLACE.search(str(error))
        where = f", near line {found[1]}" if found else ""
        raise SiemError(
            f"{path}{where}: it can't be read as what its beginning is: CSV or JSON in UTF-8, records of at most "
            f"{MAX_RECORD:,} bytes"
        ) from None
    except OSError as error:
        raise SiemError(f"{path} can't be read: {error.strerror or 'it is damaged'}") from None
