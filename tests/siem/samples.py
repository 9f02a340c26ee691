"""Events as the lake has them, for destinations to encode."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from lumi_pipeline.events import EVENT_SCHEMA

START = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)


def event(seq: int = 0, **changes: object) -> dict[str, Any]:
    """The columns of one event; its hashes are just bytes."""
    salted = hashlib.sha256(str(seq).encode()).digest()
    columns: dict[str, Any] = {
        "tenant_id": "acme",
        "seq": seq,
        "event_id": f"018f0000-0000-7000-8000-{seq:012x}",
        "recorded_at": START + timedelta(seconds=seq),
        "occurred_at": START + timedelta(seconds=seq, milliseconds=-250),
        "action": "TICKET_CREATED",
        "entity_type": "ticket",
        "entity_id": f"T-{seq}",
        "outcome": "success",
        "actor_type": "user",
        "actor_id": "u-17",
        "auth_method": "saml",
        "actor_name": "Zoë Ångström",
        "ip": "203.0.113.7",
        "user_agent": "Mozilla/5.0",
        "request_id": f"req-{seq}",
        "before_state": None,
        "after_state": '{"status": "open"}',
        "payload_salt": salted[:16],
        "payload_hash": salted,
        "prev_hash": hashlib.sha256(salted).digest(),
        "integrity_hash": hashlib.sha256(salted + b"i").digest(),
        "erased_at": None,
    }
    return columns | changes


def table(events: Sequence[dict[str, Any]]) -> pa.Table:
    """Events as Arrow."""
    return pa.Table.from_pylist(list(events), EVENT_SCHEMA)
