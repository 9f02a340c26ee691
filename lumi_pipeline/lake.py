"""The lake: where everything lies under one root, and how Parquet gets in and out of it without being trusted.

Files are named after their content (``part-00000-<first 16 hex digits of its SHA-256>.parquet``), so two runs, or two
versions of the Parquet library, can never overwrite or delete what the other has committed. A file counts only once
a commit object (a landing, a manifest) lists it with its SHA-256; every reader here checks that hash first.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar, cast

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lumi_pipeline.cutting import LARGE_GROUPS, GroupSize, cut_groups
from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import EVENT_SCHEMA, HASH_COLUMNS, MAX_MICROS, MIN_MICROS, NULLABLE_COLUMNS
from lumi_pipeline.records import StoredFile
from transparency.encoding import parse_day
from transparency.errors import EncodingError, ObjectMissing
from transparency.store import ObjectStore

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

DISTINCT_COLUMNS: Final = frozenset(
    {"event_id", "occurred_at", "payload_salt", "recorded_at", "request_id", "seq", *HASH_COLUMNS}
)
"""Columns whose values hardly repeat: building a dictionary of them took a quarter of the time of writing events."""

REWRITTEN: Final = "-erased-"
"""In the names of files that an erasure wrote, followed by its number; only that erasure ever removes them again."""

GROUP_BYTES: Final = b"lumi.group_bytes"
"""In a file's metadata: what each of its row groups takes once it is decoded, in bytes, with spaces between."""

EVENTS_PREFIX: Final = "events/"
"""Where the events of sealed days lie, a folder a day."""

_FETCHERS: Final = 8
"""Requests at a time: enough to hide the waiting for small objects, few enough to hold large ones in memory."""

