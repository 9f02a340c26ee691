"""What the entries of a log say, one after the other: the rules that hold between them, and what they add up to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from transparency.entries import DayRecord, Genesis, day_index
from transparency.errors import EntryError, TileError, VerificationError
from transparency.keys import VerifierKey
from transparency.rotation import Takeover
from transparency.tiles import TileReader


@dataclass(slots=True)
class History:
    """A genesis and the day records read so far. What does not follow the rules is a VerificationError.

    ``takeovers`` are the log keys that records announced, in order, ``evidence_takeovers`` the evidence keys.
    """

    genesis: Genesis
    last: DayRecord | None = None
    breaks: int = 0
    broken_days: list[date] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)
    evidence_takeovers: list[Takeover] = field(default_factory=list)

    @classmethod
    def resumed(cls, genesis: Genesis, last: DayRecord | None, takeovers: Sequence[Takeover]) -> "History":
        """Go on after ``last`` with the log keys that took over so far, in order.

        What breaks there were is gone, and of evidence keys that were announced before nothing is known.
        """
        return cls(genesis, last, takeovers=list(takeovers))

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
        for takeovers, key in ((self.takeovers, record.next_key), (self.evidence_takeovers, record.next_evidence_key)):
            if takeovers and takeovers[-1].begun is None:
                takeovers[-1] = Takeover(takeovers[-1].key, takeovers[-1].announced, record.sealed.date())
            if key is not None:
                takeovers.append(Takeover(key, record.day, None))

    def check_signers(self, signers: Sequence[VerifierKey]) -> None:
        """Check that one of the trusted keys that signed the checkpoint was the log's to sign with.

        That is the genesis key, or one that a record announced: valid from the next record on, so not the last one's.
        No announcement ends a key: a reader who has stopped trusting one takes it out of the policy.
        """
        in_force = [self.genesis.key, *(takeover.key for takeover in self.takeovers if takeover.begun is not None)]
        if not any(key in in_force for key in signers):
            raise VerificationError(
                "log-key",
                f"the checkpoint is signed by {', '.join(key.vkey for key in signers)}, which is neither the first key "
                "of the log nor announced by a record before its last",
            )


def read_history(
    tree: TileReader,
    origin: str,
    progress: Callable[[int], None] | None = None,
    on_record: Callable[[DayRecord], None] | None = None,
) -> History:
    """Read every entry of a tree, checked against its root and against the rules for a log that is called ``origin``.

    ``progress`` is told how many entries are done; ``on_record`` gets each day record once it is checked. Who signed
    the root is not looked at here. Whatever is wrong is a VerificationError; what can't be fetched is the error of who
    fetches.
    """
    if tree.size == 0:
        raise VerificationError("genesis", f"the log {origin} is empty: it has no genesis")
    entries = read_entries(tree, 0)
    history = History(check_genesis(next(entries), origin))
    for index, entry in enumerate(entries, start=1):
        record = check_record(entry, index, history.genesis)
        history.add(record)
        if on_record is not None:
            on_record(record)
        if progress is not None:
            progress(index)
    return history


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


def read_entries(tree: TileReader, start: int) -> Iterator[bytes]:
    """Yield all entries from ``start`` on; whatever is wrong with a tile or bundle fails the verification."""
    try:
        yield from tree.read_entries(start, tree.size)
    except TileError as error:
        raise VerificationError("tile", str(error)) from None
