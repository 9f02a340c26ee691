"""The lake: where everything lies under one root, and how Parquet gets in and out of it without being trusted.

Files are named after their content (``part-00000-<first 16 hex digits of its SHA-256>.parquet``), so two runs, or two
versions of the Parquet library, can never overwrite or delete what the other has committed. A file counts only once
a commit object (a landing, a manifest) lists it with its SHA-256; every reader here checks that hash first.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.records import StoredFile
from transparency.encoding import parse_day
from transparency.errors import EncodingError, ObjectMissing
from transparency.store import ObjectStore

PART_ROWS: Final = 250_000
PART_BYTES: Final = 128 * 2**20
ROW_GROUP_ROWS: Final = 64 * 1024
"""Small enough that a reader who wants one tenant skips most of a part, large enough to compress well."""


@dataclass(frozen=True, slots=True)
class Lake:
    """An object store laid out as a lake; ``locate`` turns a key into what DuckDB and Polars can open."""

    store: ObjectStore
    locate: Callable[[str], str]

    def read(self, file: StoredFile) -> bytes:
        """Return a committed file's bytes; :class:`~lumi_pipeline.errors.LakeError` if they aren't those committed."""
        try:
            data = self.store.get(file.path)
        except ObjectMissing:
            raise LakeError(f"{file.path} is missing although it was committed; restore it from a backup") from None
        if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
            raise LakeError(f"{file.path} was altered: its SHA-256 is not {file.sha256}, as committed")
        return data

    def read_events(self, file: StoredFile) -> Iterator[pa.Table]:
        """Yield a committed event file's rows in order, a row group's worth at a time."""
        yield from parquet_events(self.read(file), file.path)

    def put_parquet(self, prefix: str, table: pa.Table) -> StoredFile:
        """Write ``table`` as ``<prefix>-<hash>.parquet`` (create-only, durable) and describe what was written."""
        file, data = describe_parquet(prefix, table)
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
        """Delete Parquet files under ``prefix`` that its commit object, which must exist, does not list; count them."""
        keep = {file.path for file in listed}
        orphans = [key for key in self.store.list(prefix) if key.endswith(".parquet") and key not in keep]
        for key in orphans:
            self.discard(key)
        return len(orphans)

    def discard(self, key: str) -> None:
        """Delete an object that counts for nothing any more, unless another run was faster."""
        with suppress(ObjectMissing):
            self.store.delete(key)


def events_prefix(day: date) -> str:
    """Where a sealed day's events lie (a Hive partition)."""
    return f"events/day={day.isoformat()}/"


def seal_prefix(day: date) -> str:
    """Where a sealed day's manifest, tenant-day records and day record lie."""
    return f"seals/day={day.isoformat()}/"


def describe_parquet(prefix: str, table: pa.Table) -> tuple[StoredFile, bytes]:
    """Encode ``table`` as the file ``<prefix>-<hash>.parquet``; return its description and its bytes, unwritten.

    Zstandard, statistics, row groups of at most ``ROW_GROUP_ROWS`` rows, plain types.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=ROW_GROUP_ROWS, write_page_index=True)
    data = sink.getvalue().to_pybytes()
    digest = hashlib.sha256(data).hexdigest()
    return StoredFile(f"{prefix}-{digest[:16]}.parquet", len(data), len(table), digest), data


def decode_parquet(data: bytes, name: str) -> pq.ParquetFile:
    """Open Parquet bytes; :class:`~lumi_pipeline.errors.LakeError` with ``name`` when they aren't Parquet."""
    try:
        return pq.ParquetFile(pa.BufferReader(data))
    except pa.ArrowException as error:
        raise LakeError(f"{name} is not a readable Parquet file: {error}") from None


def parquet_events(data: bytes, name: str) -> Iterator[pa.Table]:
    """Yield the events in Parquet bytes, checking that the columns are exactly ``EVENT_SCHEMA``."""
    file = decode_parquet(data, name)
    if not file.schema_arrow.equals(EVENT_SCHEMA):
        raise LakeError(f"{name} does not have the columns of an event file")
    try:
        for batch in file.iter_batches(ROW_GROUP_ROWS):
            yield pa.Table.from_batches([batch])
    except pa.ArrowException as error:
        raise LakeError(f"{name} can't be read: {error}") from None


def in_parts(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Regroup a stream of tables into parts of at most ``PART_ROWS`` rows and about ``PART_BYTES`` bytes."""
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        for batch in table.to_batches(max_chunksize=ROW_GROUP_ROWS):
            if held and (rows + len(batch) > PART_ROWS or size + batch.nbytes > PART_BYTES):
                yield pa.concat_tables(held)
                held, rows, size = [], 0, 0
            held.append(pa.Table.from_batches([batch]))
            rows += len(batch)
            size += batch.nbytes
    if held:
        yield pa.concat_tables(held)
