"""Planning: landed events become batches, in the order of their tenants and seqs, without a word to the network.

The same rows give the same batches under the same ids. A plan is durable as one object, written last; a crash before
leaves files under its number that the next plan of that number removes.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.errors import ConcurrentRun
from lumi_pipeline.siem.batching import Batched, Batcher, matches, micros
from lumi_pipeline.siem.destination import Destination
from lumi_pipeline.siem.encoding import Encoder
from lumi_pipeline.siem.journal import Overtaken
from lumi_pipeline.siem.plans import LIVE, SUMMED_EVERY, Covered, Plan, PlanBook, Planned, Ranges, advanced
from lumi_pipeline.siem.settings import Selection
from lumi_pipeline.siem.source import Source

MAX_EVENTS: Final = 250_000
"""Rows that one plan deals with: what is in memory at a time, and what a crash makes undone."""

_CHUNK_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What one plan holds: rows looked at, batches, refused events, bytes to be sent, and events by day."""

    number: int
    lane: str
    rows: int
    batches: int
    refused: int
    size: int
    days: Mapping[date, int]

    @property
    def events(self) -> int:
        """Events in batches."""
        return sum(self.days.values())


@dataclass(frozen=True, slots=True)
class _Task:
    """What one plan is to deal with: these rows, of which those recorded outside ``days`` go nowhere.

    ``since`` is the day that the destination begins with, whatever this plan is about.
    ``looked`` is the first landing that may hold some of them, ``landing`` what the plan says for the ones after it.
    """

    lane: str
    ranges: Ranges
    days: tuple[date, date]
    since: date
    looked: int
    landing: int


@dataclass(frozen=True, slots=True)
class _Made:
    """What was made of a plan's rows: batches, and how many rows of each tenant go nowhere."""

    batched: Batched
    rows: int
    filtered: Mapping[str, int]
    mapping: str


