"""Batches that we keep for SIEMs as a part of an erasure.

What was delivered is out of reach, and its receipts say where it is. Of what we keep, a batch that is settled loses its
body; one that may still be sent gets another one, of the same events as they are after the erasure, so that nothing is
lost, and nothing is sent that was to be forgotten. The lease of the destination is held meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.erasure.orders import Order
from lumi_pipeline.erasure.parts import Touched
from lumi_pipeline.errors import LumiError, SiemError
from lumi_pipeline.events import from_micros
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.records import StoredFile
from lumi_pipeline.siem.deliver import LEASE_LENGTH
from lumi_pipeline.siem.erased import ErasedBatch, ErasedPlan, current_plan, erased_prefix, read_erased, record_key
from lumi_pipeline.siem.lease import Lease
from lumi_pipeline.siem.ledger import Do, Move, State
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.opening import opened
from lumi_pipeline.siem.planhistory import plans_about
from lumi_pipeline.siem.plans import EVENTS_SCHEMA, Batch, Plan, PlanBook, destinations_of
from lumi_pipeline.siem.rebuilding import Rebuilt, rebuild
from lumi_pipeline.siem.source import Source
from lumi_pipeline.stores.purging import purge

_UNDER_WAY: Final = (State.SENDING, State.ACCEPTED)


_MadeAnew = Callable[[Batch, pa.Table, int], Rebuilt | None]
"""Makes the body of a batch, which a plan's table of events lists under this number; None where that can't be done."""


@dataclass(frozen=True, slots=True)
class _Holding:
    """A plan that holds erased events, as it is now: of each batch concerned the ids of these events."""

    plan: Plan
    table: pa.Table
    batches: Mapping[int, tuple[str, ...]]


class SiemPart:
    """The bodies of batches, of destinations that are configured and of those that once were."""

    name = "siem"

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._lake = pipeline.lake

    def look(self, tenant_id: str, events: Mapping[int, str]) -> Touched:
        """Find the batches that hold them, and the receipts of those that were delivered."""
        total = Touched()
        for name in destinations_of(self._lake):
            book = LedgerBook(self._lake, name)
            kept = size = found = 0
            sent: list[str] = []
            for holding in self._holding(name, tenant_id, events):
                for number, ids in holding.batches.items():
                    body = holding.plan.batches[number].body
                    found += len(ids)
                    if body.path in set(self._lake.store.list(body.path)):
                        kept, size = kept + 1, size + body.size
                    if not _is_open(book, holding.plan.number, number):
                        sent.append(f"{holding.plan.number}.{number}")
            told = f"{name} was sent some of them, which stay there; its receipts name the batches {', '.join(sent)}"
            notes = (told,) if sent else ()
            total = Touched(total.objects + kept, total.size + size, total.events + found, (*total.notes, *notes))
        return total

    def erase(self, order: Order) -> Touched:
        """Take them out of every body that is kept."""
        total = Touched()
        for name in destinations_of(self._lake):
            holdings = list(self._holding(name, order.tenant_id, order.events))
            todo = [h for h in holdings if not self._is_recorded(name, h.plan.number, order)]
            if todo:
                done = self._erase(name, todo, order)
                total = Touched(
                    total.objects + done.objects,
                    total.size + done.size,
                    total.events + done.events,
                    (*total.notes, *done.notes),
                )
            for holding in holdings:
                self._remove(name, holding.plan.number, order)
        return total

    def _erase(self, name: str, holdings: Sequence[_Holding], order: Order) -> Touched:
        pipeline = self._pipeline
        settings = next((s for s in pipeline.config.destinations if s.name == name), None)
        objects = size = events = 0
        notes: list[str] = []
        with ExitStack() as entered:
            lease = entered.enter_context(Lease(self._lake, name, pipeline.clock, LEASE_LENGTH, follow_ended=True))
            destination = entered.enter_context(opened(settings)) if settings else None
            book = LedgerBook(self._lake, name)
            source = Source.open(self._lake, tuple(pipeline.lake_days()))

            def made_anew(batch: Batch, table: pa.Table, number: int) -> Rebuilt | None:
                try:
                    if destination is None:
                        raise SiemError(f"{name} is not configured any more")
                    return rebuild(source, destination, batch, _of_batch(table, number))
                except LumiError as error:
                    notes.append(f"batch {batch.batch_id[:12]} was not sent, and can't be made anew: {error}")
                    return None

            for holding in holdings:
                lease.assure(LEASE_LENGTH / 2)
                record = self._made(name, holding, order, book, made_anew)
                self._doubt(book, record, lease)
                # A crash before this leaves bodies that nothing lists; after it, old ones that do not count any more.
                self._lake.store.put_new(record_key(name, record.plan, order.number), record.encode())
                objects += len(record.batches)
                size += sum(batch.body.size for batch in record.batches if batch.body)
                events += sum(len(batch.events) for batch in record.batches)
        return Touched(objects, size, events, tuple(notes))

    def _made(self, name: str, holding: _Holding, order: Order, book: LedgerBook, made_anew: _MadeAnew) -> ErasedPlan:
        """Store the bodies that are sent from now on; return the record that names them."""
        prefix = erased_prefix(name, holding.plan.number)
        table = holding.table
        batches = []
        for number, ids in sorted(holding.batches.items()):
            batch, body, omitted = holding.plan.batches[number], None, 0
            made = made_anew(batch, table, number) if _is_open(book, holding.plan.number, number) else None
            if made is not None:
                path = f"{prefix}batch-{made.sha256[:16]}.{batch.body.path.partition('.')[2]}"
                body, omitted = StoredFile(path, len(made.data), batch.count, made.sha256), made.omitted
                self._lake.store.put_new(path, made.data)
                table = _with_places(table, number, made)
            batches.append(ErasedBatch(number, batch.batch_id, ids, body, omitted))
        events = None if table is holding.table else self._lake.put_parquet(f"{prefix}events", table)
        return ErasedPlan(order.number, order.event_id, holding.plan.number, tuple(batches), events)

    def _doubt(self, book: LedgerBook, record: ErasedPlan, lease: Lease) -> None:
        """Whoever was sending one of these died, or waits for its acknowledgement: it is sent again, as it is now."""
        now = self._pipeline.clock()
        concerned = {batch.batch for batch in record.batches}
        moves = [
            Move(Do.DOUBT, now, delivery.key, detail="its body was erased in part", until=now)
            for delivery in book.ledger.of(*_UNDER_WAY)
            if delivery.key.plan == record.plan and delivery.key.batch in concerned
        ]
        book.write(moves, (), now, lease.holder)

    def _remove(self, name: str, plan: int, order: Order) -> None:
        """Delete the bodies that do not count any more, and what an interrupted run wrote in vain."""
        original = PlanBook(self._lake, name).read(plan)
        records = read_erased(self._lake, name, plan)
        mine = next(record for record in records if record.erasure == order.number)
        current = current_plan(self._lake, name, original)
        prefix = erased_prefix(name, plan)
        listed = {current.plan.events.path if current.plan.events else ""}
        for number, batch in enumerate(current.plan.batches):
            if number not in current.gone:
                listed.add(batch.body.path)
        for erased in mine.batches:
            path = original.batches[erased.batch].body.path
            if path not in listed:
                purge(self._lake.store, path)
        if records[-1] is mine:
            for key in list(self._lake.store.list(prefix)):
                if key not in listed and not key.endswith(".json"):
                    purge(self._lake.store, key)

    def _is_recorded(self, name: str, plan: int, order: Order) -> bool:
        key = record_key(name, plan, order.number)
        return key in self._lake.store.list(key)

    def _holding(self, name: str, tenant_id: str, events: Mapping[int, str]) -> Iterator[_Holding]:
        """Yield the plans that hold any of these events, as they are now."""
        if not events:
            return
        plans = PlanBook(self._lake, name)
        ranges = {tenant_id: (min(events), max(events) + 1)}
        wanted = pa.array(list(events.values()), pa.string())
        # From the first plan on: when the events were recorded is not asked, as it would save little.
        for planned in plans_about(plans, ranges, from_micros(0), plans.planned()):
            plan = current_plan(self._lake, name, planned).plan
            table = plans.events(plan)
            found = table.filter(pc.is_in(table.column("event_id"), wanted))
            batches: dict[int, list[str]] = {}
            for row in found.select(["batch", "event_id"]).to_pylist():
                batches.setdefault(int(str(row["batch"])), []).append(str(row["event_id"]))
            if batches:
                yield _Holding(plan, table, {number: tuple(ids) for number, ids in batches.items()})


def _is_open(book: LedgerBook, plan: int, batch: int) -> bool:
    """Whether any event of a batch may still be sent."""
    ledger = book.ledger
    return not ledger.is_taken(plan) or any((key.plan, key.batch) == (plan, batch) for key in ledger.open)


def _with_places(table: pa.Table, number: int, made: Rebuilt) -> pa.Table:
    """A plan's table of events with other places of the records of one batch."""
    rows = np.flatnonzero(np.asarray(table.column("batch").to_numpy()) == number)
    for name, places in (("offset", made.offsets), ("length", made.lengths)):
        values = np.array(table.column(name).to_numpy(), np.int64)
        values[rows] = places
        table = table.set_column(EVENTS_SCHEMA.get_field_index(name), EVENTS_SCHEMA.field(name), pa.array(values))
    return table


def _of_batch(table: pa.Table, number: int) -> pa.Table:
    """The events of one batch, in order."""
    return table.filter(pa.array(np.asarray(table.column("batch").to_numpy()) == number))
