"""The pull feed: a tenant's own events as NDJSON under a prefix of its own, for a customer who may read that alone.

``feeds/<tenant>/events/<n>-<16 hex digits>.ndjson.gz`` are the events in the format ``native``, in the order of their
seqs, and ``feeds/<tenant>/index/<n>.json`` says which of them count (feedentries.py). Nothing is ever changed, so who
knows entry n asks for n + 1.

What a feed brings has to be the tenant's own: an event whose hashes, which cover its tenant, don't recompute, or that
the chain does not lead to and from, is withheld, and its seq named in the entry. Somebody who puts another tenant's
row into a chain breaks it there.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Final, Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lumi_pipeline.chain import BreakKind, ChainFold, ChainState, Gap
from lumi_pipeline.errors import ConcurrentRun, ErasureMeanwhile, LakeError, LumiError, SiemError
from lumi_pipeline.events import EVENT_SCHEMA, MIN_MICROS
from lumi_pipeline.hashing import genesis_hash, net
from lumi_pipeline.landings import Cursor
from lumi_pipeline.siem.batching import codes
from lumi_pipeline.siem.encoding import spelled
from lumi_pipeline.siem.feedentries import FIRST_PREVIOUS, FeedBook, FeedEntry, Withheld
from lumi_pipeline.siem.gzipping import compress
from lumi_pipeline.siem.journal import Overtaken
from lumi_pipeline.siem.native import NATIVE
from lumi_pipeline.siem.source import Source
from lumi_pipeline.siem.sqltext import BATCH_ID, quoted
from transparency.encoding import excerpt

MAX_OBJECT_BYTES: Final = 64 << 20
"""Bytes of an object before compression, unless one event alone is larger."""

_TAG: Final = b"lumi/feed-batch/v1\n"
_MISSING: Final = "missing"
_PRUNED: Final = "pruned"
_BROKEN: Final = frozenset({BreakKind.PAYLOAD, BreakKind.INTEGRITY})

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FeedReport:
    """What publishing did for one tenant; ``size`` is in bytes.

    ``next`` is the seq that the feed goes on with; ``waiting`` rows from there on were landed and can't be judged yet:
    the last one of a chain whose head contradicts it.
    """

    tenant_id: str
    entries: int
    events: int
    size: int
    withheld: tuple[Withheld, ...]
    next: int
    waiting: int


@dataclass(frozen=True, slots=True)
class FeedsReport:
    """What publishing did for several tenants, and for whom it failed, with the reason."""

    published: tuple[FeedReport, ...]
    failed: Mapping[str, str]


def publish_feeds(source: Source, tenants: Sequence[str]) -> FeedsReport:
    """Publish the feeds of these tenants; one that fails stops none of the others.

    The lake is read once for all of them. Where that fails, each is read for by itself: what is damaged may be of one.
    """
    failed: dict[str, str] = {}
    feeds: dict[str, _Feed] = {}
    for tenant_id in tenants:
        with _told(failed, tenant_id):
            feeds[tenant_id] = _Feed(source, tenant_id)
    left = {tenant_id: feed for tenant_id, feed in feeds.items() if feed.span is not None}
    with FeedRecords() as records:
        try:
            for tenant_id, tables in _by_tenant(_reading(source, left.values())):
                with _told(failed, tenant_id):
                    left[tenant_id].publish(tables, records)
                del left[tenant_id]
        except _Unread:
            alone = True
        else:
            alone = False  # of those that are left nothing is in the lake
        for tenant_id, feed in left.items():
            with _told(failed, tenant_id):
                feed.publish(feed.rows() if alone else iter(()), records)
    return FeedsReport(tuple(feed.report for tenant_id, feed in feeds.items() if tenant_id not in failed), failed)


class _Unread(Exception):
    """The rows of several feeds can't be read together."""


def _reading(source: Source, feeds: Collection["_Feed"]) -> Iterator[pa.Table]:
    """Yield the rows of several feeds, sorted by tenant and seq; what fails here is no failure of the one at hand."""
    ranges = {feed.tenant_id: feed.span for feed in feeds if feed.span is not None}
    try:
        yield from source.rows(ranges, around_pruned=True) if ranges else ()
    except LumiError as error:
        raise _Unread from error