_WINDOW: Final = 64
"""How many results may wait for whoever uses them."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Lake:
    """An object store laid out as a lake; ``locate`` turns a key into what DuckDB and Polars can open.

    Where that is no path but a URL, ``file_system`` is what opens those under a prefix.
    """

    store: ObjectStore
    locate: Callable[[str], str]
    file_system: "Callable[[str], AbstractFileSystem] | None" = None

    def read(self, file: StoredFile) -> bytes:
        """Return a committed file's bytes; :class:`~lumi_pipeline.errors.LakeError` if they aren't those committed."""
        try:
            data = self.store.get(file.path)
        except ObjectMissing:
            raise LakeError(f"{file.path} is missing although it was committed; restore it from a backup") from None
        if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
            raise LakeError(f"{file.path} was altered: its SHA-256 is not {file.sha256}, as committed")
        return data

    def open(self, key: str) -> BinaryIO:
        """Open an object to read some places of it; nothing of it is checked.

        Raises :class:`~transparency.errors.ObjectMissing` when there is none.
        """
        try:
            if self.file_system is None:
                return Path(self.locate(key)).open("rb")
            return cast("BinaryIO", self.file_system(key).open(self.locate(key)))
        except FileNotFoundError:
            raise ObjectMissing(key) from None

    def open_events(self, file: StoredFile) -> pq.ParquetFile:
        """Open a committed event file, which has to have the columns of ``EVENT_SCHEMA``; values are not looked at."""
        parquet = _open(self.read(file), file.path)
        check_columns(parquet, file)
        return parquet

    def fetch_events(self, files: Sequence[StoredFile], directory: Path) -> list[str]:
        """Check committed event files; return where each lies for whoever reads it several times.

        On a disk that is where it is. From afar the very bytes that were checked are kept in ``directory``: reading a
        file again would cost the time once more, and it could have changed meanwhile.
        """
        if self.file_system is None:
            for file in files:
                self.open_events(file)
            return [self.locate(file.path) for file in files]

        def fetch(item: tuple[int, StoredFile]) -> str:
            number, file = item
            data = self.read(file)
            check_columns(_open(data, file.path), file)
            path = directory / f"{number}.parquet"
            path.write_bytes(data)
            return str(path)

        return list(self.side_by_side(fetch, enumerate(files)))

    def side_by_side(self, act: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """Do something with the store for each item, and yield the results in order.

        In a lake that is not on a disk several are done at a time, because waiting for the network is what they cost.
        """
        if self.file_system is None:
            yield from map(act, items)
            return
        remaining = iter(items)
        with ThreadPoolExecutor(_FETCHERS) as pool:
            while window := list(islice(remaining, _WINDOW)):
                yield from pool.map(act, window)

    @contextmanager
    def searching(self, prefix: str) -> "Iterator[duckdb.DuckDBPyConnection]":
        """Yield a DuckDB that opens the places of files under ``prefix``; what it reads was not checked.

        What it can't read is a :class:`~lumi_pipeline.errors.LakeError`.
        """
        with duckdb.connect() as db:
            if self.file_system is not None:
                db.register_filesystem(self.file_system(prefix))
            try:
                yield db
            except (duckdb.Error, OSError) as error:
                # Of trouble with a store DuckDB repeats a traceback, of which the last line says what it was. Where the
                # store as a whole can't be had, asking it once more ourselves says that better.
                next(iter(self.store.list(prefix)), None)
                lines = str(error).strip().splitlines() or [type(error).__name__]
                reason = lines[-1] if "Traceback" in lines[0] else lines[0]
                raise LakeError(
                    f"a file under {prefix} can't be searched; 'lumi verify --all' names what is damaged: {reason}"
                ) from None

    def read_events(self, file: StoredFile, rows: range | None = None, *, threads: bool = True) -> Iterator[pa.Table]:
        """Yield a committed event file's rows in order, a row group's worth at a time, every value checked.

        With ``rows`` only those: row groups without any of them are not decoded. Without ``threads`` one thread decodes
        all columns, which takes less memory, for whoever has the other processors busy anyway.
        """
        parquet = self.open_events(file)
        rows = range(parquet.metadata.num_rows) if rows is None else rows
        at, groups = _groups_with(parquet, rows)
        for group in groups:
            with reading(file.path):
                decoded = parquet.read_row_group(group, use_threads=threads)
                first = max(rows.start - at, 0)
                table = decoded.slice(first, max(rows.stop - at - first, 0))
                at += len(decoded)
                check_values(table, file.path)
            if len(table):
                yield table

    def read_table(self, file: StoredFile, schema: pa.Schema) -> pa.Table:
        """Return a committed file whose columns have to be those of ``schema``, none of them with a null.

        What the file says of itself besides (its metadata) is not compared; it is in the returned table's schema.
        """
        with reading(file.path):
            table = _open(self.read(file), file.path).read()
            if not table.schema.equals(schema):
                raise LakeError(f"{file.path} does not have the columns {', '.join(schema.names)}")
            check_values(table, file.path)
        return table

    def put_parquet(
        self,
        prefix: str,
        table: pa.Table,
        encodings: Mapping[str, str] | None = None,
        *,
        limit: GroupSize = LARGE_GROUPS,
    ) -> StoredFile:
        """Write ``table`` as ``<prefix>-<hash>.parquet`` (create-only, durable) and describe what was written.

        ``encodings`` are Parquet's for columns whose values are known to suit them; the others have a dictionary,
        unless their values hardly repeat. ``limit`` is for row groups.
        """
        file, data = describe_parquet(prefix, table, encodings, limit=limit)
        # A crash after this line leaves a file that nothing lists: ignored by readers, removed by the next run.
        self.store.put_new(file.path, data)
        return file

    def sealed_days(self) -> list[date]:
        """Every day that has a day record, in order."""
        days = []
        for key in self.store.list("seals/day="):
            name, _, leaf = key.removeprefix("seals/day=").partition("/")
            if leaf == "day.txt":
                try:
                    days.append(parse_day(name))
                except EncodingError:
                    raise LakeError(f"{key} is not under a day; remove it") from None
        return days

    def is_sealed(self, day: date) -> bool:
        """Whether a day has a day record."""
        key = f"{seal_prefix(day)}day.txt"
        return key in self.store.list(key)

    def remove_unlisted(self, prefix: str, listed: Sequence[StoredFile]) -> int:
        """Delete Parquet files under ``prefix`` that its commit object, which must exist, does not list; count them.

        What an erasure wrote stays: whoever looks at the commit object alone can't know whether it counts.
        """
        keep = {file.path for file in listed}
        found = (key for key in self.store.list(prefix) if key.endswith(".parquet") and REWRITTEN not in key)
        orphans = [key for key in found if key not in keep]
        for key in orphans:
            self.discard(key)
        return len(orphans)

    def discard(self, key: str) -> None:
        """Delete an object that counts for nothing any more, unless another run was faster."""
        with suppress(ObjectMissing):
            self.store.delete(key)


def events_prefix(day: date) -> str:
    """Where a sealed day's events lie (a Hive partition)."""
    return f"{EVENTS_PREFIX}day={day.isoformat()}/"


