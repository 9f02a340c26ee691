"""Receipts: what became of a batch, one line of canonical JSON each, every line naming the one before by its SHA-256.

A file of receipts ends in a note signed with the evidence key over the number of lines and the last one's SHA-256
(docs/formats.md section 8). Lines are numbered through all files of a destination, so one that is left out shows.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from typing import Final

from lumi_pipeline.errors import LedgerError
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import json_count
from lumi_pipeline.siem.destination import Outcome
from lumi_pipeline.siem.evidencekeys import EvidenceKeys
from lumi_pipeline.siem.journal import Journal, Overtaken, first_of
from lumi_pipeline.siem.ledger import Delivery
from lumi_pipeline.siem.ledgerbook import RECEIPT_TYPE, LedgerBook
from lumi_pipeline.siem.loading import Loaded
from lumi_pipeline.siem.plans import TenantShare
from transparency.encoding import Json, excerpt, format_timestamp, parse_canonical_json
from transparency.errors import EncodingError
from transparency.note import sign_note

NOTE_TAG: Final = "lumi/receipts/v1"
MAX_LINE: Final = 1 << 22
FIRST_PREV: Final = "0" * 64
_PER_FILE: Final = 10_000


def delivered(destination: str, delivery: Delivery, loaded: Loaded, outcome: Outcome, at: datetime) -> dict[str, Json]:
    """The receipt of a batch that was delivered; number, link and type are added when it is written."""
    return {
        **_batch(destination, delivery, loaded, at),
        "assurance": outcome.assurance.value if outcome.assurance else "received",
        "facts": dict(outcome.facts),
        "outcome": "delivered",
        "possible_duplicate": delivery.duplicates,
        "request_id": outcome.request_id,
        "restamped": loaded.restamped,
        "status": outcome.status,
    }


def quarantined(
    destination: str, delivery: Delivery, event: tuple[str, int, str], reason: str, at: datetime
) -> dict[str, Json]:
    """The receipt of one event that the destination does not take."""
    tenant_id, seq, event_id = event
    return {
        "at": format_timestamp(at),
        "destination": destination,
        "event_id": event_id,
        "events": "1",
        "key": str(delivery.key),
        "outcome": "quarantined",
        "ranges": [[tenant_id, str(seq), str(seq), "1"]],
        "reason": reason,
    }


def discarded(
    destination: str, delivery: Delivery, event: tuple[str, int, str], reason: str, at: datetime
) -> dict[str, Json]:
    """The receipt of a quarantined event that somebody gave up."""
    return {**quarantined(destination, delivery, event, reason, at), "outcome": "discarded"}


def given_up(
    destination: str, delivery: Delivery, shares: Sequence[TenantShare], reason: str, at: datetime
) -> dict[str, Json]:
    """The receipt of a blocked batch, or slice of one, that somebody gave up."""
    return {
        "at": format_timestamp(at),
        "destination": destination,
        "events": str(delivery.key.count),
        "key": str(delivery.key),
        "outcome": "discarded",
        "ranges": [[t.tenant_id, str(t.first), str(t.last), str(t.count)] for t in shares],
        "reason": reason,
    }


def _batch(destination: str, delivery: Delivery, loaded: Loaded, at: datetime) -> dict[str, Json]:
    outgoing = loaded.outgoing
    ranges: list[Json] = [[t.tenant_id, str(t.first), str(t.last), str(t.count)] for t in loaded.tenants]
    return {
        "at": format_timestamp(at),
        "attempts": delivery.attempts,
        "batch": outgoing.batch_id,
        "day": outgoing.day.isoformat(),
        "delivery": outgoing.delivery_id,
        "destination": destination,
        "events": str(outgoing.count),
        "key": str(delivery.key),
        "lane": delivery.lane,
        "omitted": loaded.omitted,
        "payload_sha256": outgoing.body_sha256,
        "quiet": loaded.quiet,
        "ranges": ranges,
        "since": format_timestamp(delivery.since),
    }


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """A file of receipts: its lines, and the note that closes it, unverified."""

    lines: tuple[str, ...]
    note: bytes

    @classmethod
    def parse(cls, data: bytes) -> "ReceiptFile":
        """Read a file; :class:`~lumi_pipeline.errors.LedgerError` unless it is lines of JSON and a note."""
        start = 0
        lines = []
        while data.startswith(b"{", start):
            end = data.find(b"\n", start)
            if end < 0:
                raise LedgerError("its last line does not end")
            try:
                lines.append(data[start:end].decode())
            except UnicodeDecodeError:
                raise LedgerError(f"line {len(lines) + 1} is not UTF-8") from None
            start = end + 1
        if not lines or not data.startswith(NOTE_TAG.encode(), start):
            raise LedgerError(f"it is not lines of receipts and a {NOTE_TAG} note")
        return cls(tuple(lines), data[start:])


def parse_receipt(line: str) -> dict[str, Json]:
    """Read one line; :class:`~lumi_pipeline.errors.LedgerError` when it is not canonical JSON or no receipt."""
    try:
        value = parse_canonical_json(line.encode(), MAX_LINE)
    except EncodingError as error:
        raise LedgerError(f"a receipt is not canonical JSON: {error}") from None
    if not isinstance(value, dict) or value.get("type") != RECEIPT_TYPE:
        raise LedgerError(f"{excerpt(line)} is no receipt")
    return value


def line_hash(line: str) -> str:
    """What the next line names this one by."""
    return hashlib.sha256(line.encode()).hexdigest()


def note_text(destination: str, lines: Sequence[str]) -> str:
    """The text that closes a file of receipts."""
    return f"{NOTE_TAG}\n{destination}\n{len(lines)}\n{line_hash(lines[-1])}\n"


class ReceiptBook:
    """The files of one destination's receipts: ``siem/<destination>/receipts/<n>.jsonl``.

    Whatever is read from them was verified: the note at a file's end is signed by one of the evidence ``keys``, and
    each line that is handed out is linked to it, and to the line before.
    """

    def __init__(self, lake: Lake, destination: str, keys: EvidenceKeys) -> None:
        self.journal = Journal(lake.store, f"siem/{destination}/receipts/", ".jsonl")
        self._destination = destination
        self._keys = keys

    def write(self, ledger: LedgerBook) -> int:
        """Write those of the ledger's receipts that no file has yet; return the number of lines.

        A crash before leaves them in the ledger, from where the next run takes them.
        """
        number, first = self.end()
        written = 0
        pending = list(ledger.receipts_since(first))
        while pending:
            lines, pending = pending[:_PER_FILE], pending[_PER_FILE:]
            note = sign_note(note_text(self._destination, lines), self._keys.signing())
            data = "".join(f"{line}\n" for line in lines).encode() + note
            try:
                self.journal.append(number, data)
            except Overtaken:
                return written  # another run wrote them meanwhile; the same lines, perhaps more
            number, written = number + 1, written + len(lines)
        return written

    def end(self) -> tuple[int, int]:
        """The number of the next file, and that of its first receipt."""
        found = self.last()
        return (0, 0) if found is None else (found[0] + 1, json_count(found[1]["number"]) + 1)

    def last(self) -> tuple[int, dict[str, Json]] | None:
        """The number of the last file, and its last receipt; None without any."""
        last = self.journal.last()
        return None if last is None else (last, parse_receipt(self.read(last).lines[-1]))

    def filed(self, start: int) -> Iterator[tuple[str, dict[str, Json]]]:
        """Yield the receipts of all files from a file on, as lines and as what they say."""
        return self._linked(self._lines(start))

    def about(self, ledger: LedgerBook, plan: int) -> Iterator[dict[str, Json]]:
        """Yield the receipts of a ledger, also those that no file has yet, from the first that may be about a plan on.

        Raises :class:`~lumi_pipeline.errors.LedgerError` where one does not follow the one before, so that an event
        whose receipt is gone is not taken for one that was never sent.
        """
        start, before = ledger.receipts_before(plan)
        (files, filed), previous = self.end(), before or FIRST_PREV
        file = max(first_of(files, lambda number: self._first(number) > start) - 1, 0)
        skipped = start - self._first(file) if file < files and start < filed else 0
        lines = chain(self._lines(file) if start < filed else (), ledger.receipts_since(max(start, filed)))
        number = start
        for line, receipt in islice(self._linked(lines), skipped, skipped + ledger.ledger.receipts - start):
            if json_count(receipt["number"]) != number or (number == start and receipt["prev"] != previous):
                raise self._broken(number)
            number, previous = number + 1, line_hash(line)
            yield receipt
        if previous != (ledger.ledger.last_receipt or FIRST_PREV):
            raise self._broken(number)

    def read(self, number: int) -> ReceiptFile:
        """Return a file that there was; :class:`~lumi_pipeline.errors.LedgerError` unless it is as it was signed."""
        key = self.journal.key(number)
        data = self.journal.find(number)
        if data is None:
            raise LedgerError(f"{key} is gone; restore it from a backup")
        try:
            file = ReceiptFile.parse(data)
            self._keys.check(file.note, note_text(self._destination, file.lines))
        except LedgerError as error:
            raise LedgerError(f"{key}: {error}; keep it, and restore the file from a backup") from None
        return file

    def _first(self, number: int) -> int:
        """The number of a file's first receipt."""
        return json_count(parse_receipt(self.read(number).lines[0])["number"])

    def _lines(self, start: int = 0) -> Iterator[str]:
        last = self.journal.last()
        for number in range(start, 0 if last is None else last + 1):
            yield from self.read(number).lines

    def _linked(self, lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Json]]]:
        """Check that each line follows the one before."""
        expected: tuple[int, str] | None = None
        for line in lines:
            receipt = parse_receipt(line)
            number = json_count(receipt["number"])
            if expected not in {None, (number, receipt["prev"])}:
                raise self._broken(number if expected is None else expected[0])
            expected = (number + 1, line_hash(line))
            yield line, receipt

    def _broken(self, number: int) -> LedgerError:
        return LedgerError(
            f"{self._destination}: receipt {number} does not follow the one before it; a file under "
            f"{self.journal.prefix} is gone or was altered: restore it from a backup"
        )