@contextmanager
def _told(failed: dict[str, str], tenant_id: str) -> Iterator[None]:
    """Note a failure of one tenant's feed, and go on."""
    try:
        yield
    except LumiError as error:
        failed[tenant_id] = str(error)


def _by_tenant(tables: Iterable[pa.Table]) -> Iterator[tuple[str, Iterator[pa.Table]]]:
    """Yield each tenant's rows, of tables that are sorted by tenant."""
    parts = (part for table in tables for part in _cut(table))
    for tenant_id, found in groupby(parts, itemgetter(0)):
        yield tenant_id, (part for _, part in found)


def _cut(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    tenants, names = codes(table, "tenant_id")
    edges = [0, *(np.flatnonzero(np.diff(tenants)) + 1).tolist(), len(table)]
    for start, end in pairwise(edges):
        if start < end:
            yield names[tenants[start]], table.slice(start, end - start)


def feeds_behind(source: Source, tenants: Sequence[str]) -> list[str]:
    """Those of the tenants of which something was landed that their feeds do not have."""
    behind = []
    for tenant_id in tenants:
        found = FeedBook(source.lake, tenant_id).last()
        cursor = source.cursors.get(tenant_id)
        if cursor is not None and cursor.next_seq > (found[0].next if found else 0):
            behind.append(tenant_id)
    return behind


def publish_feed(source: Source, tenant_id: str) -> FeedReport:
    """Publish what was landed of a tenant and is not in its feed yet; with nothing new, nothing is written.

    A crash leaves whole entries, and perhaps an object that none names, which the next run removes. Raises
    :class:`~lumi_pipeline.errors.ConcurrentRun` when another run publishes the same feed at the same time, and
    :class:`~lumi_pipeline.errors.LakeError` when a file of the lake, or the feed itself, was altered.
    """
    feed = _Feed(source, tenant_id)
    if feed.span is not None:
        with FeedRecords() as records:
            feed.publish(feed.rows(), records)
    return feed.report


class _Feed:
    """One tenant's feed, and what is to be published to it."""

    def __init__(self, source: Source, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self._source = source
        self._book = FeedBook(source.lake, tenant_id)
        found = self._book.last()
        self._last: FeedEntry | None = found[0] if found else None
        self._digest = found[1] if found else FIRST_PREVIOUS
        first = self._last.next if self._last else 0
        self._cursor = source.cursors.get(tenant_id)
        after = self._cursor.next_seq if self._cursor else 0
        if self._last is not None:
            self._book.tidy(self._last)
        if first > after:
            raise LakeError(
                f"the feed of {tenant_id} holds events up to seq {first}, but only {after} were landed; is it the feed "
                "of another lake?"
            )
        self.report = FeedReport(tenant_id, 0, 0, 0, (), first, after - first)

    @property
    def span(self) -> tuple[int, int] | None:
        """The first seq that the feed lacks and the one behind the last that was landed; None where it lacks none."""
        after = self.report.next + self.report.waiting
        return (self.report.next, after) if self._cursor is not None and self.report.waiting else None

    def rows(self) -> Iterator[pa.Table]:
        """Yield the rows that the feed lacks, in order."""
        if self.span is None:
            return iter(())
        return self._source.rows({self.tenant_id: self.span}, around_pruned=True)

    def publish(self, tables: Iterator[pa.Table], records: "FeedRecords") -> None:
        """Publish the tenant's rows from where the feed ends, as they are in the lake."""
        if self._cursor is None:
            return
        for found in _steps(tables, self.tenant_id, self._cursor, self._last):
            lacks = any(part.reason == _MISSING for part in found.withheld)
            gaps = self._source.gaps.get(self.tenant_id, ()) if lacks else ()
            step = replace(found, withheld=tuple(_told_apart(found.withheld, gaps)))
            entry, data = self._write(step, records)
            self._last, self._digest = entry, hashlib.sha256(data).hexdigest()
            report = self.report
            self.report = replace(
                report,
                entries=report.entries + 1,
                events=report.events + entry.events,
                size=report.size + entry.size,
                withheld=report.withheld + entry.withheld,
                next=entry.next,
                waiting=report.next + report.waiting - entry.next,
            )

    def _write(self, step: "_Step", records: "FeedRecords") -> tuple[FeedEntry, bytes]:
        """Publish one step; return its entry, and that as it is stored."""
        path, batch_id, size, digest = None, "", 0, ""
        number = self._last.number + 1 if self._last else 0
        if len(step.events):
            batch_id, body = self._body(step, records)
            digest, size = hashlib.sha256(body).hexdigest(), len(body)
            path = f"{self._book.object_prefix(number)}{digest[:16]}.ndjson.gz"
            # A crash after this line leaves an object that no entry names.
            self._source.lake.store.put_new(self._book.prefix + path, body)
        entry = FeedEntry(
            number,
            self.tenant_id,
            step.first,
            step.next,
            len(step.events),
            path,
            size,
            digest,
            batch_id,
            step.head,
            step.withheld,
            self._digest,
        )
        data = entry.encode()
        try:
            self._source.check_unchanged()
        except ErasureMeanwhile:
            # It may hold what is erased, and whoever erases may have looked here before it was written.
            if path is not None and self._book.journal.find(number) is None:
                self._source.lake.discard(self._book.prefix + path)
            raise
        try:
            # The commit. Whoever creates this number has published it.
            self._book.journal.append(number, data)
        except Overtaken:
            raise ConcurrentRun(
                f"another run published the feed of {self.tenant_id} at the same time; nothing is lost: run again"
            ) from None
        self._book.tidy(entry)
        return entry, data

    def _body(self, step: "_Step", records: "FeedRecords") -> tuple[str, bytes]:
        """Return the id of a step's batch, and its object."""
        content = records.of(step.events)
        parts = (self.tenant_id, NATIVE.version, str(step.first), str(step.next), hashlib.sha256(content).hexdigest())
        batch_id = hashlib.sha256(_TAG + b"".join(map(net, parts))).hexdigest()
        return batch_id, compress(content.replace(BATCH_ID.encode(), batch_id.encode()))


@dataclass(frozen=True, slots=True)
class _Step:
    """Checked rows of a tenant: ``events`` are those to publish; ``head`` as in an entry."""

    first: int
    next: int
    events: pa.Table
    withheld: tuple[Withheld, ...]
    head: str


def _steps(tables: Iterator[pa.Table], tenant_id: str, cursor: Cursor, last: FeedEntry | None) -> Iterator[_Step]:
    """Check a tenant's rows from where the feed ends. A row is judged once it is known what follows it."""
    first = last.next if last else 0
    head = last.head if last else genesis_hash(tenant_id, cursor.chain_id).hex()
    rows: pa.Table | None = None
    for part in _parts(tables):
        if rows is not None:
            step = _checked(tenant_id, first, head, pa.concat_tables([rows, part.slice(0, 1)]), judged=len(rows))
            yield step
            first, head = step.next, step.head
        rows = part
    if rows is not None:
        is_last = rows.column("seq")[-1].as_py() == cursor.next_seq - 1
        # A last row that the chain's head does not lead to waits for its successor, or for the head to be put right.
        waits = is_last and rows.column("integrity_hash")[-1].as_py() != cursor.head
        if waits and len(rows) == 1:
            return
        step = _checked(tenant_id, first, head, rows, judged=len(rows) - 1 if waits else len(rows))
        yield step
        if waits:
            return
        first = step.next
    if first < cursor.next_seq:
        lost = Withheld(first, cursor.next_seq - 1, _MISSING)
        yield _Step(first, cursor.next_seq, EVENT_SCHEMA.empty_table(), (lost,), "")


def _parts(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Cut tables so that an object of each part has about the size that it may have."""
    for table in tables:
        rows = max(1, len(table) * MAX_OBJECT_BYTES // max(table.nbytes, 1))
        for start in range(0, len(table), rows):
            yield table.slice(start, rows)


def _checked(tenant_id: str, first: int, head: str, rows: pa.Table, judged: int) -> _Step:
    """Tell the rows that may be published from those that may not.

    The first ``judged`` rows make the step; one that follows them is there for the link to it. ``head`` is the hash of
    the row before, empty where that is missing or withheld.
    """
    foreign = [other for other in rows.column("tenant_id").unique().to_pylist() if other != tenant_id]
    if foreign:
        raise LakeError(f"rows of {excerpt(str(foreign[0]))} came up for the feed of {tenant_id}; none was published")
    seqs = np.asarray(rows.column("seq").to_numpy(), np.int64)
    if seqs[0] < first or (np.diff(seqs) < 1).any():
        raise LakeError(f"seqs of {tenant_id} came up twice for its feed, from {first} on; none was published")
    bad = _unfit(tenant_id, first, head, rows, seqs)[:judged]
    events = rows.slice(0, judged)
    return _Step(
        first,
        int(seqs[judged - 1]) + 1,
        events.filter(pa.array(~bad)),
        tuple(_withheld(first, seqs[:judged], bad)),
        "" if bad[-1] else events.column("integrity_hash")[judged - 1].as_py().hex(),
    )


def _unfit(tenant_id: str, first: int, head: str, rows: pa.Table, seqs: npt.NDArray[np.int64]) -> Flags:
    """Which rows don't recompute, or don't link to both of their neighbours, as far as these are there."""
    before = bytes.fromhex(head) if head and seqs[0] == first else rows.column("prev_hash")[0].as_py()
    fold = ChainFold(lambda _: ChainState(int(seqs[0]), before, MIN_MICROS), trees=False)
    fold.add(rows)
    breaks = fold.tenants[tenant_id].breaks
    altered = np.zeros(len(rows), np.bool_)
    altered[[int(np.searchsorted(seqs, b.seq)) for b in breaks if b.kind in _BROKEN]] = True
    bad = altered.copy()
    for row in [int(np.searchsorted(seqs, b.seq)) for b in breaks if b.kind is BreakKind.LINK]:
        pair = slice(max(row - 1, 0), row + 1)
        # Either of two rows may be the one that does not belong here, unless that is known, or one between is missing.
        if not altered[pair].any() and (row == 0 or seqs[row - 1] == seqs[row] - 1):
            bad[pair] = True
    return bad


def _withheld(first: int, seqs: npt.NDArray[np.int64], bad: Flags) -> Iterator[Withheld]:
    """Yield, in order, the runs of seqs from ``first`` on that are missing, and those of rows that are bad."""
    expected = np.concatenate([[first], seqs[:-1] + 1])
    run: Withheld | None = None
    for row in np.flatnonzero(bad | (seqs != expected)):
        seq, after = int(seqs[row]), int(expected[row])
        if run is not None and (after < seq or run.last + 1 < seq):
            yield run
            run = None
        if after < seq:
            yield Withheld(after, seq - 1, _MISSING)
        if bad[row]:
            run = Withheld(run.first if run else seq, seq, "broken")
    if run is not None:
        yield run


def _told_apart(withheld: Sequence[Withheld], gaps: Sequence[Gap]) -> Iterator[Withheld]:
    """Tell, among the seqs that the lake has no rows of, those that were pruned from those that are missing."""
    for part in withheld:
        first = part.first
        for gap in gaps if part.reason == _MISSING else ():
            low, after = max(first, gap.first), min(part.last + 1, gap.end.next_seq)
            if low < after:
                if first < low:
                    yield Withheld(first, low - 1, _MISSING)
                yield Withheld(low, after - 1, _PRUNED)
                first = after
        if first <= part.last:
            yield Withheld(first, part.last, part.reason)


class FeedRecords:
    """Makes records of events, as a feed's objects hold them. Use as a context manager."""

    def __init__(self) -> None:
        self._db = duckdb.connect()
        self._db.execute("SET TimeZone = 'UTC'")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def of(self, events: pa.Table) -> bytes:
        """Return the records, a line each."""
        omitted = pa.nulls(len(events), pa.string())
        self._db.register("events", spelled(events.append_column("omitted", omitted)))
        query = f"SELECT concat({NATIVE.event}, {quoted(chr(10))}) FROM events"  # noqa: S608 - nothing of an event
        try:
            lines = self._db.sql(query).to_arrow_table().column(0)
        finally:
            self._db.unregister("events")
        if lines.null_count or len(lines) != len(events):
            raise SiemError("records for a feed can't be made; this is a mistake of ours")
        array = lines.cast(pa.large_string()).combine_chunks()
        _, positions, content = array.buffers()
        offsets = np.frombuffer(positions, np.int64)[array.offset : array.offset + len(array) + 1]
        return bytes(memoryview(content or b"")[offsets[0] : offsets[-1]])
