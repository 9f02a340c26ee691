"""Logs of days that grow as a test wants them: late records, declared breaks, other histories, witnesses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

from transparency.checkpoint import parse_signed_checkpoint
from transparency.cosignature import cosign, merge_cosignatures
from transparency.entries import DayRecord, Genesis, evidence_key_name
from transparency.keys import ALG_COSIGNATURE, SigningKey
from transparency.log import Log
from transparency.memorystore import MemoryStore
from transparency.note import format_note
from transparency.store import ObjectStore

ORIGIN = "audit.example.com/lumi"
KEY = SigningKey(ORIGIN, b"\x01" * 32)
NEXT_KEY = SigningKey(ORIGIN, b"\x02" * 32)
EVIDENCE_KEY = SigningKey(evidence_key_name(ORIGIN), b"\x03" * 32)
WITNESSES = (
    SigningKey("witness.example.org/w1", b"\x05" * 32, ALG_COSIGNATURE),
    SigningKey("north.example.net/witness", b"\x06" * 32, ALG_COSIGNATURE),
)
PROMPT = timedelta(minutes=15, seconds=3)
"""How long after the day's end a record is sealed that is not late."""


class DayLog:
    """A log that is published in ``store`` and grows day by day, signed with ``keys`` and cosigned by ``witnesses``.

    ``history`` is hashed into every record: two logs of different history are two histories of one name.
    """

    def __init__(
        self,
        first_day: date,
        store: ObjectStore | None = None,
        *,
        history: str = "",
        keys: Sequence[SigningKey] = (KEY,),
        witnesses: Sequence[SigningKey] = (),
    ) -> None:
        self.store = MemoryStore() if store is None else store
        self.keys = list(keys)
        self.witnesses = list(witnesses)
        self.history = history
        self.genesis = Genesis(ORIGIN, first_day, KEY.verifier, EVIDENCE_KEY.verifier)
        self.size = 0

    @property
    def last_day(self) -> date:
        """The day of the last record."""
        return self.genesis.first_day + timedelta(days=self.size - 2)

    def record(self, number: int, /, **change: Any) -> DayRecord:  # noqa: ANN401
        """The record at this index."""
        day = self.genesis.first_day + timedelta(days=number - 1)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        root, manifest = (sha256(f"{kind} {self.history} {day}".encode()).digest() for kind in ("map", "manifest"))
        return replace(DayRecord(ORIGIN, day, number, root, manifest, 0, midnight + PROMPT), **change)

    def grow(self, days: int, changes: Mapping[int, Mapping[str, Any]] | None = None) -> bytes:
        """Append so many day records, in one append; ``changes`` are those of single records, by index.

        Returns the signed checkpoint.
        """
        first = max(self.size, 1)
        records = [self.record(number, **(changes or {}).get(number, {})) for number in range(first, first + days)]
        entries = [record.encode() for record in records]
        self.append([] if self.size else [self.genesis.encode()], entries)
        return self.checkpoint

    def append(self, *groups: Sequence[bytes]) -> None:
        """Append entries as they are."""
        entries = [entry for group in groups for entry in group]
        log = Log(self.store, self.keys, cosign=self._cosign)
        self.size = log.append(entries).committed_size

    @property
    def checkpoint(self) -> bytes:
        """The signed checkpoint as it is public."""
        return self.store.get("log/checkpoint")

    @property
    def files(self) -> dict[str, bytes]:
        """Every public file, by its path below the log's address."""
        return {key.removeprefix("log/"): self.store.get(key) for key in self.store.list("log/")}

    def _cosign(self, signed: bytes) -> bytes:
        if not self.witnesses:
            return signed
        parsed = parse_signed_checkpoint(signed)
        time = int(self.record(max(parsed.checkpoint.size - 1, 1)).sealed.timestamp()) + 5
        lines = [cosign(parsed.checkpoint, witness, time + 2 * i) for i, witness in enumerate(self.witnesses)]
        return format_note(merge_cosignatures(parsed.note, lines))