class Planner:
    """Plans for one destination; ``wants`` says which tenants it gets."""

    def __init__(
        self,
        book: PlanBook,
        destination: Destination,
        source: Source,
        wants: Callable[[str], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._book = book
        self._destination = destination
        self._settings = destination.settings
        self._source = source
        self._wants = wants
        self._clock = clock

    def plan(self, max_events: int = MAX_EVENTS) -> Iterator[PlanReport]:
        """Plan whatever was landed and not planned yet; yields each plan when it is committed.

        Raises :class:`~lumi_pipeline.errors.ConcurrentRun` when another run planned at the same time: nothing is lost
        or planned twice.
        """
        planned = self._book.planned()
        if planned.last is not None:
            self._book.tidy(planned.last)
        since = self._since(planned)
        while True:
            looked = planned.last.landing if planned.last else 0
            ranges, complete = self._waiting(planned, since, max_events)
            if not ranges:
                if planned.last is None:
                    # The day that the destination begins with is fixed now, not with the first event: that may be
                    # recorded today and be landed tomorrow.
                    self._commit(planned, _Task(LIVE, {}, (since, date.max), since, looked, looked))
                return
            # Where all that is waiting is in this plan, the landings so far need not be looked at again.
            landing = self._source.landings if complete else looked
            planned, report = self._commit(planned, _Task(LIVE, ranges, (since, date.max), since, looked, landing))
            yield report

    def backfill(
        self, lane: str, ranges: Ranges, days: tuple[date, date], number: int, max_events: int = MAX_EVENTS
    ) -> Iterator[PlanReport]:
        """Plan those of these rows that were recorded from the first to the last of ``days``, in a lane of their own.

        ``number`` is that of the first plan that was not looked at when the rows were chosen: where it is there by now,
        it may hold some of them, and :class:`~lumi_pipeline.errors.ConcurrentRun` is raised. What live planning goes on
        from stays where it is.
        """
        planned = self._book.planned()
        if planned.next_number != number:
            raise self._overtaken()
        since, landing = self._since(planned), planned.last.landing if planned.last else 0
        for part in _portions(ranges, max_events):
            planned, report = self._commit(planned, _Task(lane, part, days, since, 0, landing))
            yield report

    def _since(self, planned: Planned) -> date:
        """The day that the destination begins with: fixed by its first plan."""
        return planned.last.since if planned.last else self._settings.since or self._clock().date()

    def _waiting(self, planned: Planned, since: date, max_events: int) -> tuple[Ranges, bool]:
        """The rows to plan next, at most so many, and whether these are all that are waiting."""
        starts = self._source.first_seqs(since)
        waiting = {}
        for tenant_id in sorted(filter(self._wants, self._source.cursors)):
            first = planned.next_seq(tenant_id, starts)
            if first < self._source.cursors[tenant_id].next_seq:
                waiting[tenant_id] = (first, self._source.cursors[tenant_id].next_seq)
        part = next(_portions(waiting, max_events), {})
        return part, part == waiting

    def _commit(self, planned: Planned, task: _Task) -> tuple[Planned, PlanReport]:
        number = planned.next_number
        prefix = self._book.bodies_prefix(number)
        made = self._made(task, prefix, task.looked)
        if made.rows < sum(after - first for first, after in task.ranges.values()) and task.looked:
            # Rows of a tenant that the destination did not get when these landings were planned; or they are missing in
            # the lake, which is a break. Files of before are among those that are removed in the end.
            made = self._made(task, prefix, 0)
        batched = made.batched
        covered = tuple(Covered(t, first, after, made.filtered[t]) for t, (first, after) in task.ranges.items())
        cursors = {**planned.cursors, **advanced(task.lane, covered)}
        plan = Plan(
            number,
            planned.sha256,
            # Never back, even where the clock is set back: plans are found by their time.
            max(self._clock(), planned.last.at) if planned.last else self._clock(),
            task.lane,
            made.mapping,
            task.since,
            task.landing,
            covered,
            tuple(batched.batches),
            tuple(batched.refused),
            self._book.keep_events(number, batched.events),
            self._book.keep_cursors(number, cursors) if number % SUMMED_EVERY == 0 else None,
            planned.last_backfill,
        )
        data = plan.encode()
        self._source.check_unchanged()
        try:
            # The commit. A crash before it leaves files that nothing lists, and the same rows are planned again.
            self._book.journal.append(number, data)
        except Overtaken:
            raise self._overtaken() from None
        self._book.tidy(plan)
        return Planned(plan, hashlib.sha256(data).hexdigest(), cursors), _report(plan, made.rows)

    def _overtaken(self) -> ConcurrentRun:
        return ConcurrentRun(
            f"another run planned for {self._settings.name} at the same time; nothing is lost: run again"
        )

    def _made(self, task: _Task, prefix: str, looked: int) -> _Made:
        """Make the batches of a plan from the landings from number ``looked`` on, and from sealed days."""
        rows, filtered = 0, dict.fromkeys(task.ranges, 0)
        with Encoder(self._destination) as encoder:
            batcher = Batcher(self._source.lake, self._destination, encoder, prefix)
            for table in _chunks(self._source.rows(task.ranges, looked)):
                rows += len(table)
                wanted = self._selected(table, task.days)
                if not wanted.all():
                    _count(filtered, table.filter(pa.array(~wanted)))
                    table = table.filter(pa.array(wanted))  # noqa: PLW2901 - the rest goes nowhere
                if len(table):
                    batcher.add(table)
            return _Made(batcher.made, rows, filtered, encoder.mapping)

    def _selected(self, table: pa.Table, days: tuple[date, date]) -> npt.NDArray[np.bool_]:
        """Which rows the destination gets, of tenants that it gets."""
        times = micros(table, "recorded_at")
        inside = (times >= day_start(days[0])) & (times < day_end(days[1]))
        return inside & matches(table, Selection(None, self._settings.selection.actions))


def _report(plan: Plan, rows: int) -> PlanReport:
    days: dict[date, int] = {}
    for batch in plan.batches:
        days[batch.day] = days.get(batch.day, 0) + batch.count
    size = sum(batch.body.size for batch in plan.batches)
    return PlanReport(plan.number, plan.lane, rows, len(plan.batches), len(plan.refused), size, days)


def _portions(ranges: Ranges, max_events: int) -> Iterator[Ranges]:
    """Cut ranges into parts of at most so many rows."""
    part: dict[str, tuple[int, int]] = {}
    room = max_events
    for tenant_id, (first, after) in sorted(ranges.items()):
        start = first
        while start < after:
            end = min(after, start + room)
            part[tenant_id] = (start, end)
            room -= end - start
            start = end
            if room == 0:
                yield part
                part, room = {}, max_events
    if part:
        yield part


def _chunks(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Join tables to larger ones, so that batches are full; what is in memory stays bounded."""
    held: list[pa.Table] = []
    size = 0
    for table in tables:
        held.append(table)
        size += table.nbytes
        if size > _CHUNK_BYTES:
            yield pa.concat_tables(held).combine_chunks()
            held, size = [], 0
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _count(counts: dict[str, int], table: pa.Table) -> None:
    found = table.group_by("tenant_id").aggregate([("seq", "count")])
    for row in found.to_pylist():
        counts[str(row["tenant_id"])] += int(str(row["seq_count"]))
