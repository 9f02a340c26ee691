"""What the tests of single destinations share: settings, events, and a batch as the sender hands it over."""

import gzip
import hashlib
import importlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.siem.destination import Destination, Framing, Outgoing
from lumi_pipeline.siem.encoding import Encoder, Records, spelled
from lumi_pipeline.siem.native import NATIVE
from lumi_pipeline.siem.settings import DestinationSettings, Route, read_destinations
from lumi_pipeline.siem.sqltext import BATCH_ID
from tests.siem.texts import texts_of

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BATCH = "0" * 64


def settings(kind: str, base: Path = Path("/nowhere"), **options: object) -> DestinationSettings:
    """Settings as ``lumi.toml`` would give them, of a destination that is on this machine."""
    table = {"name": "soc", "kind": kind, "allow_private": True, "timeout": 10, **options}
    return read_destinations([table], "destinations", base)[0]


def opened(kind: str, base: Path = Path("/nowhere"), **options: object) -> Destination:
    """An open destination."""
    module = importlib.import_module(f"lumi_pipeline.siem.destinations.{kind}")
    destination: Destination = module.open_destination(settings(kind, base, **options))
    return destination


def event(seq: int, **changes: object) -> dict[str, object]:
    """One row of events; the hashes are only as long as real ones."""
    return {
        "tenant_id": "acme",
        "seq": seq,
        "event_id": f"019cc9f2-0000-7000-8000-{seq:012d}",
        "recorded_at": NOW + timedelta(seconds=seq, microseconds=7),
        "occurred_at": NOW + timedelta(seconds=seq),
        "action": "LOGIN",
        "entity_type": "session",
        "entity_id": "S-1",
        "outcome": "success",
        "actor_type": "user",
        "actor_id": "u-17",
        "auth_method": None,
        "actor_name": 'Zoë "Ångström"',
        "ip": "203.0.113.7",
        "user_agent": "Mozilla/5.0",
        "request_id": "req-1",
        "before_state": None,
        "after_state": '{"a":\n1}',
        "payload_salt": b"\x01" * 16,
        "payload_hash": b"\x02" * 32,
        "prev_hash": b"\x03" * 32,
        "integrity_hash": b"\x04" * 32,
        "erased_at": None,
        **changes,
    }


def table(*rows: Mapping[str, object]) -> pa.Table:
    """Rows of events as Arrow."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=EVENT_SCHEMA)


def records(destination: Destination, events: pa.Table, of: str = NATIVE.event) -> list[bytes]:
    """The destination's records of events, ``of`` being the expression of an event's JSON."""
    rows = events.append_column("omitted", pa.nulls(len(events), pa.string()))
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.register("events", spelled(rows))
        expression = destination.record(of, destination.settings.routes[-1])
        found = db.sql(f"SELECT {expression} FROM events").fetchall()  # noqa: S608 - the destination's own SQL
    return [str(row[0]).replace(BATCH_ID, BATCH).encode() for row in found]


def encoded(destination: Destination, events: pa.Table) -> tuple[list[bytes], Records]:
    """The destination's records of events, with large values left out, and all that is known of them."""
    with Encoder(destination) as encoder:
        found = encoder.encode(events, destination.settings.routes[-1])
    return [part.replace(BATCH_ID.encode(), BATCH.encode()) for part in texts_of(found)], found


def framed(destination: Destination, parts: Sequence[bytes]) -> bytes:
    """Records as they stand in a body before compression."""
    if destination.framing is Framing.ARRAY:
        return b"[" + b",".join(parts) + b"]"
    return b"".join(part + b"\n" for part in parts)


def outgoing(
    destination: Destination,
    parts: Sequence[bytes],
    route: Route | None = None,
    number: int = 1,
    moment: datetime = NOW,
) -> Outgoing:
    """A batch of records, ready to be sent; batches differ by their number."""
    body = destination.body(framed(destination, parts))
    batch = hashlib.sha256(str(number).encode()).hexdigest()
    return Outgoing(
        batch_id=batch,
        delivery_id=batch,
        route=route or destination.settings.routes[-1],
        group="",
        day=NOW.date(),
        body=body,
        body_sha256=hashlib.sha256(body).hexdigest(),
        records=parts,
        events=[f"019cc9f2-0000-7000-8000-{i:012d}" for i in range(len(parts))],
        tenants=["acme"] * len(parts),
        attempt=1,
        timestamp=moment,
    )


def unpacked(body: bytes) -> bytes:
    """What a body holds before compression."""
    return gzip.decompress(body)
