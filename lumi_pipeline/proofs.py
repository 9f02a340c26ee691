"""Offline verification of proof files (docs/formats.md §7): one event, one tenant's day, or a tenant's absence.

Needs the file and a policy, nothing else: no lake, no outbox, no network. The checks run from the trusted key inwards,
in the order the specification gives; the first that fails names the reason.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from lumi_pipeline.errors import RecordError
from lumi_pipeline.events import (
    ACTION_SYNTAX,
    ACTOR_TYPES,
    CORE_COLUMNS,
    EVENT_ID_SYNTAX,
    HASH_COLUMNS,
    MAX_EVENT_BYTES,
    MAX_TEXT_BYTES,
    NULLABLE_COLUMNS,
    OUTCOMES,
    PAYLOAD_COLUMNS,
    TENANT_ID_SYNTAX,
    TEXT_COLUMNS,
    Event,
)
from lumi_pipeline.hashing import event_integrity_hash, event_leaf, event_payload_hash, tenant_key
from lumi_pipeline.keyadvice import explain_proof
from lumi_pipeline.records import TenantDay
from lumi_pipeline.verdict import Status, Verdict
from transparency.checkpoint import parse_signed_checkpoint
from transparency.encoding import (
    Json,
    b64decode,
    excerpt,
    hex_decode,
    parse_canonical_json,
    parse_decimal,
    parse_timestamp,
)
from transparency.entries import Genesis
from transparency.errors import EncodingError, FormatError, VerificationError
from transparency.merkle import EMPTY_ROOT, verify_inclusion
from transparency.patricia import verify_absence, verify_presence
from transparency.policy import Policy
from transparency.proof import MAX_PROOF_SIZE, TlogProof
from transparency.verify import VerifiedDay, verify_day_inclusion

EVENT_PROOF: Final = "lumi/event-proof/v1"
TENANT_DAY_PROOF: Final = "lumi/tenant-day-proof/v1"
ABSENCE_PROOF: Final = "lumi/absence-proof/v1"

_COMMON: Final = {"day_record", "genesis", "genesis_path", "tenant_proof", "type"}
_FIELDS: Final = {
    EVENT_PROOF: _COMMON | {"event", "tenant_record"},
    TENANT_DAY_PROOF: _COMMON | {"tenant_record"},
    ABSENCE_PROOF: _COMMON | {"tenant_id"},
}
_MARKS: Final = (b"c2sp.org/tlog-proof", b"\nextra ", b"\nindex ", "\n\u2014 ".encode())
_UNWITNESSED: Final = "Not cosigned by a witness you named"


def looks_like_proof(data: bytes) -> bool:
    """Whether somebody meant this to be a proof file, damaged or not: two of the marks that every one carries."""
    return sum(mark in data for mark in _MARKS) >= 2


def verify_proof(data: bytes, policy: Policy | None, subject: str) -> Verdict:
    """Judge a proof file. Without a policy the best verdict is "consistent, key unconfirmed"."""
    if not looks_like_proof(data):
        return Verdict(subject, Status.UNRECOGNISED, "unrecognised", (f"{subject} is not a proof file.",))
    try:
        proof = TlogProof.parse(data)
        extra = _parse_extra(proof)
        genesis = Genesis.parse(_text(extra, "genesis").encode())
        day = verify_day_inclusion(
            policy or Policy.pinning(genesis.key.vkey),
            proof.checkpoint,
            _text(extra, "genesis").encode(),
            _hashes(extra, "genesis_path"),
            _text(extra, "day_record").encode(),
            proof.index,
            proof.path,
        )
        verdict = _verify_content(extra, day, subject)
    except VerificationError as error:
        return _failed(data, policy, subject, error)
    except (FormatError, RecordError) as error:
        return Verdict(subject, Status.FAILED, "malformed", (f"{subject} is a proof file, but damaged: {error}",))
    if policy is None and verdict.status is Status.VERIFIED:
        return Verdict(
            subject,
            Status.INCOMPLETE,
            "key-unconfirmed",
            (
                *verdict.lines,
                "Consistent, but no trusted key was given, so anybody could have made this.",
                f"Compare the fingerprint {genesis.key.fingerprint} with one you trust, or pass --key.",
            ),
            verdict.facts,
        )
    return verdict


def _failed(data: bytes, policy: Policy | None, subject: str, error: VerificationError) -> Verdict:
    """Say why a proof does not verify; without a policy, an unknown signature is not false, it could not be checked."""
    explanation = None
    if error.reason == "checkpoint-signature":
        proof = TlogProof.parse(data)
        genesis = Genesis.parse(_text(_parse_extra(proof), "genesis").encode())
        signed = parse_signed_checkpoint(proof.checkpoint)
        given = policy.pinned_keys(genesis.origin) if policy else ()
        explanation = explain_proof(signed, genesis.key, given)
    if explanation and policy is None:
        return Verdict(subject, Status.INCOMPLETE, "key-unconfirmed", (f"Nothing could be checked. {explanation}",))
    lines = (str(error), explanation) if explanation else (str(error),)
    return Verdict(subject, Status.FAILED, error.reason, lines)


def _verify_content(extra: Mapping[str, Json], day: VerifiedDay, subject: str) -> Verdict:
    kind = extra["type"]
    tenant_proof = b64decode(_text(extra, "tenant_proof"))
    map_root = day.record.map_root
    cosigners = ", ".join(name for name, _ in day.policy.cosigned_by)
    witnessed = f"Cosigned by {cosigners}" if cosigners else _UNWITNESSED
    split_view = "" if day.policy.split_view_excluded else ": a split view of the log is not excluded"
    facts: dict[str, Json] = {
        "day": day.record.day.isoformat(),
        "index": str(day.record.index),
        "key": day.policy.log_key.vkey,
        "origin": day.record.origin,
        "type": str(kind),
    }
    signed = f"Signed by {day.policy.log_key.fingerprint}. {witnessed}{split_view}."
    if kind == ABSENCE_PROOF:
        tenant_id = _text(extra, "tenant_id")
        _require("tenant_id", tenant_id, TENANT_ID_SYNTAX)
        verify_absence(map_root, tenant_key(tenant_id), tenant_proof)
        line = (
            f"{tenant_id} was not a tenant on {day.record.day}: the day's tenant map of {day.record.origin} lacks it."
        )
        return Verdict(subject, Status.VERIFIED, "ok", (line, signed), {**facts, "tenant": tenant_id})
    record_text = _text(extra, "tenant_record").encode()
    record = TenantDay.parse(record_text)
    facts["tenant_key"] = record.key.hex()
    event = _parse_event(extra["event"]) if kind == EVENT_PROOF else None
    key = tenant_key(event.tenant_id) if event else record.key
    if record.day != day.record.day or record.key != key:
        raise VerificationError("tenant-record", "the tenant-day record is that of another day or tenant")
    verify_presence(map_root, key, hashlib.sha256(record_text).digest(), tenant_proof)
    check_agreement(record, day.record.breaks)
    if event is None:
        line = (
            f"on {record.day} the tenant with the key {record.key.hex()} had {record.count} event(s) from seq "
            f"{record.first} on."
        )
        return _with_breaks(Verdict(subject, Status.VERIFIED, "ok", (line, signed), facts), record)
    _verify_event(extra["event"], event, record)
    withheld = "" if event.payload_salt is not None else " Its payload is withheld or erased."
    line = (
        f"event {event.event_id} ({event.action} by {excerpt(event.actor_id)}) is number {event.seq} of "
        f"tenant {event.tenant_id}, recorded at {event.recorded_at.isoformat()}, in the record of {record.day} of "
        f"{day.record.origin}.{withheld}"
    )
    facts |= {"event_id": event.event_id, "seq": str(event.seq), "tenant": event.tenant_id}
    return _with_breaks(Verdict(subject, Status.VERIFIED, "ok", (line, signed), facts), record)


def check_agreement(record: TenantDay, day_breaks: int) -> None:
    """Check what a tenant-day record has to say of itself, whatever the rows were: else ``tenant-record``."""
    if record.breaks > day_breaks:
        raise VerificationError("tenant-record", "the tenant-day record has more breaks than its day record declares")
    if record.breaks == 0 and record.next != record.first + record.count:
        raise VerificationError("tenant-record", "the tenant-day record's count does not fit its first and next")
    idle = record.root == EMPTY_ROOT and (record.breaks > 0 or record.head_after == record.head_before)
    if record.count == 0 and not idle:
        raise VerificationError("tenant-record", "the tenant-day record of an idle day has a root or a new head")


def _verify_event(value: Json, event: Event, record: TenantDay) -> None:
    fields = _object(value, {"fields", "index", "path", "payload"}, "event")
    index = parse_decimal(_text(fields, "index"))
    verify_inclusion(event_leaf(event.integrity_hash), index, record.count, _hashes(fields, "path"), record.root)
    if event_integrity_hash(event) != event.integrity_hash:
        raise VerificationError("integrity-hash", f"event {event.event_id} was altered: its integrity_hash differs")
    if event_payload_hash(event) not in (None, event.payload_hash):
        raise VerificationError("payload-hash", f"the payload of event {event.event_id} was altered")
    if record.breaks == 0:
        _check_place(event, index, record)


def _check_place(event: Event, index: int, record: TenantDay) -> None:
    """Where chains are intact, an event's number, time and links are those of its position in the day."""
    fits = (
        event.seq == record.first + index
        and event.recorded_at.date() == record.day
        and (index > 0 or event.prev_hash == record.head_before)
        and (index < record.count - 1 or event.integrity_hash == record.head_after)
    )
    if not fits:
        raise VerificationError(
            "event-place", f"event {event.event_id} has a seq, time or link that its place in the day does not have"
        )


