"""The verdict on an evidence bundle, as ``lumi verify`` gives it (docs/formats.md section 9, "Checks")."""

import hashlib
import os
from collections.abc import Callable
from io import BufferedIOBase
from pathlib import Path
from typing import Final

from lumi_pipeline.evidence.ahead import ahead
from lumi_pipeline.evidence.bundlefiles import (
    EVENTS,
    NAMES,
    PROOFS,
    SIGNATURE,
    SUMMED,
    SUMS,
    VKEY,
    Bundle,
    Unrecognised,
    open_bundle,
    read_whole,
)
from lumi_pipeline.evidence.csvblocks import read_events
from lumi_pipeline.evidence.csvform import RESAVED, CsvFault
from lumi_pipeline.evidence.daychecks import check_days
from lumi_pipeline.evidence.proofsfile import parse_evidence
from lumi_pipeline.evidence.readertrust import ReaderTrust, reader_trust
from lumi_pipeline.evidence.rowchecks import RowChecker
from lumi_pipeline.evidence.wording import CheckedBundle, verdict_on
from lumi_pipeline.verdict import Status, Verdict
from transparency.errors import FormatError, VerificationError
from transparency.keys import VerifierKey
from transparency.note import parse_note, signatures_by, verify_note
from transparency.policy import Policy

Progress = Callable[[int, int], None]
"""Told how many rows were checked, and of how many."""

_PORTION: Final = 1 << 20


def judge_bundle(path: Path, policy: Policy | None, subject: str = "", progress: Progress | None = None) -> Verdict:
    """Verify a bundle: a folder, a ZIP file, or one of the two main files in a folder.

    ``policy`` is whom the reader trusts; without a key of the log in it the best verdict is "consistent, key
    unconfirmed". Raises what the operating system raises when something can't be read.
    """
    subject = subject or str(path)
    if not os.path.lexists(path):
        return Verdict(subject, Status.UNRECOGNISED, "missing", (f"{path} is not there.",))
    try:
        with open_bundle(path) as bundle:
            try:
                checked = _check(bundle, policy, progress)
            except (Unrecognised, VerificationError, FormatError, CsvFault):
                bundle.check_rest()  # that it is damaged comes first, whatever was found in what could be read
                raise
    except Unrecognised as error:
        return Verdict(subject, Status.UNRECOGNISED, "unrecognised", (f"{error}.",))
    except VerificationError as error:
        return Verdict(subject, Status.FAILED, error.reason, (str(error),))
    except FormatError as error:
        return Verdict(subject, Status.FAILED, "malformed", (f"{subject} is an evidence bundle, but damaged: {error}",))
    except CsvFault as error:
        return Verdict(subject, Status.FAILED, error.reason, (_explained(error),))
    return verdict_on(checked, subject)


def _check(bundle: Bundle, policy: Policy | None, progress: Progress | None) -> CheckedBundle:
    data = read_whole(bundle, PROOFS) if PROOFS in bundle.names() else None
    if data is not None and b"lumi/evidence/" not in data:
        raise Unrecognised(f"its {PROOFS} is not that of a bundle")
    missing = sorted(NAMES - bundle.names())
    if missing or data is None:
        raise VerificationError("missing-file", f"{', '.join(missing)} is missing")
    evidence = parse_evidence(data)
    trust = reader_trust(policy, evidence, read_whole(bundle, VKEY))
    days = check_days(evidence, trust.policy)
    checker = RowChecker(evidence.tenant_id, days.days)
    total = sum(day.record.count for day in days.days if day.record is not None)
    with bundle.open(EVENTS) as opened:
        file = _Hashed(opened)
        for table in ahead(read_events(file, bundle.size(EVENTS))):
            checker.add(table)
            if progress is not None:
                progress(checker.findings.rows, total)
    findings = checker.finish()
    findings.check()
    _check_sums(bundle, file.digest())
    signers = _check_signature(bundle, trust)
    return CheckedBundle(evidence, trust, days, findings, signers, bundle.others)


class _Hashed:
    """A file whose SHA-256 is computed while it is read."""

    def __init__(self, file: BufferedIOBase) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def readinto(self, buffer: memoryview, /) -> int:
        """Read at most as many bytes as the buffer has; return how many they are."""
        read = self._file.readinto(buffer)
        self._digest.update(buffer[:read])
        return read

    def digest(self) -> str:
        """Return the SHA-256 of all that was read, in hexadecimal."""
        return self._digest.hexdigest()


def _check_sums(bundle: Bundle, events: str) -> None:
    stated = read_whole(bundle, SUMS)
    digests = {name: _sha256(bundle, name) for name in SUMMED if name != EVENTS}
    expected = "".join(f"{digest}  {name}\n" for name, digest in sorted({**digests, EVENTS: events}.items()))
    if stated == expected.encode():
        return
    lines = stated.decode("utf-8", errors="replace").split("\n")
    named = {line[:64] for line in lines if line[64:] == f"  {EVENTS}" and _is_digest(line[:64])}
    if named and events not in named:
        raise VerificationError(
            RESAVED, f"every row verifies, but {EVENTS} is another file than was signed: a program saved it again"
        )
    wrong = [name for name, digest in digests.items() if f"{digest}  {name}" not in lines]
    what = f"{wrong[0]} was altered, or its line there" if wrong else "it is not in form"
    raise VerificationError("checksums", f"{SUMS} does not fit the files: {what}")


def _is_digest(text: str) -> bool:
    return len(text) == 64 and all(character in "0123456789abcdef" for character in text)


def _sha256(bundle: Bundle, name: str) -> str:
    digest = hashlib.sha256()
    with bundle.open(name) as file:
        while portion := file.read(_PORTION):
            digest.update(portion)
    return digest.hexdigest()


def _check_signature(bundle: Bundle, trust: ReaderTrust) -> tuple[VerifierKey, ...]:
    """Check the signature of the sums; return the evidence keys that made it."""
    try:
        note = parse_note(read_whole(bundle, SIGNATURE))
        if note.text.encode() != read_whole(bundle, SUMS):
            raise VerificationError("bundle-signature", f"{SIGNATURE} signs another text than {SUMS}")
        if not signatures_by(note, trust.evidence_keys):
            signers = ", ".join(signature.name for signature in note.signatures)
            raise VerificationError(
                "evidence-key",
                f"{SUMS} is signed by a key that is none of the log's evidence keys known here ({signers}); if the key "
                "was replaced, give the new one with --key",
            )
        return tuple(verify_note(note, trust.evidence_keys))
    except FormatError as error:
        raise VerificationError("bundle-signature", f"{SIGNATURE}: {error}") from None
    except VerificationError as error:
        reason = "bundle-signature" if error.reason == "note-signature" else error.reason
        raise VerificationError(reason, str(error)) from None


def _explained(fault: CsvFault) -> str:
    if fault.reason == RESAVED:
        return (
            f"{EVENTS} was saved again by a spreadsheet or another program ({fault}), so it is no longer the file that "
            "was signed. Get a fresh copy; looking at it does no harm, saving it does."
        )
    return f"{EVENTS} is not in form: {fault}"
