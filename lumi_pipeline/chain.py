"""Chain verification: rows of many tenants in, breaks and tree roots out.

A :class:`ChainFold` is fed tables of events sorted by ``(tenant_id, seq)``, in order, a tenant possibly continuing
from one table to the next. Verifying is vectorised: Python runs once per tenant and table, and once per break. What
counts as a break, and how breaks are counted, is docs/formats.md §3.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.events import PAYLOAD_COLUMNS, from_micros
from lumi_pipeline.rowhash import Digests, digest_column, recompute_hashes
from lumi_pipeline.treefold import append_events
from transparency.encoding import format_timestamp
from transparency.merkle import CompactRange

_Flags: TypeAlias = npt.NDArray[np.bool_]


class BreakKind(StrEnum):
    """The ways in which a chain can be broken (docs/formats.md §3), each counted once where it occurs."""

    PAYLOAD = "payload-hash"
    INTEGRITY = "integrity-hash"
    LINK = "link"
    MISSING = "missing"
    TIME = "time"
    HEAD = "head"


@dataclass(frozen=True, slots=True)
class Break:
    """One break: where it is, what the chain called for, and what was there instead."""

    tenant_id: str
    seq: int
    kind: BreakKind
    expected: str
    found: str

    def __str__(self) -> str:
        return f"tenant {self.tenant_id} seq {self.seq}: {self.kind}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class ChainState:
    """A place in a tenant's chain: the next seq, the hash it must link to, and the earliest time it may carry (µs)."""

    next_seq: int
    head: bytes
    not_before: int


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """Where a tenant's rows have to end: the seq that comes next and, if anything pins it, the last row's hash."""

    next_seq: int
    head: bytes | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows of a chain that were pruned: seqs ``first`` to ``end.next_seq`` - 1, and the state that they left it in.

    ``prev_hash`` is what the first of them linked to.
    """

    first: int
    prev_hash: bytes
    end: ChainState


@dataclass(slots=True)
class TenantRows:
    """What a fold learned about one tenant's rows: how they started, where they ended, their tree, their breaks.

    ``erased`` are the seqs of the rows without payload, and when it was erased (µs). ``gaps`` are the seqs that were
    pruned, and ``leftover`` the number of rows that were there in spite of it; nothing was looked at of those.
    """

    start: ChainState
    state: ChainState
    tree: CompactRange
    count: int = 0
    erased: dict[int, int] = field(default_factory=dict)
    breaks: list[Break] = field(default_factory=list)
    gaps: Sequence[Gap] = ()
    leftover: int = 0

    def was_pruned(self, seq: int) -> bool:
        """Whether a seq lies in a gap."""
        return any(gap.first <= seq < gap.end.next_seq for gap in self.gaps)

    def take(self, later: "TenantRows") -> bool:
        """Take in the rows that follow, folded apart from the state before their first row as that row gives it.

        False, and nothing is taken, if any row of either is broken or they don't go on from these. What is broken can
        then be told by folding all of them in order.
        """
        begin, reached = later.start, self.state
        goes_on = (begin.next_seq, begin.head) == (reached.next_seq, reached.head)
        if self.breaks or later.breaks or not goes_on or begin.not_before < reached.not_before:
            return False
        self.tree.merge(later.tree)
        self.state = later.state
        self.count += later.count
        self.erased |= later.erased
        return True


class ChainFold:
    """Verify sorted rows of any number of tenants, in bounded memory.

    ``start`` gives the state a tenant's chain is in before its first row here. ``until`` (µs, exclusive) is the end of
    the day when a day is folded: a row at or past it lies outside the day. With ``trees`` the event trees are built.
    ``gaps`` are rows of each tenant that were pruned, in order: a chain goes on behind them from the state given there.

    What is folded apart needs not be a tenant: see ``runs`` of :meth:`add`. It may be one tenant's days, for instance,
    each with an end of its own.
    """

    def __init__(
        self,
        start: Callable[[str], ChainState],
        *,
        until: int | Mapping[str, int] | None = None,
        trees: bool = True,
        gaps: Mapping[str, Sequence[Gap]] = MappingProxyType({}),
    ) -> None:
        self.tenants: dict[str, TenantRows] = {}
        """What was learned of each tenant that has rows, or was finished."""
        self.start = start
        self._until = until
        self._trees = trees
        self._gaps = gaps

    def add(self, events: pa.Table, runs: Iterable[tuple[str, int, int]] | None = None) -> None:
        """Verify the next rows; ``events`` follows ``EVENT_SCHEMA`` and continues where the last table ended.

        ``runs`` (name, begin, end) says which rows belong together; by default those of a tenant do.
        """
        if not len(events):
            return
        columns = _Columns(events)
        for tenant_id, begin, end in _runs(events.column("tenant_id")) if runs is None else runs:
            rows = self._rows(tenant_id)
            if rows.gaps:
                self._fold_around(tenant_id, rows, columns, begin, end)
            else:
                self._fold(tenant_id, rows, columns, begin, end)

    def finish(self, tenant_id: str, end: ChainEnd) -> TenantRows:
        """Hold a tenant's rows against the end they must have: a lost tail or another head hash is a break."""
        rows = self._rows(tenant_id)
        reached = rows.state
        if reached.next_seq < end.next_seq:
            rows.breaks.append(_missing(tenant_id, reached.next_seq, end.next_seq))
        elif reached.next_seq > end.next_seq:
            rows.breaks.append(
                Break(
                    tenant_id, end.next_seq, BreakKind.HEAD, f"no row from seq {end.next_seq} on", "rows past the head"
                )
            )
        elif end.head is not None and end.head != reached.head:
            rows.breaks.append(
                Break(tenant_id, reached.next_seq - 1, BreakKind.HEAD, reached.head.hex(), end.head.hex())
            )
        return rows

    def _rows(self, tenant_id: str) -> TenantRows:
        rows = self.tenants.get(tenant_id)
        if rows is None:
            state = self.start(tenant_id)
            rows = TenantRows(state, state, CompactRange(), gaps=self._gaps.get(tenant_id, ()))
            self.tenants[tenant_id] = rows
            _pass_gaps(tenant_id, rows)
        return rows

    def _fold_around(self, tenant_id: str, rows: TenantRows, columns: "_Columns", begin: int, end: int) -> None:
        """Fold the rows before, between and behind the gaps, and count those in them.

        Rows of other days than those that were pruned have no business there: somebody recorded them into a database
        that had been set back.
        """
        seq, time = columns.seq, columns.recorded_at
        for gap in rows.gaps:
            first = begin + int(np.searchsorted(seq[begin:end], gap.first))
            after = begin + int(np.searchsorted(seq[begin:end], gap.end.next_seq))
            if begin < first:
                self._fold(tenant_id, rows, columns, begin, first)
                _pass_gaps(tenant_id, rows)
            rows.leftover += after - first
            for at in first + np.flatnonzero(time[first:after] >= gap.end.not_before):
                rule = f"before {_timestamp(gap.end.not_before)}"
                rows.breaks.append(Break(tenant_id, int(seq[at]), BreakKind.TIME, rule, _timestamp(int(time[at]))))
            begin = after
        if begin < end:
            self._fold(tenant_id, rows, columns, begin, end)

    def _fold(self, tenant_id: str, rows: TenantRows, columns: "_Columns", begin: int, end: int) -> None:
        span = slice(begin, end)
        seq, time, stored = columns.seq[span], columns.recorded_at[span], columns.integrity[span]
        expected_seq = _shifted(seq + 1, rows.state.next_seq)
        expected_prev = np.vstack([np.frombuffer(rows.state.head, np.uint8)[None, :], stored[:-1]])
        unlinked = _differ(columns.prev[span], expected_prev) | (seq < expected_seq)
        misplaced = time < _shifted(time, rows.state.not_before)
        until = self._until[tenant_id] if isinstance(self._until, Mapping) else self._until
        if until is not None:
            misplaced |= (time < rows.start.not_before) | (time >= until)
        for i in np.flatnonzero(seq > expected_seq):
            rows.breaks.append(_missing(tenant_id, int(expected_seq[i]), int(seq[i])))
        for bad, kind, want, got in (
            (columns.payload_bad[span], BreakKind.PAYLOAD, columns.payload_expected, columns.payload),
            (columns.integrity_bad[span], BreakKind.INTEGRITY, columns.integrity_expected, columns.integrity),
        ):
            for i in np.flatnonzero(bad):
                at = begin + int(i)
                rows.breaks.append(Break(tenant_id, int(seq[i]), kind, _hex(want[at]), _hex(got[at])))
        for i in np.flatnonzero(unlinked):
            found = _hex(columns.prev[begin + int(i)])
            rows.breaks.append(Break(tenant_id, int(seq[i]), BreakKind.LINK, _hex(expected_prev[i]), found))
        for i in np.flatnonzero(misplaced):
            rows.breaks.append(
                Break(tenant_id, int(seq[i]), BreakKind.TIME, _time_rule(rows, until), _timestamp(int(time[i])))
            )
        if self._trees:
            append_events(rows.tree, stored)
        rows.count += end - begin
        for i in np.flatnonzero(columns.erased[span]):
            rows.erased[int(seq[i])] = int(columns.erased_at[begin + int(i)])
        rows.state = ChainState(int(seq[-1]) + 1, stored[-1].tobytes(), int(time[-1]))


