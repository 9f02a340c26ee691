"""Events, settings and requests for the tests of destinations."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow as pa

from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.siem.destination import Destination, Framing, Outgoing
from lumi_pipeline.siem.encoding import Encoder, spelled
from lumi_pipeline.siem.settings import DestinationSettings, Route, read_destinations
from lumi_pipeline.siem.sqltext import BATCH_ID
from tests.siem.texts import texts_of

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
BATCH = "ba" * 32

Opened = TypeVar("Opened", bound=Destination)


def settings_of(base: Path, **table: object) -> DestinationSettings:
    """Checked settings of one destination on this machine."""
    given = {"name": "siem", "allow_private": True, "timeout": 5, **table}
    return read_destinations([given], "test.toml: destinations", base)[0]


@contextmanager
def opening(
    open_destination: Callable[[DestinationSettings], Opened], base: Path, **usual: object
) -> Iterator[Callable[..., Opened]]:
    """Open destinations with these settings, changed by what each call gives, and close them in the end."""
    destinations: list[Opened] = []

    def open_one(**table: object) -> Opened:
        destinations.append(open_destination(settings_of(base, **{**usual, **table})))
        return destinations[-1]

    try:
        yield open_one
    finally:
        for destination in destinations:
            destination.close()


def event(seq: int = 0, **columns: object) -> dict[str, object]:
    """One event's columns; those given instead of the usual ones."""
    return {
        "tenant_id": "acme",
        "seq": seq,
        "event_id": f"00000000-0000-7000-8000-{seq:012d}",
        "recorded_at": NOW,
        "occurred_at": NOW,
        "action": "LOGIN",
        "entity_type": "session",
        "entity_id": f"s-{seq}",
        "outcome": "success",
        "actor_type": "user",
        "actor_id": "u-1",
        "payload_hash": b"\x01" * 32,
        "prev_hash": b"\x02" * 32,
        "integrity_hash": b"\x03" * 32,
        **columns,
    }


def table_of(*events: Mapping[str, object]) -> pa.Table:
    """Events as the lake has them."""
    return pa.Table.from_pylist([dict(one) for one in events], schema=EVENT_SCHEMA)


def records_of(destination: Destination, *events: Mapping[str, object], route: Route | None = None) -> list[bytes]:
    """What each event looks like to the destination, with the batch's id."""
    with Encoder(destination) as encoder:
        records = encoder.encode(table_of(*events), route or destination.settings.routes[-1])
    return [record.replace(BATCH_ID.encode(), BATCH.encode()) for record in texts_of(records)]


def record_of(destination: Destination, expression: str, one: Mapping[str, object]) -> str:
    """What an event looks like to the destination in a format that writes events so."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.register("events", spelled(table_of(one)))
        record = destination.record(expression, destination.settings.routes[-1])
        found = db.execute(f"SELECT {record} FROM events").fetchone()  # noqa: S608 - the destination's own SQL
    assert found is not None
    return str(found[0]).replace(BATCH_ID, BATCH)


def outgoing(destination: Destination, *events: Mapping[str, object], route: Route | None = None) -> Outgoing:
    """One request with these events."""
    route = route or destination.settings.routes[-1]
    records = records_of(destination, *events, route=route)
    if destination.framing is Framing.ARRAY:
        content = b"[" + b",".join(records) + b"]"
    else:
        content = b"".join(record + b"\n" for record in records)
    body = destination.body(content)
    return Outgoing(
        batch_id=BATCH,
        delivery_id=BATCH,
        route=route,
        group="",
        day=NOW.date(),
        body=body,
        body_sha256=hashlib.sha256(body).hexdigest(),
        records=records,
        events=[str(one["event_id"]) for one in events],
        tenants=[str(one["tenant_id"]) for one in events],
        attempt=1,
        timestamp=NOW,
    )
