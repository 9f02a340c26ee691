"""Whom the reader of a bundle believes: keys of the log, of evidence and of witnesses (docs/formats.md section 9)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from lumi_pipeline.evidence.proofsfile import Evidence
from transparency.checkpoint import parse_signed_checkpoint
from transparency.entries import DayRecord, evidence_key_name
from transparency.errors import FormatError
from transparency.keys import ALG_ED25519, VerifierKey
from transparency.policy import Policy


@dataclass(frozen=True, slots=True)
class ReaderTrust:
    """The policy that checkpoints are held against, the evidence keys, and whether the log's key is the reader's own.

    ``confirmed`` false: the bundle's own claims stand in for a key, which shows contradictions and no more.
    """

    policy: Policy
    evidence_keys: tuple[VerifierKey, ...]
    confirmed: bool


def reader_trust(given: Policy | None, evidence: Evidence, vkey_file: bytes) -> ReaderTrust:
    """Sort out what the reader brought, and find what stands in for a log key that was not."""
    policy = given or Policy(())
    try:
        origin = parse_signed_checkpoint(evidence.checkpoint).checkpoint.origin
    except FormatError:
        origin = evidence.genesis.origin  # the checkpoint is refused soon, for a reason of its own
    own = evidence_key_name(origin)
    announced = _announced(evidence)
    evidence_keys = (
        evidence.genesis.evidence_key,
        *(record.next_evidence_key for record in announced if record.next_evidence_key is not None),
        *policy.pinned_keys(own),
    )
    log_keys = tuple(key for key in policy.log_keys if key.name != own)
    if log_keys:
        return ReaderTrust(replace(policy, log_keys=log_keys), evidence_keys, confirmed=True)
    claimed = (
        evidence.genesis.key,
        *(record.next_key for record in announced if record.next_key is not None),
        *(key for key in _vkeys(vkey_file) if key.name == origin),
    )
    return ReaderTrust(replace(policy, log_keys=tuple(dict.fromkeys(claimed))), evidence_keys, confirmed=False)


def _announced(evidence: Evidence) -> list[DayRecord]:
    """The day records, as far as they are in form; they are verified later, each with its day."""
    found = []
    for day in evidence.days:
        try:
            found.append(DayRecord.parse(day.day_record))
        except FormatError:
            continue
    return found


def _vkeys(data: bytes) -> Iterable[VerifierKey]:
    for line in data.decode("utf-8", errors="replace").split("\n"):
        try:
            key = VerifierKey.parse(line)
        except FormatError:
            continue
        if key.algorithm == ALG_ED25519:
            yield key
