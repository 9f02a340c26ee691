"""Hourly digests: the receipts of a destination become an event of the operator's own chain, and so part of the log.

What a digest covers is fixed first (``siem/<destination>/digests/<n>.json``, created only if absent), then the event is
recorded under an id that follows from it, then that is noted. A crash in between leaves a digest that the next run
records, once. Receipts of nothing but digests make no digest, so that an idle system stays silent.
"""

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lumi_pipeline.catalogue import RECEIPTS_DIGESTED
from lumi_pipeline.errors import DuplicateEvent
from lumi_pipeline.events import uuid8
from lumi_pipeline.lake import Lake
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.recorder import AuditRecorder
from lumi_pipeline.records import json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from lumi_pipeline.siem.evidencekeys import EvidenceKeys
from lumi_pipeline.siem.journal import Journal, Overtaken
from lumi_pipeline.siem.receipts import ReceiptBook, line_hash
from transparency.encoding import Json, format_timestamp, parse_timestamp

DIGEST_FORMAT: Final = "lumi/siem-digest/v1"
EVERY: Final = timedelta(hours=1)
_FIELDS: Final = frozenset(
    {"at", "count", "delivered", "destination", "file", "first", "last_sha256", "possible_duplicates", "quarantined"}
)


@dataclass(frozen=True, slots=True)
class Digester:
    """Digests the receipts of one destination into the operator's chain."""

    lake: Lake
    outbox: Callable[[], Outbox]
    destination: str
    keys: EvidenceKeys
    operator_tenant: str
    clock: Callable[[], datetime]

    def digest(self) -> str | None:
        """Record a digest if one is due; return the event's id, or None."""
        made = Journal(self.lake.store, f"siem/{self.destination}/digests/")
        noted = Journal(self.lake.store, f"siem/{self.destination}/digested/")
        last, done = made.last(), noted.last()
        if last is not None and (done is None or done < last):
            return self._record(made.read(last), noted, last)
        file, since = 0, None
        if last is not None:
            found = parse_sealed(DIGEST_FORMAT, made.read(last), _FIELDS, made.key(last))
            file, since = json_count(found["file"]), parse_timestamp(json_text(found["at"]))
        now = self.clock()
        if since is not None and now - since < EVERY:
            return None
        fields = self._summed(file, now)
        if fields is None:
            return None
        number = 0 if last is None else last + 1
        data = encode_sealed(DIGEST_FORMAT, fields)
        try:
            made.append(number, data)
        except Overtaken:
            return None  # another run has fixed this digest, and records it
        return self._record(data, noted, number)

    def _summed(self, file: int, now: datetime) -> dict[str, Json] | None:
        """What a digest of the files from ``file`` on says; None where there is nothing to say."""
        book = ReceiptBook(self.lake, self.destination, self.keys)
        after, _ = book.end()
        if after <= file:
            return None
        count = delivered = quarantined = duplicates = 0
        first, last, quiet = "", "", True
        for line, receipt in book.filed(file):
            events = json_count(receipt["events"])
            count, last, first = count + 1, line, first or json_text(receipt["number"])
            quiet &= receipt.get("quiet") is True
            if receipt["outcome"] == "delivered":
                delivered += events
                duplicates += events if receipt["possible_duplicate"] is True else 0
            elif receipt["outcome"] == "quarantined":
                quarantined += events
        if quiet:
            return None
        return {
            "at": format_timestamp(now),
            "count": str(count),
            "delivered": str(delivered),
            "destination": self.destination,
            "file": str(after),
            "first": first,
            "last_sha256": line_hash(last),
            "possible_duplicates": str(duplicates),
            "quarantined": str(quarantined),
        }

    def _record(self, data: bytes, noted: Journal, number: int) -> str:
        event_id = uuid8(hashlib.sha256(data).digest())
        fields = parse_sealed(DIGEST_FORMAT, data, _FIELDS, f"digest {number} of {self.destination}")
        outbox = self.outbox()
        with closing(outbox.connect()) as connection, outbox.explained():
            try:
                AuditRecorder(connection, clock=self.clock).record(
                    event_id=event_id,
                    tenant_id=self.operator_tenant,
                    action=RECEIPTS_DIGESTED,
                    entity_type="receipts",
                    entity_id=self.destination,
                    actor_type="system",
                    actor_id="lumi-pipeline",
                    after_state={name: str(value) for name, value in sorted(fields.items())},
                )
            except DuplicateEvent:
                connection.rollback()  # recorded by a run that died before it could note that
            else:
                connection.commit()
        # A crash before this: the next run finds the event recorded.
        noted.append(number, event_id.encode())
        return event_id
