"""Events with everything in them, and requests of records that need not be events."""

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lumi_pipeline.siem.destination import Destination, Outgoing
from tests.siem.sending import settings_of

START = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)


def event(seq: int = 0, **changes: object) -> dict[str, Any]:
    """The columns of one event, all of them; its hashes are just bytes."""
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


def opened(kind: str, base: Path = Path(), **options: object) -> Destination:
    """A destination as a configuration opens it."""
    module = importlib.import_module(f"lumi_pipeline.siem.destinations.{kind}")
    destination: Destination = module.open_destination(
        settings_of(base, kind=kind, **{"allow_private": False, **options})
    )
    return destination


def outgoing(destination: Destination, records: Sequence[bytes], **changes: object) -> Outgoing:
    """A request with these records, of events of two tenants by turns."""
    content = b"".join(record + b"\n" for record in records)
    body = destination.body(content)
    batch_id = hashlib.sha256(content).hexdigest()
    request = Outgoing(
        batch_id=batch_id,
        delivery_id=batch_id,
        route=destination.settings.routes[-1],
        group="",
        day=START.date(),
        body=body,
        body_sha256=hashlib.sha256(body).hexdigest(),
        records=records,
        events=[f"event-{i}" for i in range(len(records))],
        tenants=[("acme", "globex")[i % 2] for i in range(len(records))],
        attempt=1,
        timestamp=START,
    )
    return replace(request, **changes)  # type: ignore[arg-type]
