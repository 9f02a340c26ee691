"""The chain head and the one step that moves it: pure, so that every database shares it.

All rules on numbering, time and hashing of docs/formats.md section 1 are here; a database only has to lock the head
before it is read and to store what comes out.
"""

from dataclasses import dataclass
from datetime import datetime

from lumi_pipeline.events import Event, NewEvent
from lumi_pipeline.hashing import genesis_hash, integrity_hash, payload_hash


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where a tenant's chain stands: the next event gets ``next_seq``, ``head_hash`` and no earlier time."""

    tenant_id: str
    chain_id: bytes
    next_seq: int
    head_hash: bytes
    last_recorded_at: datetime


def start_chain(tenant_id: str, chain_id: bytes, closed_before: datetime) -> ChainHead:
    """Return a new tenant's head. Starting at ``closed_before`` keeps its first event out of every closed day."""
    return ChainHead(tenant_id, chain_id, 0, genesis_hash(tenant_id, chain_id), closed_before)


def next_event(head: ChainHead, new: NewEvent, now: datetime, payload_salt: bytes) -> tuple[Event, ChainHead]:
    """Return the event that ``new`` becomes at ``now``, and the head after it.

    ``now`` is an aware UTC time read after the head was locked. The chain's time never decreases, so a clock that
    stands behind the last event, or inside a closed day, is overruled by the head.
    """
    recorded_at = max(now, head.last_recorded_at)
    occurred_at = new.occurred_at or now
    hashed_payload = payload_hash(
        payload_salt=payload_salt,
        actor_name=new.actor_name,
        ip=new.ip,
        user_agent=new.user_agent,
        request_id=new.request_id,
        before_state=new.before_state,
        after_state=new.after_state,
    )
    integrity = integrity_hash(
        prev_hash=head.head_hash,
        tenant_id=head.tenant_id,
        seq=head.next_seq,
        event_id=new.event_id,
        recorded_at=recorded_at,
        occurred_at=occurred_at,
        action=new.action,
        entity_type=new.entity_type,
        entity_id=new.entity_id,
        outcome=new.outcome,
        actor_type=new.actor_type,
        actor_id=new.actor_id,
        auth_method=new.auth_method,
        payload_hash=hashed_payload,
    )
    event = Event(
        tenant_id=head.tenant_id,
        seq=head.next_seq,
        event_id=new.event_id,
        recorded_at=recorded_at,
        occurred_at=occurred_at,
        action=new.action,
        entity_type=new.entity_type,
        entity_id=new.entity_id,
        outcome=new.outcome,
        actor_type=new.actor_type,
        actor_id=new.actor_id,
        auth_method=new.auth_method,
        actor_name=new.actor_name,
        ip=new.ip,
        user_agent=new.user_agent,
        request_id=new.request_id,
        before_state=new.before_state,
        after_state=new.after_state,
        payload_salt=payload_salt,
        payload_hash=hashed_payload,
        prev_hash=head.head_hash,
        integrity_hash=integrity,
    )
    return event, ChainHead(head.tenant_id, head.chain_id, head.next_seq + 1, integrity, recorded_at)