def altered_rows(events: pa.Table) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which rows have a payload hash, and which an integrity hash, that their own columns don't give.

    Each row for itself, in ``EVENT_SCHEMA``; whether they link up is what a fold finds out. The payload of a row that
    was erased as a whole can't be recomputed and counts as right.
    """
    columns = _Columns(events)
    return columns.payload_bad, columns.integrity_bad


def _pass_gaps(tenant_id: str, rows: TenantRows) -> None:
    """Go on behind every gap that the chain has come to; one that it has not come to is a break like any other."""
    for gap in rows.gaps:
        if gap.first == rows.state.next_seq:
            if gap.prev_hash != rows.state.head:
                expected, found = rows.state.head.hex(), gap.prev_hash.hex()
                rows.breaks.append(Break(tenant_id, gap.first, BreakKind.LINK, expected, found))
            rows.state = gap.end


def _time_rule(rows: TenantRows, until: int | None) -> str:
    day = "" if until is None else f", before {_timestamp(until)}"
    return f"not before the row before it, from {_timestamp(rows.start.not_before)} on{day}"


class _Columns:
    """The columns that folding needs, as arrays, with the row-local verdicts computed for all rows at once."""

    def __init__(self, events: pa.Table) -> None:
        self.seq = _int64(events.column("seq"))
        self.recorded_at = _int64(events.column("recorded_at"))
        self.prev = digest_column(events.column("prev_hash"))
        self.payload = digest_column(events.column("payload_hash"))
        self.integrity = digest_column(events.column("integrity_hash"))
        self.payload_expected, self.integrity_expected = recompute_hashes(events)
        differs = _differ(self.payload, self.payload_expected)
        marked, unsalted, self.erased = _erased(events)
        moments = events.column("erased_at").cast(pa.int64())
        self.erased_at = _int64(pc.call_function("coalesce", [moments, pa.scalar(0)]))
        # An erased payload can't be recomputed. Anything between whole and erased as a whole was tampered with.
        self.payload_bad = ~self.erased & (differs | marked | unsalted)
        self.integrity_bad = _differ(self.integrity, self.integrity_expected)


def _erased(events: pa.Table) -> tuple[_Flags, _Flags, _Flags]:
    """Which rows are marked as erased, which have no salt, and which of the marked hold no payload at all."""
    marked = pc.is_valid(events.column("erased_at"))
    unsalted = pc.is_null(events.column("payload_salt"))
    erased = marked
    for name in PAYLOAD_COLUMNS:
        erased = pc.and_(erased, pc.is_null(events.column(name)))
    return _flags(marked), _flags(unsalted), _flags(erased)


def _flags(column: "pa.ChunkedArray[Any] | pa.BooleanArray") -> _Flags:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.bool_)


def _runs(tenants: "pa.ChunkedArray[Any]") -> Iterator[tuple[str, int, int]]:
    """Yield (tenant_id, begin, end) for each run of rows of one tenant (a run ends where a chunk does, too)."""
    begin = 0
    for chunk in tenants.chunks:
        offset = begin
        runs = pc.call_function("run_end_encode", [chunk])
        for tenant_id, run_end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            yield tenant_id, begin, offset + run_end
            begin = offset + run_end


def _int64(column: "pa.ChunkedArray[Any]") -> npt.NDArray[np.int64]:
    return np.asarray(pc.cast(column, pa.int64()).to_numpy(), np.int64)


def _shifted(values: npt.NDArray[np.int64], first: int) -> npt.NDArray[np.int64]:
    return np.concatenate([np.array([first], np.int64), values[:-1]])


def _differ(left: Digests, right: Digests) -> npt.NDArray[np.bool_]:
    # As four numbers each, which takes a fraction of the time that 32 bytes take.
    bits = left.view(np.uint64) ^ right.view(np.uint64)
    return np.asarray(bits[:, 0] | bits[:, 1] | bits[:, 2] | bits[:, 3], np.bool_)


def _missing(tenant_id: str, first: int, next_seq: int) -> Break:
    expected = f"seq {first}" if next_seq == first + 1 else f"seq {first} to {next_seq - 1}"
    return Break(tenant_id, first, BreakKind.MISSING, expected, "nothing")


def _hex(digest: Digests) -> str:
    return digest.tobytes().hex()


def _timestamp(micros: int) -> str:
    return format_timestamp(from_micros(micros))
