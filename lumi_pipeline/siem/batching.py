"""From the rows of a plan to its batches: sorted into routes and groups, encoded, cut, compressed and stored."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.catalogue import RECEIPTS_DIGESTED
from lumi_pipeline.days import DAY_MICROS
from lumi_pipeline.events import from_micros
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import StoredFile
from lumi_pipeline.siem.destination import Destination
from lumi_pipeline.siem.encoding import Encoder, Records
from lumi_pipeline.siem.packing import cut, record_starts
from lumi_pipeline.siem.plans import EVENTS_SCHEMA, Batch, Refused, TenantShare
from lumi_pipeline.siem.settings import Route, Selection
from lumi_pipeline.siem.stamping import stamp

_WORKERS: Final = 4
"""Bodies that are made and stored side by side: while one is written, another is compressed."""

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


@dataclass(slots=True)
class Batched:
    """Batches so far, the table of their events (EVENTS_SCHEMA, in parts), and events that no record was made for."""

    batches: list[Batch] = field(default_factory=list)
    events: list[pa.Table] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Packed:
    """Encoded rows of one route, cut: ``rows`` are those that have a record, ``spans`` the batches."""

    rows: pa.Table
    records: Records
    route: Route
    spans: list[tuple[int, int]]
    groups: Sequence[str]
    days: Numbers


class Batcher:
    """Makes batches for one destination and stores their bodies under ``prefix``."""

    def __init__(self, lake: Lake, destination: Destination, encoder: Encoder, prefix: str) -> None:
        self._lake = lake
        self._destination = destination
        self._encoder = encoder
        self._prefix = f"{prefix}batch"
        self.made = Batched()

    def add(self, table: pa.Table) -> None:
        """Make batches of some rows (EVENT_SCHEMA), which are in the order of their tenants and seqs."""
        routes = _routes(table, self._destination.settings.routes)
        groups = self._destination.group(table)
        days = micros(table, "recorded_at") // DAY_MICROS
        names, labels = [""], np.zeros(len(table), np.int64)
        if groups is not None:
            encoded = groups.dictionary_encode()
            names = [str(name) for name in encoded.dictionary.to_pylist()]
            labels = np.asarray(encoded.indices.to_numpy(), np.int64)
        for number, route in enumerate(self._destination.settings.routes):
            chosen = np.flatnonzero(routes == number)
            if not len(chosen):
                continue
            order = np.lexsort((labels[chosen], days[chosen]))
            # Stable, so that within a day and a group the order of tenants and seqs stays; and as no tenant's days go
            # back, its events stay in order altogether where there is one group.
            chosen = chosen[order]
            whole = len(chosen) == len(table) and bool((np.diff(chosen) > 0).all())
            part = table if whole else table.take(chosen).combine_chunks()
            self._keep(self._pack(part, route, days[chosen], labels[chosen], names))

    def _pack(self, table: pa.Table, route: Route, days: Numbers, labels: Numbers, names: Sequence[str]) -> _Packed:
        records = self._encoder.encode(table, route)
        for row in records.refused:
            self.made.refused.append(self._refusal(table, int(row)))
        if len(records.rows) < len(table):
            table, days, labels = table.take(records.rows), days[records.rows], labels[records.rows]
        borders = np.zeros(len(table), np.bool_)
        borders[1:] = (days[1:] != days[:-1]) | (labels[1:] != labels[:-1])
        if self._destination.settings.isolate:
            tenants = codes(table, "tenant_id")[0]
            borders[1:] |= tenants[1:] != tenants[:-1]
        spans = cut(records.offsets, borders, self._destination.limits, self._destination.framing)
        return _Packed(table, records, route, spans, [names[labels[first]] for first, _ in spans], days)

    def _keep(self, packed: _Packed) -> None:
        """Store the bodies of batches, and take down what is in them."""
        # Contents are made in the same memory again and again: fresh pages would take as long as writing them.
        rooms: SimpleQueue[Bytes] = SimpleQueue()
        for _ in range(_WORKERS):
            rooms.put(packed.records.room(packed.spans, self._destination.framing))

        def keep(span: tuple[int, int]) -> tuple[str, StoredFile]:
            room = rooms.get()
            try:
                batch_id, file, body = self._body(packed, span, room)
            finally:
                rooms.put(room)
            # A crash after this line leaves a body that no plan lists.
            self._lake.store.put_new(file.path, body)
            return batch_id, file

        with ThreadPoolExecutor(_WORKERS) as pool:
            stored = pool.map(keep, packed.spans)
            self.made.events.append(self._events(packed))
            self.made.batches += _described(packed, stored)

    def _body(self, packed: _Packed, span: tuple[int, int], room: Bytes) -> tuple[str, StoredFile, bytes]:
        """Return a batch's id, and its body as it is stored and sent; ``room`` is what its content is made in."""
        first, after = span
        content = packed.records.content(first, after, self._destination.framing, room)
        ids = packed.rows.column("event_id")
        parts = (
            self._destination.settings.name,
            packed.route.name,
            self._encoder.mapping,
            str(ids[first]),
            str(ids[after - 1]),
            str(after - first),
            hashlib.sha256(content.data).hexdigest(),
        )
        identity = "lumi/siem-batch/v1\n" + "".join(f"{len(part.encode())}:{part}," for part in parts)
        batch_id = hashlib.sha256(identity.encode()).hexdigest()
        stamp(content, batch_id)
        body = self._destination.body(content.data)
        digest = hashlib.sha256(body).hexdigest()
        path = f"{self._prefix}-{digest[:16]}.{self._destination.suffix}"
        return batch_id, StoredFile(path, len(body), after - first, digest), body

    def _events(self, packed: _Packed) -> pa.Table:
        """The table of the events of some batches, which follow those that there are."""
        offsets = packed.records.offsets
        sizes = [after - first for first, after in packed.spans]
        numbers = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes) + np.int32(len(self.made.batches))
        begins = np.repeat([offsets[first] for first, _ in packed.spans], sizes)
        columns = [
            pa.array(numbers.astype(np.int32)),
            *(packed.rows.column(name) for name in ("tenant_id", "seq", "event_id")),
            pa.array(offsets[:-1] - begins + record_starts(self._destination.framing)),
            pa.array(np.diff(offsets) - 1),
        ]
        return pa.table(columns, schema=EVENTS_SCHEMA)

    def _refusal(self, table: pa.Table, row: int) -> Refused:
        tenant_id, seq, event_id = (table.column(name)[row].as_py() for name in ("tenant_id", "seq", "event_id"))
        largest = self._destination.limits.record_bytes
        return Refused(
            tenant_id, seq, event_id, f"too large for {self._destination.settings.kind} ({largest:,} bytes a record)"
        )


