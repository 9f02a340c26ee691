"""Chains made by hand: events with chosen times and salts, as tables, and a fold over them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from hashlib import sha256

import pyarrow as pa

from lumi_pipeline.chain import Break, BreakKind, ChainEnd, ChainFold, ChainState, TenantRows
from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.events import EVENT_SCHEMA, MIN_MICROS, PAYLOAD_COLUMNS, Event, uuid8
from lumi_pipeline.hashing import event_integrity_hash, event_payload_hash, genesis_hash
from lumi_pipeline.outbox.head import ChainHead, next_event, start_chain
from tests.lake.world import at, day, new_event


def chain_id(tenant_id: str) -> bytes:
    """The chain_id that tests give a tenant."""
    return sha256(b"chain " + tenant_id.encode()).digest()[:16]


def new_head(tenant_id: str) -> ChainHead:
    """A chain without events."""
    return start_chain(tenant_id, chain_id(tenant_id), at(0, "00:00:00"))


def extend(head: ChainHead, times: Iterable[datetime], **columns: object) -> tuple[list[Event], ChainHead]:
    """Record an event at each of these times; everything about them is determined by the tenant and seq."""
    events = []
    for moment in times:
        name = sha256(f"{head.tenant_id}/{head.next_seq}".encode()).digest()
        new = new_event(head.tenant_id, event_id=uuid8(name), entity_id=f"T-{head.next_seq}", **columns)
        event, head = next_event(head, new, moment, name[16:])
        events.append(event)
    return events, head


def chain(tenant_id: str, *times: datetime) -> list[Event]:
    """A tenant's chain from its beginning."""
    return extend(new_head(tenant_id), times)[0]


def rehashed(event: Event, **changes: object) -> Event:
    """The event with changes and with hashes that fit them, as a forger would leave it."""
    event = replace(event, **changes)  # type: ignore[arg-type]
    event = replace(event, payload_hash=event_payload_hash(event) or event.payload_hash)
    return replace(event, integrity_hash=event_integrity_hash(event))


def erased(event: Event, moment: datetime) -> Event:
    """The event after its erasure."""
    return replace(event, erased_at=moment, **dict.fromkeys(PAYLOAD_COLUMNS))


def as_table(events: Sequence[Event]) -> pa.Table:
    """Events as a table in one chunk."""
    rows = [asdict(event) for event in events]
    return pa.table({name: [row[name] for row in rows] for name in EVENT_SCHEMA.names}, schema=EVENT_SCHEMA)


def genesis_state(tenant_id: str, number: int | None = None) -> ChainState:
    """Before a tenant's first event; with ``number`` on the day of that number, else at any time."""
    not_before = MIN_MICROS if number is None else day_start(day(number))
    return ChainState(0, genesis_hash(tenant_id, chain_id(tenant_id)), not_before)


def end_of(events: Sequence[Event]) -> ChainEnd:
    """The end that an honest head would give these events of one tenant."""
    return ChainEnd(events[-1].seq + 1, events[-1].integrity_hash)


def fold(tables: Iterable[pa.Table], ends: Mapping[str, ChainEnd], number: int | None = None) -> dict[str, TenantRows]:
    """Fold tables and hold each tenant against its end; with ``number`` as that day is folded when it is sealed."""
    until = None if number is None else day_end(day(number))
    folding = ChainFold(lambda tenant_id: genesis_state(tenant_id, number), until=until)
    for table in tables:
        folding.add(table)
    return {tenant_id: folding.finish(tenant_id, end) for tenant_id, end in ends.items()}


def places(breaks: Iterable[Break]) -> list[tuple[BreakKind, int]]:
    """What broke where, sorted."""
    return sorted((found.kind, found.seq) for found in breaks)


def summaries(folded: Mapping[str, TenantRows]) -> dict[str, tuple[object, ...]]:
    """All that a fold found, in a form that can be compared."""
    return {
        tenant_id: (rows.start, rows.state, rows.count, rows.tree.root(), sorted(map(str, rows.breaks)))
        for tenant_id, rows in folded.items()
    }
