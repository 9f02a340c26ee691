"""What the entries of a log have to be: each by itself and in its place, and one after the other.

The rules are those of docs/formats.md, "Verifying a whole log". The reasons: ``genesis``, ``genesis-origin``,
``day-record``, ``day-origin``, ``day-index``, ``day-sealed``, ``log-key``.
"""

from collections.abc import Sequence
from datetime import date

from transparency.entries import DayRecord, Genesis, day_index
from transparency.errors import EntryError, VerificationError
from transparency.keys import VerifierKey


class History:
    """What the entries read so far say: the rules that hold between them, and what they add up to.

    ``last`` is the newest day record, None while there is only the genesis. ``log_keys`` and ``evidence_keys`` are
    those of the genesis and then the announced ones, in order; ``breaks`` and ``broken_days`` are what this object
    was given.
    """

    def __init__(
        self,
        genesis: Genesis,
        *,
        last: DayRecord | None = None,
        log_keys: Sequence[VerifierKey] = (),
        evidence_keys: Sequence[VerifierKey] = (),
    ) -> None:
        """Begin with the genesis, or go on after ``last``; the keys are then those of a history that came this far."""
        self.genesis = genesis
        self.last = last
        self.breaks = 0
        self.broken_days: list[date] = []
        self.log_keys = list(log_keys) or [genesis.key]
        self.evidence_keys = list(evidence_keys) or [genesis.evidence_key]

    def add(self, record: DayRecord) -> None:
        """Take the next day record, already checked by itself."""
        if self.last is not None and record.sealed < self.last.sealed:
            raise VerificationError(
                "day-sealed", f"the record of {record.day} was sealed before that of {self.last.day}, the day before"
            )
        self.last = record
        if record.breaks:
            self.breaks += record.breaks
            self.broken_days.append(record.day)
        if record.next_key is not None:
            self.log_keys.append(record.next_key)
        if record.next_evidence_key is not None:
            self.evidence_keys.append(record.next_evidence_key)

    def check_signers(self, signers: Sequence[VerifierKey]) -> None:
        """Check that one of the trusted keys that signed the checkpoint was the log's to sign with.

        That is the genesis key, or one that a record announced: valid from the next record on, so not the last one's.
        No announcement ends a key: a reader who has stopped trusting one takes it out of the policy.
        """
        announced_last = self.last is not None and self.last.next_key is not None
        in_force = self.log_keys[:-1] if announced_last else self.log_keys
        if not any(key in in_force for key in signers):
            raise VerificationError(
                "log-key",
                f"the checkpoint is signed by {', '.join(key.vkey for key in signers)}, which is neither the first key "
                "of the log nor announced by a record before its last",
            )


def check_genesis(entry: bytes, origin: str) -> Genesis:
    """Read entry 0 of a log that calls itself ``origin``."""
    try:
        genesis = Genesis.parse(entry)
    except EntryError as error:
        raise VerificationError("genesis", f"the genesis of {origin}: {error}") from None
    if genesis.origin != origin:
        raise VerificationError("genesis-origin", f"the genesis is of the log {genesis.origin}, not of {origin}")
    return genesis


def check_record(entry: bytes, index: int, genesis: Genesis) -> DayRecord:
    """Read the entry at ``index``: it must be the record of the one day that belongs there."""
    try:
        record = DayRecord.parse(entry)
    except EntryError as error:
        raise VerificationError("day-record", f"entry {index} of {genesis.origin}: {error}") from None
    if record.origin != genesis.origin:
        raise VerificationError(
            "day-origin", f"the record at index {index} is of the log {record.origin}, not of {genesis.origin}"
        )
    if record.index != index:
        raise VerificationError("day-index", f"the record of {record.day} at index {index} says index {record.index}")
    if record.day < genesis.first_day or index != day_index(genesis.first_day, record.day):
        raise VerificationError(
            "day-index",
            f"the record at index {index} is of {record.day}, which is not day {index} of a log that starts on "
            f"{genesis.first_day}",
        )
    return record