def matches(table: pa.Table, selection: Selection) -> Flags:
    """Which events a selection takes."""
    chosen = np.ones(len(table), np.bool_)
    for column, values in (("tenant_id", selection.tenants), ("action", selection.actions)):
        if values is not None:
            found = pc.is_in(table.column(column), pa.array(sorted(values), pa.string()))
            chosen &= np.asarray(found.to_numpy(), np.bool_)
    return chosen


def micros(table: pa.Table, column: str) -> Numbers:
    """A time column in microseconds since 1970."""
    return np.asarray(table.column(column).cast(pa.int64()).to_numpy(), np.int64)


def _routes(table: pa.Table, routes: Sequence[Route]) -> Numbers:
    """The number of the route that each event takes: the first that it matches; the last matches all."""
    found = np.full(len(table), len(routes) - 1, np.int64)
    for number in reversed(range(len(routes) - 1)):
        found[matches(table, routes[number].selection)] = number
    return found


def codes(table: pa.Table, column: str) -> tuple[Numbers, list[str]]:
    """A text column as numbers, and the texts that they stand for."""
    encoded = table.column(column).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return np.asarray(encoded.indices.to_numpy(), np.int64), [str(text) for text in encoded.dictionary.to_pylist()]


def _described(packed: _Packed, stored: Iterator[tuple[str, StoredFile]]) -> Iterator[Batch]:
    tenants, names = codes(packed.rows, "tenant_id")
    actions, known = codes(packed.rows, "action")
    quiet = actions == (known.index(RECEIPTS_DIGESTED) if RECEIPTS_DIGESTED in known else -1)
    seqs = np.asarray(packed.rows.column("seq").to_numpy(), np.int64)
    times = micros(packed.rows, "occurred_at")
    for (first, after), group, (batch_id, file) in zip(packed.spans, packed.groups, stored, strict=True):
        span = slice(first, after)
        yield Batch(
            batch_id,
            packed.route.name,
            group,
            from_micros(int(packed.days[first]) * DAY_MICROS).date(),
            file,
            tuple(_shares(tenants[span], seqs[span], names)),
            from_micros(int(times[span].min())),
            from_micros(int(times[span].max())),
            int(packed.records.omitted[span].sum()),
            bool(quiet[span].all()),
        )


def _shares(tenants: Numbers, seqs: Numbers, names: Sequence[str]) -> Iterator[TenantShare]:
    order = np.lexsort((seqs, tenants))
    codes, starts, counts = np.unique(tenants[order], return_index=True, return_counts=True)
    for code, start, count in zip(codes, starts, counts, strict=True):
        first, last = seqs[order[start]], seqs[order[start + count - 1]]
        yield TenantShare(names[code], int(first), int(last), int(count))