def _with_breaks(verdict: Verdict, record: TenantDay) -> Verdict:
    if record.breaks == 0:
        return verdict
    line = f"Finding: the day was sealed with {record.breaks} declared break(s) in this tenant's chain."
    return Verdict(verdict.subject, Status.FAILED, "declared-break", (*verdict.lines, line), verdict.facts)


def _parse_extra(proof: TlogProof) -> Mapping[str, Json]:
    if proof.extra is None:
        raise VerificationError("malformed", "the proof has no extra line, so it does not say what it proves")
    value = parse_canonical_json(proof.extra, MAX_PROOF_SIZE)
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise EncodingError("the extra data is of no type that this version knows")
    return _object(value, _FIELDS[kind], kind)


def _parse_event(value: Json) -> Event:
    parts = _object(value, {"fields", "index", "path", "payload"}, "event")
    columns = dict(_object(parts["fields"], {*CORE_COLUMNS, *HASH_COLUMNS}, "event fields"))
    if parts["payload"] is None:
        columns |= dict.fromkeys(PAYLOAD_COLUMNS)
    else:
        columns |= _object(parts["payload"], set(PAYLOAD_COLUMNS), "event payload")
        _text(columns, "payload_salt")
    # These are shown to people as they are, so they must be what they claim to be, whoever signed them.
    for name, syntax in (("tenant_id", TENANT_ID_SYNTAX), ("event_id", EVENT_ID_SYNTAX), ("action", ACTION_SYNTAX)):
        _require(name, _text(columns, name), syntax)
    for name, choices in (("outcome", OUTCOMES), ("actor_type", ACTOR_TYPES)):
        if _text(columns, name) not in choices:
            raise EncodingError(f"{name}: one of {', '.join(choices)} is expected")
    _check_texts([text for name in TEXT_COLUMNS if isinstance(text := columns[name], str)])
    return Event(
        tenant_id=_text(columns, "tenant_id"),
        seq=parse_decimal(_text(columns, "seq")),
        event_id=_text(columns, "event_id"),
        recorded_at=_time(columns, "recorded_at"),
        occurred_at=_time(columns, "occurred_at"),
        action=_text(columns, "action"),
        entity_type=_text(columns, "entity_type"),
        entity_id=_text(columns, "entity_id"),
        outcome=_text(columns, "outcome"),
        actor_type=_text(columns, "actor_type"),
        actor_id=_text(columns, "actor_id"),
        auth_method=_optional(columns, "auth_method"),
        actor_name=_optional(columns, "actor_name"),
        ip=_optional(columns, "ip"),
        user_agent=_optional(columns, "user_agent"),
        request_id=_optional(columns, "request_id"),
        before_state=_optional(columns, "before_state"),
        after_state=_optional(columns, "after_state"),
        payload_salt=None if columns["payload_salt"] is None else hex_decode(_text(columns, "payload_salt"), 16),
        payload_hash=hex_decode(_text(columns, "payload_hash"), 32),
        prev_hash=hex_decode(_text(columns, "prev_hash"), 32),
        integrity_hash=hex_decode(_text(columns, "integrity_hash"), 32),
    )


