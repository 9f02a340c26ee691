"""Events and outboxes for the tests in this directory."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from lumi_pipeline.events import EVENT_SCHEMA, Event, NewEvent
from lumi_pipeline.hashing import event_integrity_hash, event_payload_hash, genesis_hash
from lumi_pipeline.outbox import Outbox, Snapshot
from lumi_pipeline.recorder import AuditRecorder
from tests.databases import database

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def values(**changes: object) -> dict[str, object]:
    """Arguments for a new event, or for a call of record(); a change to None takes the argument away."""
    columns: dict[str, object] = {
        "tenant_id": "acme",
        "action": "TICKET_CREATED",
        "entity_type": "ticket",
        "entity_id": "T-1",
        "actor_type": "user",
        "actor_id": "u-17",
        "auth_method": "saml",
        "actor_name": "Zoë Ångström",
        "ip": "203.0.113.7",
        "user_agent": "Mozilla/5.0",
        "request_id": "req-1",
        "after_state": '{"status": "open"}',
    }
    return {name: value for name, value in (columns | changes).items() if value is not None}


def new_event(**changes: object) -> NewEvent:
    return NewEvent(**values(**changes))  # type: ignore[arg-type]


class Clock:
    """Says what ``now`` is set to, and moves on by a second each time it is read."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def record_at(outbox: Outbox, when: datetime, *events: NewEvent) -> None:
    """Record events in one transaction, all at the same time."""
    with database(outbox) as connection:
        AuditRecorder(connection).record_many(events, recorded_at=[when] * len(events))
        connection.commit()


def stored(outbox: Outbox) -> list[Event]:
    """Every event of the outbox, in order of tenant and seq."""
    with outbox.snapshot() as snapshot:
        return _events(snapshot)


def _events(snapshot: Snapshot) -> list[Event]:
    tenants = snapshot.heads()["tenant_id"].to_pylist()
    tables = list(snapshot.rows([(str(tenant), 0) for tenant in tenants]))
    return [Event(**row) for row in pa.concat_tables([EVENT_SCHEMA.empty_table(), *tables]).to_pylist()]


def check_chains(outbox: Outbox) -> dict[str, int]:
    """Check every chain by the specification, one event at a time; return how many events each tenant has."""
    with outbox.snapshot() as snapshot:
        heads = {row["tenant_id"]: row for row in snapshot.heads().to_pylist()}
        everything = _events(snapshot)
    chains: dict[str, list[Event]] = {tenant: [] for tenant in heads}
    for event in everything:
        chains[event.tenant_id].append(event)
    for tenant, events in chains.items():
        head = heads[tenant]
        previous = genesis_hash(tenant, head["chain_id"])
        last = None
        for seq, event in enumerate(events):
            assert event.seq == seq
            assert event.prev_hash == previous
            assert event.payload_hash == event_payload_hash(event)
            assert event.integrity_hash == event_integrity_hash(event)
            assert last is None or last <= event.recorded_at
            previous, last = event.integrity_hash, event.recorded_at
        assert (head["next_seq"], head["head_hash"]) == (len(events), previous)
        assert last is None or head["last_recorded_at"] >= last
    return {tenant: len(events) for tenant, events in chains.items()}
