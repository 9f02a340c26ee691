"""Verifying the days of a bundle up to the log's key, before any row is looked at (docs/formats.md section 9)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from lumi_pipeline.days import day_end, day_range
from lumi_pipeline.errors import RecordError
from lumi_pipeline.events import from_micros
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
from transparency.verify import VerifiedDay, verify_day_inclusion


@dataclass(frozen=True, slots=True)
class CheckedDay:
    """A day that the log holds: the tenant's record of it, if any, and when a witness first signed for it.

    ``cosigned`` is the earliest time at which a trusted witness had signed a checkpoint with the day in it.
    """

    day: date
    record: TenantDay | None
    declared: tuple[tuple[int, str], ...]
    cosigned: datetime | None

    @property
    def delay(self) -> timedelta | None:
        """From the end of the day to that time."""
        return None if self.cosigned is None else self.cosigned - from_micros(day_end(self.day))


@dataclass(frozen=True, slots=True)
class CheckedDays:
    """All days, with the checkpoint that they were held against and how it stands under the reader's policy."""

    checkpoint: Checkpoint
    policy: PolicyVerdict
    days: tuple[CheckedDay, ...]


def check_days(evidence: Evidence, policy: Policy) -> CheckedDays:
    """Verify every day; VerificationError names the first check that fails, FormatError is malformed content."""
    head = _check_head(evidence, policy)
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
        verified = _check_log(evidence, policy, day)
        if sealed is not None and verified.record.sealed < sealed:
            raise VerificationError("day-sealed", f"{day.day} was sealed before the day before it was")
        sealed = verified.record.sealed
        cosigned = _check_first(evidence, policy, day, head.checkpoint)
        record = _check_tenant(evidence, day, verified.record)
        chain.follow(day.day, record)
        checked.append(CheckedDay(day.day, record, day.breaks, cosigned))
    return CheckedDays(head.checkpoint, head.policy, tuple(checked))


@dataclass(frozen=True, slots=True)
class _Head:
    checkpoint: Checkpoint
    policy: PolicyVerdict


def _check_head(evidence: Evidence, policy: Policy) -> _Head:
    """The latest checkpoint and the genesis: what holds for all days, also where there are none."""
    try:
        signed = parse_signed_checkpoint(evidence.checkpoint)
    except FormatError as error:
        raise VerificationError("checkpoint-format", str(error)) from None
    verdict = evaluate(policy, signed)
    head = signed.checkpoint
    try:
        verify_inclusion(leaf_hash(evidence.genesis_text), 0, head.size, evidence.genesis_path, head.root)
    except VerificationError as error:
        raise VerificationError("genesis-inclusion", f"the genesis is not entry 0 of {head.origin}: {error}") from None
    if evidence.genesis.origin != head.origin or evidence.origin != head.origin:
        raise VerificationError("genesis-origin", f"the genesis or the origin is not of the log {head.origin}")
    if evidence.genesis.key not in policy.pinned_keys(head.origin):
        raise VerificationError(
            "genesis-key",
            f"the log began with the key {evidence.genesis.key.vkey}, which is not trusted; if the log has replaced "
            "its key, trust the old one as well",
        )
    return _Head(head, verdict)


def _check_log(evidence: Evidence, policy: Policy, day: EvidenceDay) -> VerifiedDay:
    if day.day < evidence.genesis.first_day:
        raise VerificationError("day-inclusion", f"{day.day} is before the log's first day")
    index = day_index(evidence.genesis.first_day, day.day)
    verified = verify_day_inclusion(
        policy, evidence.checkpoint, evidence.genesis_text, evidence.genesis_path, day.day_record, index, day.path
    )
    if verified.record.day != day.day:
        raise VerificationError("day-index", f"the record at the index of {day.day} is that of {verified.record.day}")
    return verified


def _check_first(evidence: Evidence, policy: Policy, day: EvidenceDay, latest: Checkpoint) -> datetime | None:
    """Check the first checkpoint of a day; return when a trusted witness had signed it."""
    index = day_index(evidence.genesis.first_day, day.day)
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
    times = [time for _, time in verdict.cosigned_by]
    return datetime.fromtimestamp(min(times), UTC) if times else None


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