def _check_texts(texts: Sequence[str]) -> None:
    sizes = [len(text.encode()) for text in texts]
    if max(sizes) > MAX_TEXT_BYTES or sum(sizes) > MAX_EVENT_BYTES or any("\0" in text for text in texts):
        raise EncodingError("a text column is too long, or holds U+0000")


def _require(name: str, text: str, syntax: re.Pattern[str]) -> None:
    if not syntax.fullmatch(text):
        raise EncodingError(f"{name}: {excerpt(text)} does not have its form")


def _object(value: Json, names: set[str], what: str) -> Mapping[str, Json]:
    if not isinstance(value, dict) or set(value) != names:
        raise EncodingError(f"{what}: an object with exactly the fields {', '.join(sorted(names))} is expected")
    return value


def _text(value: Mapping[str, Json], name: str) -> str:
    text = value[name]
    if not isinstance(text, str):
        raise EncodingError(f"{name}: text is expected")
    return text


def _optional(value: Mapping[str, Json], name: str) -> str | None:
    return None if value[name] is None and name in NULLABLE_COLUMNS else _text(value, name)


def _time(value: Mapping[str, Json], name: str) -> datetime:
    return parse_timestamp(_text(value, name))


def _hashes(value: Mapping[str, Json], name: str) -> list[bytes]:
    items = value[name]
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise EncodingError(f"{name}: a list of hashes is expected")
    return [b64decode(item, 32) for item in items if isinstance(item, str)]
