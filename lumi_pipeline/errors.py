"""Errors of the domain, as branches of the one tree that :mod:`transparency.errors` roots.

Each message says what is wrong, where, and what to do next; the command line prints it and nothing more. Every class
survives pickling with its attributes, because Dagster runs steps in processes of their own.
"""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from transparency.errors import LumiError

if TYPE_CHECKING:
    from lumi_pipeline.chain import Break

__all__ = [
    "AnalystError",
    "ChainBroken",
    "ClockAhead",
    "ComputeError",
    "ConcurrentRun",
    "ConfigError",
    "DrillError",
    "DuplicateEvent",
    "ErasureError",
    "EventRejected",
    "ForkedOutbox",
    "ImportFailed",
    "LakeError",
    "LandingError",
    "LeaseHeld",
    "LedgerError",
    "LumiError",
    "OutboxError",
    "OutboxLocked",
    "OutboxMissing",
    "OutboxNotInitialised",
    "OutboxTampered",
    "ProofNotFound",
    "RecordError",
    "RecorderError",
    "ReplacedOutbox",
    "RewoundOutbox",
    "SealError",
    "SiemError",
    "TimeRefused",
    "UnfinishedErasure",
    "UnfinishedLanding",
    "WitnessesMissing",
]


class ConfigError(LumiError):
    """A setting that is unknown, malformed, missing or contradicts another; the message names it and its source."""


class OutboxError(LumiError):
    """The outbox cannot be used as asked."""


class OutboxMissing(OutboxError):
    """There is no database where the configuration says the outbox is."""


class OutboxNotInitialised(OutboxError):
    """The database exists but does not hold our tables in the form this version knows."""


class OutboxLocked(OutboxError):
    """Another transaction holds what was needed for longer than we were willing to wait. Trying again is right."""


class OutboxTampered(OutboxError):
    """A stored value that no recorder writes: text that is not UTF-8, a wrong type, a time outside 0001 to 9999."""


class RecorderError(LumiError):
    """An event was not recorded. Nothing of the call remains in the caller's transaction, which stays usable."""


class EventRejected(RecorderError):
    """A value that an event cannot hold. ``column`` names it; the message gives the reason and the limit."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column

    def __reduce__(self) -> tuple[type["EventRejected"], tuple[str, str]]:
        """Pickle with both arguments."""
        return type(self), (self.column, str(self))


class DuplicateEvent(RecorderError):
    """An event with this ``event_id`` is already in the outbox, or twice in one call."""

    def __init__(self, event_id: str, message: str) -> None:
        super().__init__(message)
        self.event_id = event_id

    def __reduce__(self) -> tuple[type["DuplicateEvent"], tuple[str, str]]:
        """Pickle with both arguments."""
        return type(self), (self.event_id, str(self))


class ClockAhead(RecorderError):
    """The recorder's clock is more than a minute ahead of the database's; its times would be wrong for good."""


class TimeRefused(RecorderError):
    """An explicit ``recorded_at`` that is in the future, before the tenant's last event, or in a closed day."""


class ImportFailed(LumiError):
    """A file of records could not be brought in; the message names the file and, where there is one, the line."""


class LakeError(LumiError):
    """A file of the lake is missing, unreadable, or not what its commit object or manifest says."""


class ErasureError(LumiError):
    """An erasure or a legal hold can't be carried out as asked; the message says what to do first."""


class UnfinishedErasure(ErasureError):
    """An erasure was ordered and is not carried out everywhere; it was interrupted, or what was erased came back."""


class PruneError(LumiError):
    """Days can't be pruned as asked; the message says what to do first."""


class UnfinishedPruning(PruneError):
    """Rows were to leave and are still there; a pruning was interrupted, or what was pruned came back."""


class RecordError(LakeError):
    """A tenant-day record, manifest, landing or acknowledgement that is not exactly in form."""


class LandingError(LumiError):
    """The outbox could not be landed."""


class UnfinishedLanding(LandingError):
    """Landed files without a commit object: a landing is under way or was interrupted, or its commit object is lost."""


class ReplacedOutbox(LandingError):
    """The database is not the one that was landed before (another identity): restored, replaced or misconfigured."""


class RewoundOutbox(LandingError):
    """A chain head is behind what was already landed, or carries another hash there: rewound or rewritten."""

    def __init__(self, tenant_id: str, seq: int, message: str) -> None:
        super().__init__(message)
        self.tenant_id = tenant_id
        self.seq = seq

    def __reduce__(self) -> tuple[type["RewoundOutbox"], tuple[str, int, str]]:
        """Pickle with all three arguments."""
        return type(self), (self.tenant_id, self.seq, str(self))


class ForkedOutbox(LandingError):
    """Rows have to be taken out of the outbox and recorded again before it can be accepted; nobody has asked for that.

    What was repaired before this was found stays repaired.
    """


class ConcurrentRun(LumiError):
    """Another run committed the same landing or day first. Nothing of ours counts; the next run carries on."""


class ErasureMeanwhile(ConcurrentRun):
    """An erasure went on since the rows were read that were about to be written. Nothing of them counts."""

    def __init__(self) -> None:
        super().__init__("an erasure went on meanwhile; run again to carry on with what it leaves")


class ChainBroken(LumiError):
    """Day ``day`` holds chain breaks that nobody has acknowledged, so it is not sealed.

    ``breaks`` lists them all and ``report_sha256`` (lower-case hex) identifies exactly this report: an
    acknowledgement accepts the report of that hash and nothing that happens later.
    """

    def __init__(self, day: date, breaks: "Sequence[Break]", report_sha256: str, message: str) -> None:
        super().__init__(message)
        self.day = day
        self.breaks = tuple(breaks)
        self.report_sha256 = report_sha256

    def __reduce__(self) -> "tuple[type[ChainBroken], tuple[date, tuple[Break, ...], str, str]]":
        """Pickle with all arguments."""
        return type(self), (self.day, self.breaks, self.report_sha256, str(self))


class ComputeError(LumiError):
    """The workers that were to do heavy work can't be had, or died of it again and again."""


class SealError(LumiError):
    """A day cannot be sealed as asked: not over yet, out of order, or its stored files do not match its record."""


class WitnessesMissing(LumiError):
    """A checkpoint did not get the cosignatures that the policy asks for, so it is not public. Try again."""


class ProofNotFound(LumiError):
    """There is nothing to prove it from: unknown event, or its day is not sealed and published yet."""


class DrillError(LumiError):
    """A tamper drill can't be held, because there is nothing it could show; the message says what to do first."""


class EvidenceError(LumiError):
    """Evidence can't be given as asked, or what was made does not verify; the message says what to correct."""


class AnalystError(LumiError):
    """The analyst database is missing, is of another lake, or can't do what was asked; the message says what to do."""


class QuestionError(AnalystError):
    """A question that nobody can answer as it is put: an unknown name, a value of no use, a cursor that is none."""


class SiemError(LumiError):
    """Delivery to a destination can't be planned, done or judged as asked; the message says what to correct."""


class LedgerError(SiemError):
    """A plan or the ledger of a destination is not what this software writes, or contradicts itself."""


class LeaseHeld(SiemError):
    """Another process delivers to this destination right now. Nothing is wrong: it will do the work."""