def seal_prefix(day: date) -> str:
    """Where a sealed day's manifest, tenant-day records and day record lie."""
    return f"seals/day={day.isoformat()}/"


def describe_parquet(
    prefix: str,
    table: pa.Table,
    encodings: Mapping[str, str] | None = None,
    *,
    limit: GroupSize = LARGE_GROUPS,
) -> tuple[StoredFile, bytes]:
    """Encode ``table`` as the file ``<prefix>-<hash>.parquet``; return its description and its bytes, unwritten.

    Zstandard, statistics, plain types; row groups within ``limit``, whose sizes are told in the file's metadata.
    """
    sink = pa.BufferOutputStream()
    plain = DISTINCT_COLUMNS | set(encodings or ())
    groups = cut_groups(table, limit)
    sizes = " ".join(str(group.size) for group in groups)
    with pq.ParquetWriter(
        sink,
        table.schema.with_metadata({**(table.schema.metadata or {}), GROUP_BYTES: sizes.encode()}),
        compression="zstd",
        write_page_index=True,
        use_dictionary=[name for name in table.column_names if name not in plain],  # type: ignore[arg-type]
        column_encoding=dict(encodings) if encodings else None,
    ) as writer:
        at = 0
        for group in groups:
            writer.write_table(table.slice(at, group.rows), group.rows)
            at += group.rows
    data = sink.getvalue().to_pybytes()
    digest = hashlib.sha256(data).hexdigest()
    return StoredFile(f"{prefix}-{digest[:16]}.parquet", len(data), len(table), digest), data


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Make what goes wrong with the Parquet file ``name`` a :class:`~lumi_pipeline.errors.LakeError`.

    Arrow finds some damage when it opens a file, some when it decodes a page, and some only when a value is looked at.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise LakeError(f"{name} is not a readable Parquet file: {reason}") from None


def check_values(table: pa.Table, name: str) -> None:
    """Raise unless every value is one that its column can hold: text in UTF-8, a time in the calendar, no stray null.

    Outbox and lake only ever held such values, so others were put into the file ``name`` by somebody else.
    """
    table.validate(full=True)
    for field, column in zip(table.schema, table.columns, strict=True):
        if column.null_count and field.name not in NULLABLE_COLUMNS:
            raise LakeError(f"{name} has a null in its column {field.name}")
        if pa.types.is_timestamp(field.type):
            times = pc.cast(column, pa.int64()).drop_null()
            if len(times) and not MIN_MICROS <= pc.min(times).as_py() <= pc.max(times).as_py() <= MAX_MICROS:
                raise LakeError(f"{name} has a time outside the years 0001 to 9999 in its column {field.name}")


def _groups_with(parquet: pq.ParquetFile, rows: range) -> tuple[int, list[int]]:
    """Return the row groups that hold any of these rows, and the number of the first row in them."""
    sizes = [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)]
    ends = list(accumulate(sizes, initial=0))
    groups = [group for group in range(len(sizes)) if ends[group] < rows.stop and ends[group + 1] > rows.start]
    return ends[groups[0]] if groups else 0, groups


def check_columns(parquet: pq.ParquetFile, file: StoredFile) -> None:
    """Raise unless a file has the columns of ``EVENT_SCHEMA``."""
    if not parquet.schema_arrow.equals(EVENT_SCHEMA):
        raise LakeError(f"{file.path} does not have the columns of an event file")


def _open(data: bytes, name: str) -> pq.ParquetFile:
    with reading(name):
        return pq.ParquetFile(pa.BufferReader(data))
