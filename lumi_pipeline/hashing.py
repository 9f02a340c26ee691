"""The hashes of one event (docs/formats.md section 1), one at a time and in plain Python.

This is the definition: the recorder writes these hashes, proofs of single events are checked with them, and whatever
hashes whole columns at once is tested against them.
"""

from datetime import datetime
from hashlib import sha256

from lumi_pipeline.events import CORE_COLUMNS, Event
from transparency.encoding import format_timestamp
from transparency.merkle import leaf_hash

GENESIS_TAG = b"lumi/genesis/v1\n"
PAYLOAD_TAG = b"lumi/payload/v1\n"
EVENT_TAG = b"lumi/event/v1\n"
TENANT_KEY_TAG = b"lumi/tenant-key/v1\n"
EVENT_LEAF_TAG = b"lumi/event-leaf/v1\n"

PAYLOAD_FIELDS = ("payload_salt", "actor_name", "ip", "user_agent", "request_id", "before_state", "after_state")
CORE_FIELDS = ("prev_hash", *CORE_COLUMNS, "payload_hash")
"""The columns that the two hashes of an event are made of, in the order in which their netstrings follow the tag."""


def net(value: str | None) -> bytes:
    """Return the netstring of the text's UTF-8 bytes, ``<decimal length>:<bytes>,``; a null is ``-,``."""
    if value is None:
        return b"-,"
    data = value.encode()
    return b"%d:%b," % (len(data), data)


def genesis_hash(tenant_id: str, chain_id: bytes) -> bytes:
    """Return the ``prev_hash`` of a tenant's first event. The secret 16-byte ``chain_id`` makes it unguessable."""
    return sha256(GENESIS_TAG + net(tenant_id) + net(chain_id.hex())).digest()


def tenant_key(tenant_id: str) -> bytes:
    """Return the 32-byte key that fixes the tenant's position in every day's tenant map."""
    return sha256(TENANT_KEY_TAG + net(tenant_id)).digest()


def payload_hash(
    *,
    payload_salt: bytes,
    actor_name: str | None,
    ip: str | None,
    user_agent: str | None,
    request_id: str | None,
    before_state: str | None,
    after_state: str | None,
) -> bytes:
    """Return the salted hash that stands for the payload columns, also once they are erased or withheld."""
    values = (payload_salt.hex(), actor_name, ip, user_agent, request_id, before_state, after_state)
    return sha256(PAYLOAD_TAG + b"".join(map(net, values))).digest()


def integrity_hash(
    *,
    prev_hash: bytes,
    tenant_id: str,
    seq: int,
    event_id: str,
    recorded_at: datetime,
    occurred_at: datetime,
    action: str,
    entity_type: str,
    entity_id: str,
    outcome: str,
    actor_type: str,
    actor_id: str,
    auth_method: str | None,
    payload_hash: bytes,
) -> bytes:
    """Return the hash that links an event to the one before it. Times must be aware and in UTC."""
    values = (
        prev_hash.hex(),
        tenant_id,
        str(seq),
        event_id,
        format_timestamp(recorded_at),
        format_timestamp(occurred_at),
        action,
        entity_type,
        entity_id,
        outcome,
        actor_type,
        actor_id,
        auth_method,
        payload_hash.hex(),
    )
    return sha256(EVENT_TAG + b"".join(map(net, values))).digest()


def event_payload_hash(event: Event) -> bytes | None:
    """Recompute an event's ``payload_hash`` from its columns; None once the payload is erased or withheld."""
    if event.payload_salt is None:
        return None
    return payload_hash(
        payload_salt=event.payload_salt,
        actor_name=event.actor_name,
        ip=event.ip,
        user_agent=event.user_agent,
        request_id=event.request_id,
        before_state=event.before_state,
        after_state=event.after_state,
    )


def event_integrity_hash(event: Event) -> bytes:
    """Recompute an event's ``integrity_hash`` from its core columns and its stored ``payload_hash``."""
    return integrity_hash(
        prev_hash=event.prev_hash,
        tenant_id=event.tenant_id,
        seq=event.seq,
        event_id=event.event_id,
        recorded_at=event.recorded_at,
        occurred_at=event.occurred_at,
        action=event.action,
        entity_type=event.entity_type,
        entity_id=event.entity_id,
        outcome=event.outcome,
        actor_type=event.actor_type,
        actor_id=event.actor_id,
        auth_method=event.auth_method,
        payload_hash=event.payload_hash,
    )


def event_leaf(stored_integrity_hash: bytes) -> bytes:
    """Return an event's leaf hash in the tree of its tenant's day (section 2): over the hash as it is stored."""
    return leaf_hash(EVENT_LEAF_TAG + stored_integrity_hash)
