"""Whether the rows of a bundle are all that its days had, and unaltered (docs/formats.md section 9).

Rows are folded day by day as sealing did (chain.py), so what counts as a break is decided in one place. On a day whose
record declares breaks they have to be just those; on any other day each one is a finding. What the order of seqs shows
is decided once all rows were seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.chain import Break, BreakKind, ChainEnd, ChainFold, ChainState, TenantRows
from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.events import MIN_MICROS
from lumi_pipeline.evidence.daychecks import CheckedDay
from lumi_pipeline.records import TenantDay
from transparency.errors import VerificationError

_Seqs = npt.NDArray[np.int64]

_REASONS: Final = {
    BreakKind.INTEGRITY: "integrity-hash",
    BreakKind.PAYLOAD: "payload-hash",
    BreakKind.MISSING: "row-missing",
    BreakKind.LINK: "row-link",
    BreakKind.TIME: "row-time",
    BreakKind.HEAD: "row-head",
}
RANKED: Final = (
    "row-tenant",
    "integrity-hash",
    "payload-hash",
    "row-duplicate",
    "row-order",
    "row-added",
    "row-missing",
    "row-link",
    "row-time",
    "row-head",
    "event-tree",
    "breaks",
)
"""The first of these that was found anywhere is the reason."""


@dataclass(slots=True)
class RowFindings:
    """What was found: reason → what a person should read of the first case; and what was counted."""

    found: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    erased: int = 0

    def note(self, reason: str, message: str) -> None:
        """Keep the first case of each kind."""
        self.found.setdefault(reason, message)

    def check(self) -> None:
        """Raise VerificationError for the first reason that was found."""
        for reason in RANKED:
            if reason in self.found:
                raise VerificationError(reason, self.found[reason])


class RowChecker:
    """Takes the rows of ``events.csv`` in their order, then says what is wrong."""

    def __init__(self, tenant_id: str, days: Sequence[CheckedDay]) -> None:
        self.findings = RowFindings()
        self._tenant_id = tenant_id
        self._days = days
        self._records: list[TenantDay] = [day.record for day in days if day.record is not None]
        self._ends = np.array([record.next for record in self._records], np.int64)
        self._first = self._records[0].first if self._records else 0
        self._declared = {day.day.isoformat(): len(day.declared) for day in days}
        self._named = names = {record.day.isoformat(): record for record in self._records}
        self._fold = ChainFold(
            lambda name: _start(names[name]), until={name: day_end(record.day) for name, record in names.items()}
        )
        self._runs: list[tuple[_Seqs, _Seqs]] = []
        self._last: int | None = None

    def add(self, events: pa.Table) -> None:
        """Take the next rows."""
        self.findings.rows += len(events)
        own = pc.equal(events.column("tenant_id"), pa.scalar(self._tenant_id))
        if not pc.all(own).as_py():
            self.findings.note("row-tenant", f"a row is of another tenant than {self._tenant_id}")
            events = events.filter(own)
        seqs = np.asarray(events.column("seq").to_numpy(), np.int64)
        if not len(seqs):
            return
        self._take_runs(seqs)
        days = np.searchsorted(self._ends, seqs, side="right")
        inside = (days < len(self._records)) & (seqs >= self._first)
        if not inside.all():
            self._take_stray(events.filter(pa.array(~inside)))
            events, days = events.filter(pa.array(inside)), days[inside]
        runs = list(self._by_day(days))
        self._fold.add(events, runs)
        for name in {name for name, _, _ in runs}:
            self._note_breaks(name, self._fold.tenants[name])

    def finish(self) -> RowFindings:
        """Say what all rows together show."""
        self._check_order()
        for day in self._days:
            if day.record is None:
                if day.declared:
                    self.findings.note("breaks", f"breaks are listed of {day.day}, which has no record")
                continue
            self._check_day(day, day.record)
        return self.findings

    def _by_day(self, days: npt.NDArray[np.intp]) -> Iterator[tuple[str, int, int]]:
        borders = [0, *(np.flatnonzero(np.diff(days)) + 1).tolist(), len(days)]
        for begin, end in pairwise(borders):
            if begin < end:
                yield self._records[int(days[begin])].day.isoformat(), begin, end

    def _note_breaks(self, name: str, rows: TenantRows) -> None:
        """Take a day's breaks out of its fold: of a file in which every row is altered they would fill the memory.

        On a day that declares breaks one more than are listed is enough to know that they are not those.
        """
        if self._named[name].breaks:
            del rows.breaks[self._declared[name] + 1 :]
            return
        for broken in rows.breaks:
            self.findings.note(_REASONS[broken.kind], _message(broken))
        rows.breaks.clear()

    def _take_stray(self, events: pa.Table) -> None:
        """Look at rows of no day as such: whether they were altered or made up outranks that they don't belong here."""
        fold = ChainFold(lambda _: ChainState(0, bytes(32), MIN_MICROS), trees=False)
        fold.add(events, [("", 0, len(events))])
        for broken in fold.tenants[""].breaks:
            if broken.kind in {BreakKind.INTEGRITY, BreakKind.PAYLOAD}:
                self.findings.note(_REASONS[broken.kind], _message(broken))

    def _take_runs(self, seqs: _Seqs) -> None:
        """Keep where seqs go up one by one: one stretch for a whole file that is in order, however long it is."""
        cuts = np.flatnonzero(np.diff(seqs) != 1) + 1
        begins = seqs[np.concatenate([np.zeros(1, np.int64), cuts])]
        ends = seqs[np.concatenate([cuts - 1, np.array([len(seqs) - 1])])]
        if self._last is not None and int(begins[0]) == self._last + 1:
            earlier = self._runs[-1]
            earlier[1][-1] = ends[0]
            begins, ends = begins[1:], ends[1:]
        if len(begins):
            self._runs.append((begins.copy(), ends.copy()))
        self._last = int(seqs[-1])

    def _check_order(self) -> None:
        if not self._runs:
            return
        begins = np.concatenate([run[0] for run in self._runs])
        ends = np.concatenate([run[1] for run in self._runs])
        back = np.flatnonzero(begins[1:] <= ends[:-1]) + 1
        order = np.argsort(begins, kind="stable")
        highest = np.maximum.accumulate(ends[order])
        again = np.flatnonzero(begins[order][1:] <= highest[:-1]) + 1
        if len(again):
            self.findings.note("row-duplicate", f"seq {int(begins[order][again[0]])} is there twice")
        if len(back):
            at = int(back[0])
            self.findings.note("row-order", f"seq {int(begins[at])} comes after seq {int(ends[at - 1])}")
        after = int(self._ends[-1]) if self._records else 0
        outside = np.flatnonzero((begins < self._first) | (ends >= after)) if self._records else np.arange(len(begins))
        if len(outside):
            at = int(outside[0])
            seq = int(begins[at]) if int(begins[at]) < self._first or not self._records else max(int(begins[at]), after)
            self.findings.note("row-added", f"seq {seq} belongs to no day of the period")

    def _check_day(self, day: CheckedDay, record: TenantDay) -> None:
        name = record.day.isoformat()
        rows = self._fold.finish(name, ChainEnd(record.next, record.head_after))
        self.findings.erased += len(rows.erased)
        if rows.tree.root() != record.root or rows.count != record.count:
            self.findings.note(
                "event-tree", f"the {rows.count:,} rows of {day.day} are not the {record.count:,} that its record has"
            )
        self._note_breaks(name, rows)
        found = sorted((broken.seq, broken.kind.value) for broken in rows.breaks)
        if record.breaks == 0:
            if day.declared:
                self.findings.note("breaks", f"breaks are listed of {day.day}, whose record declares none")
        elif found != list(day.declared) or len(found) != record.breaks:
            self.findings.note(
                "breaks",
                f"the record of {day.day} declares {record.breaks:,} breaks, {len(day.declared):,} are listed, and the "
                f"rows have {'more' if len(found) > len(day.declared) else f'{len(found):,}, or others'}",
            )


def _start(record: TenantDay) -> ChainState:
    return ChainState(record.first, record.head_before, day_start(record.day))


def _message(broken: Break) -> str:
    where = f" on {broken.tenant_id}" if broken.tenant_id else ""  # the name of what was folded: a day
    return f"seq {broken.seq}{where}: {broken.kind}: {broken.expected} expected, {broken.found} found"
