"""From a batch in the ledger to a request: the stored body as it is, or slices of it, or records with another time."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final, TypeVar, overload

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.errors import LakeError, LedgerError
from lumi_pipeline.lake import Lake
from lumi_pipeline.siem.destination import Destination, Framing, Outgoing
from lumi_pipeline.siem.erased import CurrentPlan, current_plan
from lumi_pipeline.siem.gzipping import decompress
from lumi_pipeline.siem.ledger import Delivery, Key
from lumi_pipeline.siem.packing import ENDS, SEPARATORS
from lumi_pipeline.siem.plans import Batch, PlanBook, Refused, TenantShare
from lumi_pipeline.siem.settings import Route

_Item = TypeVar("_Item")

_PLANS: Final = 4
"""Plans whose events are kept in memory: those that are delivered side by side."""

_MAX_CONTENT: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Loaded:
    """A batch or slice with what a receipt says of it: whose events are in it, and what was changed in its records.

    ``omitted`` counts events of the whole batch that lack large values; ``restamped``: see
    :class:`~lumi_pipeline.siem.destination.AgeRule`.
    """

    outgoing: Outgoing
    tenants: tuple[TenantShare, ...]
    restamped: bool
    omitted: int
    quiet: bool


class Deferred(Sequence[_Item]):
    """A sequence of known length that is made when an item of it is asked for."""

    def __init__(self, length: int, make: Callable[[], list[_Item]]) -> None:
        self._length = length
        self._make = make

    @cached_property
    def _items(self) -> list[_Item]:
        return self._make()

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> _Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[_Item]: ...

    def __getitem__(self, index: int | slice) -> _Item | list[_Item]:
        return self._items[index]


class Loader:
    """Loads batches of one destination; not for several threads."""

    def __init__(self, lake: Lake, book: PlanBook, destination: Destination) -> None:
        self._lake = lake
        self._book = book
        self._destination = destination
        self._plans: OrderedDict[int, tuple[CurrentPlan, pa.Table]] = OrderedDict()
        self._sliceable = destination.suffix.endswith(".gz")

    def batch(self, key: Key) -> Batch:
        """Return a batch as it was planned."""
        plan = self._plan(key.plan)[0].plan
        if not 0 <= key.batch < len(plan.batches) or key.end > plan.batches[key.batch].count:
            raise LedgerError(f"{self._destination.settings.name}: plan {key.plan} has no batch {key}")
        return plan.batches[key.batch]

    def refused(self, key: Key) -> Refused:
        """Return an event that no record could be made for."""
        return self._plan(key.plan)[0].plan.refused[-1 - key.batch]

    def route(self, batch: Batch) -> Route:
        """The route that a batch takes, as it is set now; where it is gone, what takes everything."""
        routes = self._destination.settings.routes
        return next((route for route in routes if route.name == batch.route), routes[-1])

    def load(self, delivery: Delivery, now: datetime) -> Loaded:
        """Make the request that is to be sent at ``now``."""
        key, batch = delivery.key, self.batch(delivery.key)
        self._check_settings(key, batch)
        if key.batch in self._plan(key.plan)[0].gone:
            name = self._destination.settings.name
            raise LedgerError(
                f"{name}: its body was erased, and could not be made anew; give it up (lumi siem unblock {name} "
                f"--give-up {batch.batch_id[:12]}), and send what is left of it with lumi siem backfill"
            )
        events = self._events(key)
        stored = self._lake.read(batch.body)
        whole = key.count == batch.count
        # Most destinations send the body as it is, and then nobody asks for its records.
        records: Sequence[bytes] = Deferred(key.count, lambda: self._records(stored, events))
        body, delivery_id, restamped = stored, batch.batch_id, False
        age = self._destination.age
        if age is not None and (batch.oldest < now - age.older or batch.newest > now + age.ahead):
            fresh = [self._destination.restamp(record, now) for record in records]
            changed = fresh != list(records)
            restamped, records, whole = age.replaces or changed, fresh, whole and not changed
        if not whole:
            if not self._sliceable:
                raise LedgerError(f"{self._destination.settings.name}: {key} can't be cut out of its batch")
            body = self._destination.body(framed(records, self._destination.framing))
            delivery_id = f"{batch.batch_id}.{key.first}-{key.end}" + (".restamped" if restamped else "")
        erasure = self._plan(key.plan)[0].made_anew.get(key.batch)
        if erasure is not None:
            # What was sent before under the name that it had may be there, with another content.
            delivery_id += f".erased-{erasure}"
        outgoing = Outgoing(
            batch_id=batch.batch_id,
            delivery_id=delivery_id,
            route=self.route(batch),
            group=batch.group,
            day=batch.day,
            body=body,
            body_sha256=batch.body.sha256 if whole else hashlib.sha256(body).hexdigest(),
            records=records,
            events=Deferred(key.count, lambda: [str(event) for event in events["event_id"].to_pylist()]),
            tenants=Deferred(key.count, lambda: [str(tenant) for tenant in events["tenant_id"].to_pylist()]),
            attempt=delivery.attempts + 1,
            timestamp=now,
        )
        shares = batch.tenants if key.count == batch.count else shares_of(events)
        return Loaded(outgoing, shares, restamped, batch.omitted, batch.quiet)

    def _check_settings(self, key: Key, batch: Batch) -> None:
        """Refuse a batch that was planned before the settings changed and is nothing for what they describe now."""
        settings, route = self._destination.settings, self.route(batch)
        for selection in (settings.selection, route.selection):
            foreign = {share.tenant_id for share in batch.tenants} - (selection.tenants or set())
            if selection.tenants is not None and foreign:
                raise LedgerError(
                    f"{settings.name}: planned for tenant {min(foreign)}, which is not among the 'tenants' of route "
                    f"{route.name} any more; set it back, or give the batch up (lumi siem unblock {settings.name} "
                    f"--give-up {batch.batch_id[:12]})"
                )
        planned = self._plan(key.plan)[0].plan
        made_for, made = _kind(planned.mapping), _kind(self._destination.mapping)
        if made_for != made or not batch.body.path.endswith(f".{self._destination.suffix}"):
            raise LedgerError(
                f"{settings.name}: planned for {made_for} ({batch.body.path.partition('.')[2]}), not for {made} "
                f"({self._destination.suffix}); set its kind and body back until what was planned is delivered"
            )

    def event(self, key: Key) -> tuple[str, int, str]:
        """Return tenant, seq and event id of a batch's only event."""
        if key.is_refusal:
            found = self.refused(key)
            return found.tenant_id, found.seq, found.event_id
        row = self._events(key).to_pylist()[0]
        return str(row["tenant_id"]), int(str(row["seq"])), str(row["event_id"])

    def shares(self, key: Key) -> tuple[TenantShare, ...]:
        """Whose events a batch or slice holds; its body need not be there."""
        return shares_of(self._events(key))

    def record(self, key: Key) -> bytes:
        """Return the record of a batch's only event."""
        records = self._records(self._lake.read(self.batch(key).body), self._events(key))
        return records[0] if records else b""

    def _plan(self, number: int) -> tuple[CurrentPlan, pa.Table]:
        if number not in self._plans:
            current = current_plan(self._lake, self._destination.settings.name, self._book.read(number))
            self._plans[number] = (current, self._book.events(current.plan))
            while len(self._plans) > _PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(number)
        return self._plans[number]

    def _events(self, key: Key) -> pa.Table:
        _, events = self._plan(key.plan)
        numbers = events.column("batch")
        # Sorted by batch, so its rows are together.
        first = int(str(pc.index(numbers, pa.scalar(key.batch, pa.int32())).as_py()))
        rows = events.slice(max(first, 0) + key.first, key.count)
        if rows.column("batch").unique().to_pylist() != [key.batch] or len(rows) != key.count:
            raise LakeError(f"plan {key.plan} does not list the events of its batch {key.batch}; restore its files")
        return rows

    def _records(self, stored: bytes, events: pa.Table) -> list[bytes]:
        """Cut a stored body into the records of some of its events; none where it can't be cut."""
        if not self._sliceable:
            return []
        try:
            content = decompress(stored, _MAX_CONTENT)
        except ValueError as error:
            raise LakeError(f"the body of a batch can't be read: {error}") from None
        offsets, lengths = events["offset"].to_numpy(), events["length"].to_numpy()
        return [content[start : start + size] for start, size in zip(offsets, lengths, strict=True)]


def _kind(mapping: str) -> str:
    """Whose records a mapping is about: ``https`` of ``native/1 https/1``."""
    return next(part for part in reversed(mapping.split()) if "/" in part).partition("/")[0]


def framed(records: Sequence[bytes], framing: Framing) -> bytes:
    """Return a request's content from single records."""
    begin, end = ENDS[framing]
    return begin + SEPARATORS[framing].encode().join(records) + end


def shares_of(events: pa.Table) -> tuple[TenantShare, ...]:
    """Whose events these are."""
    found = events.group_by("tenant_id").aggregate([("seq", "min"), ("seq", "max"), ("seq", "count")])
    shares = [
        TenantShare(str(r["tenant_id"]), int(str(r["seq_min"])), int(str(r["seq_max"])), int(str(r["seq_count"])))
        for r in found.to_pylist()
    ]
    return tuple(sorted(shares, key=lambda share: share.tenant_id))
