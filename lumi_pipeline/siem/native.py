"""The format ``native``: an event as it is in the lake, one JSON object with our columns' names.

States stay text, exactly as they were recorded, so whoever has the record can recompute its hashes. ``batch_id`` says
which batch brought it; ``omitted`` names values that were too large for the destination, and is left out otherwise.
"""

from typing import Final

from lumi_pipeline.siem.format import Format
from lumi_pipeline.siem.sqltext import (
    BATCH_ID,
    json_hex,
    json_number,
    json_object,
    json_text,
    json_time,
    optional_json,
    quoted,
)

# Also what has a syntax is escaped: rows are delivered as they were found, and whoever may edit the database could
# otherwise put members of his own into a record.
_MEMBERS: Final = {
    "event_id": json_text("event_id"),
    "tenant_id": json_text("tenant_id"),
    "seq": json_number("seq"),
    "recorded_at": json_time("recorded_at"),
    "occurred_at": json_time("occurred_at"),
    "action": json_text("action"),
    "entity_type": json_text("entity_type"),
    "entity_id": json_text("entity_id"),
    "outcome": json_text("outcome"),
    "actor_type": json_text("actor_type"),
    "actor_id": json_text("actor_id"),
    "auth_method": json_text("auth_method"),
    "actor_name": json_text("actor_name"),
    "ip": json_text("ip"),
    "user_agent": json_text("user_agent"),
    "request_id": json_text("request_id"),
    "before_state": json_text("before_state"),
    "after_state": json_text("after_state"),
    "payload_salt": json_hex("payload_salt"),
    "payload_hash": json_hex("payload_hash"),
    "prev_hash": json_hex("prev_hash"),
    "integrity_hash": json_hex("integrity_hash"),
    "batch_id": quoted(f'"{BATCH_ID}"'),
}
NATIVE: Final = Format("native/1", json_object(_MEMBERS, optional_json("omitted", "omitted")))
"""Our own format."""
