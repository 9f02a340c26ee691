"""Verifying the days of a bundle up to the log's key, before any row is looked at (docs/formats.md section 9)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from lumi_pipeline.days import day_end, day_range
from lumi_pipeline.errors import RecordError
from lumi_pipeline.evidence.proofsfile import Evidence, EvidenceDay
from lumi_pipeline.hashing import genesis_hash, tenant_key
from lumi_pipeline.proofs import check_agreement
from lumi_pipeline.records import TenantDay
from transparency.checkpoint import Checkpoint, parse_signed_checkpoint
from transparency.entries import DayRecord, day_index
from transparency.errors import FormatError, VerificationError
from transparency.merkle import leaf_hash, verify_inclusion
from transparency.patricia import verify_absence, verify_presence
from transparency.policy import Policy, PolicyVerdict, evaluate
from transparency.verify import VerifiedGenesis, verify_day_record, verify_genesis


@dataclass(frozen=True, slots=True)
class CheckedDay:
    """A day that the log holds: the tenant's record of it, if any, and when a witness first signed for it.

    ``cosigned`` is the earliest time (POSIX seconds) at which a trusted witness had signed its first checkpoint.
    """

    day: date
    record: TenantDay | None
    declared: tuple[tuple[int, str], ...]
    cosigned: int | None

    @property
    def delay(self) -> int | None:
        """Seconds from the end of the day to that time; below zero where a witness's clock says so."""
        return None if self.cosigned is None else self.cosigned - day_end(self.day) // 1_000_000


@dataclass(frozen=True, slots=True)
class CheckedDays:
    """All days, with the checkpoint that they were held against and how it stands under the reader's policy."""

    checkpoint: Checkpoint
    policy: PolicyVerdict
    days: tuple[CheckedDay, ...]


def check_days(evidence: Evidence, policy: Policy) -> CheckedDays:
    """Verify every day; VerificationError names the first check that fails, FormatError is malformed content."""
    start = _check_start(evidence, policy)
    # Their number first: the file is short, and a period may be of ten thousand years.
    count = (evidence.last - evidence.first).days + 1
    if not 0 < count == len(evidence.days) or any(
        day.day != expected
        for day, expected in zip(evidence.days, day_range(evidence.first, evidence.last), strict=True)
    ):
        raise VerificationError(
            "day-list", f"the days are not those from {evidence.first} to {evidence.last}, each once and in order"
        )
    chain = _Chain(evidence)
    checked = []
    sealed: datetime | None = None
    for day in evidence.days:
        logged = _check_record(start, day)
        if sealed is not None and logged.sealed < sealed:
            raise VerificationError("day-sealed", f"{day.day} was sealed before the day before it was")
        sealed = logged.sealed
        cosigned = _check_first(start, policy, day)
        record = _check_tenant(evidence, day, logged)
        chain.follow(day.day, record)
        checked.append(CheckedDay(day.day, record, day.breaks, cosigned))
    return CheckedDays(start.checkpoint, start.policy, tuple(checked))


def _check_start(evidence: Evidence, policy: Policy) -> VerifiedGenesis:
    """Check what holds for all days, once, as signatures take time: the latest checkpoint and the genesis."""
    try:
        start = verify_genesis(policy, evidence.checkpoint, evidence.genesis_text, evidence.genesis_path)
    except VerificationError as error:
        if error.reason == "genesis-key":  # the last check there: by then the checkpoint is of the genesis's log
            _check_origin(evidence, evidence.genesis.origin)
        raise
    _check_origin(evidence, start.checkpoint.origin)
    return start


def _check_origin(evidence: Evidence, origin: str) -> None:
    if evidence.origin != origin:
        raise VerificationError("genesis-origin", f"the evidence says it is of another log than {origin}")


def _check_record(start: VerifiedGenesis, day: EvidenceDay) -> DayRecord:
    if day.day < start.genesis.first_day:
        raise VerificationError("day-inclusion", f"{day.day} is before the log's first day")
    return verify_day_record(start, day.day_record, day_index(start.genesis.first_day, day.day), day.path)


def _check_first(start: VerifiedGenesis, policy: Policy, day: EvidenceDay) -> int | None:
    """Check the first checkpoint of a day; return when (POSIX seconds) a trusted witness had signed it."""
    latest = start.checkpoint
    index = day_index(start.genesis.first_day, day.day)
    try:
        signed = parse_signed_checkpoint(day.first_checkpoint)
        first = signed.checkpoint
        verdict = evaluate(policy, signed, require_quorum=False)
        if first.origin != latest.origin or first.size > latest.size:
            raise VerificationError("first-checkpoint", "it is of another log, or larger than the latest")
        if first.size == latest.size and first.root != latest.root:
            raise VerificationError("first-checkpoint", "it has the latest one's size and another root")
        verify_inclusion(leaf_hash(day.day_record), index, first.size, day.first_path, first.root)
    except (VerificationError, FormatError) as error:
        raise VerificationError("first-checkpoint", f"the first checkpoint of {day.day}: {error}") from None
    return min((time for _, time in verdict.cosigned_by), default=None)


def _check_tenant(evidence: Evidence, day: EvidenceDay, record: DayRecord) -> TenantDay | None:
    key = tenant_key(evidence.tenant_id)
    if day.tenant_record is None:
        verify_absence(record.map_root, key, day.tenant_proof)
        return None
    try:
        tenant = TenantDay.parse(day.tenant_record)
    except RecordError as error:
        raise VerificationError("malformed", f"the tenant-day record of {day.day}: {error}") from None
    if tenant.day != day.day or tenant.key != key:
        raise VerificationError("tenant-record", f"the tenant-day record of {day.day} is of another day or tenant")
    verify_presence(record.map_root, key, hashlib.sha256(day.tenant_record).digest(), day.tenant_proof)
    check_agreement(tenant, record.breaks)
    if tenant.next < tenant.first:
        raise VerificationError("tenant-record", f"the tenant-day record of {day.day} ends before it begins")
    return tenant


class _Chain:
    """A tenant's records follow one another, and the first of all begins with the tenant's genesis hash."""

    def __init__(self, evidence: Evidence) -> None:
        self._start = genesis_hash(evidence.tenant_id, evidence.chain_id)
        self._last: TenantDay | None = None
        self._absent = False

    def follow(self, day: date, record: TenantDay | None) -> None:
        if record is None:
            if self._last is not None:
                raise _chain_error(day, "the tenant has a record of an earlier day, so it has one of this day")
            self._absent = True
            return
        if self._last is None:
            if self._absent and record.first != 0:
                raise _chain_error(day, "the tenant's first record does not begin with seq 0")
        elif (record.first, record.head_before) != (self._last.next, self._last.head_after):
            raise _chain_error(day, "the record does not continue that of the day before")
        if record.first == 0 and record.head_before != self._start:
            raise _chain_error(day, "the tenant's chain does not begin with the genesis hash of its chain_id")
        self._last = record


def _chain_error(day: date, why: str) -> VerificationError:
    return VerificationError("tenant-chain", f"{day}: {why}")


def breaks_declared(days: Sequence[CheckedDay]) -> list[CheckedDay]:
    """The days whose records declare breaks."""
    return [day for day in days if day.record is not None and day.record.breaks]
