"""What somebody does to rows, whichever file they lie in: functions from a tenant's rows to other rows."""

import hashlib
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from lumi_pipeline.hashing import CORE_FIELDS, PAYLOAD_FIELDS, integrity_hash, payload_hash

Row: TypeAlias = dict[str, Any]
"""A row of ``EVENT_SCHEMA`` by column, as Arrow gives it to Python."""

Edit: TypeAlias = Callable[[list[Row]], list[Row]]
"""Gets at least four rows of one tenant, in order, and may change them."""

SOMEBODY: Final = "somebody-else"


def change_cell(rows: list[Row]) -> list[Row]:
    """Say that somebody else did it."""
    rows[1]["actor_id"] = SOMEBODY
    return rows


def change_payload(rows: list[Row]) -> list[Row]:
    """Change what was changed, which only the payload tells."""
    rows[1]["after_state"] = '{"status":"never happened"}'
    return rows


def delete_row(rows: list[Row]) -> list[Row]:
    """Take the second row out."""
    return [rows[0], *rows[2:]]


def add_row(rows: list[Row]) -> list[Row]:
    """Put a row in behind the last, with hashes that are right."""
    last = rows[-1]
    made = {**last, "seq": last["seq"] + 1, "event_id": _other_id(last), "actor_id": SOMEBODY}
    return [*rows, *rehash([made], last["integrity_hash"])]


def swap_rows(rows: list[Row]) -> list[Row]:
    """Exchange two rows."""
    return [rows[0], rows[2], rows[1], *rows[3:]]


def duplicate_row(rows: list[Row]) -> list[Row]:
    """Put the second row in twice."""
    return [*rows[:2], *rows[1:]]


def cut_tail(rows: list[Row]) -> list[Row]:
    """Leave the last two out."""
    return rows[:-2]


def change_tenant(rows: list[Row]) -> list[Row]:
    """Put a row of another tenant in, whose own hashes are right."""
    foreign = {**rows[1], "tenant_id": "another-tenant", "event_id": _other_id(rows[1])}
    return [rows[0], *rehash([foreign], foreign["prev_hash"]), *rows[2:]]


def rehash(rows: list[Row], prev_hash: bytes) -> list[Row]:
    """Compute every hash anew, each row linked to the one before it, the first to ``prev_hash``."""
    for row in rows:
        if row["payload_salt"] is not None:
            row["payload_hash"] = payload_hash(**{name: row[name] for name in PAYLOAD_FIELDS})
        row["prev_hash"] = prev_hash
        prev_hash = row["integrity_hash"] = integrity_hash(**{name: row[name] for name in CORE_FIELDS})
    return rows


def _other_id(row: Row) -> str:
    return str(uuid.UUID(bytes=hashlib.sha256(row["event_id"].encode()).digest()[:16], version=4))
