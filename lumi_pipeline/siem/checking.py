"""Verification of receipts and statements, by whoever holds the evidence key's vkey; nothing else is needed."""

from collections.abc import Mapping, Sequence
from typing import Final

from lumi_pipeline.errors import LedgerError, RecordError
from lumi_pipeline.records import json_count
from lumi_pipeline.siem.ledgerbook import RECEIPT_TYPE
from lumi_pipeline.siem.receipts import MAX_LINE, NOTE_TAG, ReceiptFile, line_hash, note_text
from lumi_pipeline.siem.statements import STATEMENT_TYPE
from lumi_pipeline.verdict import Status, Verdict
from transparency.encoding import Json, excerpt, parse_canonical_json
from transparency.errors import EncodingError, NoteError, VerificationError
from transparency.keys import VerifierKey
from transparency.note import Note, parse_note, signatures_by, verify_note

UNKNOWN_SIGNER: Final = "note-unknown"


def looks_like_receipts(data: bytes) -> bool:
    """Whether a file claims to be lines of receipts or a statement, closed by their note."""
    return data.startswith(b"{") and f"\n{NOTE_TAG}\n".encode() in data


def verify_receipts(data: bytes, keys: Sequence[VerifierKey] | None, subject: str) -> Verdict:
    """Judge a file of receipts, or a statement. Without keys the best verdict is "consistent, key unconfirmed"."""
    try:
        file = ReceiptFile.parse(data)
        lines = [_parse(line) for line in file.lines]
        destination = _linked(file.lines, lines)
        note = parse_note(file.note)
        if note.text != note_text(destination, file.lines):
            return _failed(subject, "note-text", "the note at its end is about other lines than these")
        facts = _facts(destination, lines)
        if keys is None:
            return Verdict(subject, Status.INCOMPLETE, "key-unconfirmed", _unconfirmed(note, facts), facts)
        if not signatures_by(note, keys):
            return _failed(subject, UNKNOWN_SIGNER, _unknown(note, keys))
        signer = verify_note(note, keys)[0]
    except VerificationError as error:
        return _failed(subject, error.reason, str(error))
    except (LedgerError, RecordError, NoteError, EncodingError) as error:
        return _failed(subject, "malformed", f"it is no file of receipts as this software writes them: {error}")
    return Verdict(subject, Status.VERIFIED, "ok", (*_told(facts), f"Signed by {signer.vkey}."), facts)


def _parse(line: str) -> Mapping[str, Json]:
    try:
        value = parse_canonical_json(line.encode(), MAX_LINE)
    except EncodingError as error:
        raise LedgerError(f"a line is not canonical JSON: {error}") from None
    if not isinstance(value, dict) or value.get("type") not in {RECEIPT_TYPE, STATEMENT_TYPE}:
        raise LedgerError(f"{excerpt(line)} is neither a receipt nor a statement")
    return value


def _linked(texts: Sequence[str], lines: Sequence[Mapping[str, Json]]) -> str:
    """Check that each line names the one before, in number and digest; return the destination that all are about."""
    names = {str(line.get("destination")) for line in lines}
    if len(names) != 1:
        raise LedgerError("its lines are about several destinations")
    for i in range(1, len(lines)):
        if lines[i].get("prev") != line_hash(texts[i - 1]):
            reason = f"line {i + 1} does not follow line {i}: one was altered or taken out"
            raise VerificationError("receipt-chain", reason)
        if json_count(lines[i].get("number")) != json_count(lines[i - 1].get("number")) + 1:
            raise VerificationError("receipt-chain", f"line {i + 1} does not have the number after that of line {i}")
    return names.pop()


def _facts(destination: str, lines: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    first, last = lines[0], lines[-1]
    if first["type"] == STATEMENT_TYPE:
        names = ("at", "complete", "delivered", "from", "landed_through", "open", "possible_duplicates", "quarantined")
        more = ("rows", "sealed", "tenant", "to", "unaccounted")
        return {"destination": destination, **{name: first.get(name) for name in (*names, *more)}}
    counts = {"delivered": 0, "quarantined": 0, "discarded": 0}
    duplicates = 0
    for line in lines:
        outcome, events = str(line.get("outcome")), json_count(line.get("events"))
        if outcome not in counts:
            raise LedgerError(f"{excerpt(outcome)} is no outcome")
        counts[outcome] += events
        duplicates += events if line.get("possible_duplicate") is True else 0
    return {
        "destination": destination,
        "first": first.get("number"),
        "last": last.get("number"),
        "possible_duplicates": str(duplicates),
        "prev": first.get("prev"),
        "receipts": str(len(lines)),
        **{name: str(count) for name, count in counts.items()},
    }


def _told(facts: Mapping[str, Json]) -> tuple[str, ...]:
    if "receipts" not in facts:
        return _stated(facts)
    what = f"Receipts {facts['first']} to {facts['last']} of {facts['destination']}"
    there = f"{facts['delivered']} events delivered, {facts['possible_duplicates']} of them possibly twice"
    return (
        f"{what}: {there}; {facts['quarantined']} put aside, {facts['discarded']} given up.",
        f"They follow the receipt with the SHA-256 {facts['prev']}.",
    )


def _stated(facts: Mapping[str, Json]) -> tuple[str, ...]:
    whose = f" of tenant {facts['tenant']}" if facts["tenant"] else ""
    period = f"{facts['destination']}, {facts['from']} to {facts['to']}{whose}"
    state = "complete" if facts["complete"] is True else "NOT complete"
    there = f"{facts['delivered']} delivered, {facts['possible_duplicates']} of them possibly twice"
    left = f"{facts['quarantined']} put aside, {facts['open']} under way, {facts['unaccounted']} unaccounted for"
    closed = "every day was sealed" if facts["sealed"] is True else "not every day was sealed, so more rows could come"
    return (
        f"Statement of {facts['at']} about {period}: {state}.",
        f"Of {facts['rows']} rows {there}; {left}.",
        f"Landed through {facts['landed_through'] or 'nothing'}; {closed}.",
    )


def _unconfirmed(note: Note, facts: Mapping[str, Json]) -> tuple[str, ...]:
    return (
        *_told(facts),
        f"Consistent, but no trusted key was given, so anybody could have made this. It names {_signers(note)}.",
        "Pass --key with the vkey of the evidence key.",
    )


def _signers(note: Note) -> str:
    return ", ".join(f"{signature.name} ({signature.key_id.hex()})" for signature in note.signatures)


def _unknown(note: Note, keys: Sequence[VerifierKey]) -> str:
    said = f"it is not signed by a trusted key, but by {_signers(note)}"
    names = {signature.name for signature in note.signatures}
    namesake = next((key for key in keys if key.name in names), None)
    if namesake is None:
        return said
    return (
        f"{said}. The key you trust, {namesake.vkey}, is another one of that name: if the log has replaced its "
        "evidence key, its day records say so, and its operator gives you the other one"
    )


def _failed(subject: str, reason: str, line: str) -> Verdict:
    return Verdict(subject, Status.FAILED, reason, (line,))
