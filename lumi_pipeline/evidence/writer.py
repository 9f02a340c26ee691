"""Writing an evidence bundle: streamed, verified as an auditor would, and only then put where it belongs."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from lumi_pipeline.errors import EvidenceError
from lumi_pipeline.evidence.ahead import ahead
from lumi_pipeline.evidence.basis import Basis
from lumi_pipeline.evidence.bundlefiles import (
    EVENTS,
    PAGE,
    PROOFS,
    README,
    SCRIPT,
    SIGNATURE,
    SUMMED,
    SUMS,
    UNSIGNED,
    VKEY,
)
from lumi_pipeline.evidence.cells import HEADER, LineWriter
from lumi_pipeline.evidence.dayproofs import LogProofs, day_evidence, evidence_json
from lumi_pipeline.evidence.period import Asked, chain_id_of, check_not_pruned, check_period
from lumi_pipeline.evidence.readme import DayCount, Run, readme
from lumi_pipeline.evidence.rowstream import DayRows
from lumi_pipeline.evidence.signing import sign_sums, sums_text
from lumi_pipeline.evidence.workfolder import put_in_place, working_folder
from lumi_pipeline.evidence.zipping import write_zip
from lumi_pipeline.lake import Lake
from lumi_pipeline.pages import verifier_page
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.rewritten import check_rewritten_day
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.verdict import Status, Verdict
from transparency.encoding import Json
from transparency.keys import VerifierKey

Progress = Callable[[int], None]
"""Told how many more rows are written."""

Judge = Callable[[Path], Verdict]
"""Verifies a bundle as an auditor would."""


@dataclass(frozen=True, slots=True)
class BundleReport:
    """What was written, where, and what its verification said."""

    path: Path
    rows: int
    days: int
    size: int
    verdict: Verdict


def write_bundle(
    pipeline: Pipeline,
    asked: Asked,
    out: Path,
    judge: Judge,
    *,
    zipped: bool = False,
    progress: Progress | None = None,
    run: Run | None = None,
) -> BundleReport:
    """Write the bundle that is asked for into the directory ``out``, which is made if it isn't there.

    It has its name only once ``judge`` has found it to verify, declared breaks aside. A crash before leaves a folder
    whose name begins with a dot, which the next run for the same bundle clears; two runs at once don't share it. Raises
    :class:`~lumi_pipeline.errors.EvidenceError` when the period can't be proved, something of that name is there
    already, or the bundle does not verify, and what reading the lake raises.
    """
    basis = Basis.of(pipeline, run)
    check_period(asked, basis.genesis, pipeline.sealed_days()[: basis.checkpoint.checkpoint.size - 1])
    unsigned = UnsignedBundle(pipeline.lake, basis, asked)
    target = out / (f"{asked.name}.zip" if zipped else asked.name)
    with working_folder(target, asked.name) as folder:
        written = unsigned.write(folder, progress)
        (folder / SIGNATURE).write_bytes(sign_sums(written.digests, pipeline.evidence_keys()))
        made = folder
        if zipped:
            made = folder / f"{asked.name}.zip"
            write_zip(folder, (*UNSIGNED, SIGNATURE), made)
        verdict = judge(made)
        check_made(verdict)
        size = sum(file.stat().st_size for file in ([made] if zipped else made.iterdir()))
        put_in_place(made, target)
    return BundleReport(target, written.rows, written.days, size, verdict)


def check_made(verdict: Verdict) -> None:
    """Raise :class:`~lumi_pipeline.errors.EvidenceError` for a bundle that was just made and does not verify."""
    if not is_sound(verdict):
        raise EvidenceError(f"the evidence does not verify, so it was not written: {' '.join(verdict.lines)}")


def is_sound(verdict: Verdict) -> bool:
    """Whether it verifies; breaks that were declared are a finding of the auditor's and no fault of the bundle."""
    return verdict.status is Status.VERIFIED or verdict.reason == "declared-break"


@dataclass(frozen=True, slots=True)
class Written:
    """How many rows and days were written, and the SHA-256 of each file, in hexadecimal."""

    rows: int
    days: int
    digests: Mapping[str, str]


class UnsignedBundle:
    """A bundle but for its signature; for that it takes nothing but the lake.

    Raises :class:`~lumi_pipeline.errors.EvidenceError` when events of the period were pruned, or nobody knows the
    tenant. Whether the period can be proved is for :func:`~lumi_pipeline.evidence.period.check_period` to say.
    """

    def __init__(self, lake: Lake, basis: Basis, asked: Asked) -> None:
        check_not_pruned(lake, asked)
        self._chain_id = chain_id_of(lake, asked.tenant_id, basis.last_day)
        self._log = LogProofs(lake, basis.genesis, basis.checkpoint)
        self._lake = lake
        self._basis = basis
        self._asked = asked

    def write(self, folder: Path, progress: Progress | None = None) -> Written:
        """Write every file but ``SHA256SUMS.sig`` into an empty folder."""
        basis, log = self._basis, self._log
        counts, events = self._write_events(folder, progress)
        fingerprint = basis.log_key.fingerprint
        (folder / README).write_bytes(readme(self._asked, basis.run, log.checkpoint, fingerprint, counts))
        for name, data in fixed_files(basis.log_key).items():
            (folder / name).write_bytes(data)
        # What was written to events.csv is not read again for this: what is there then is read by who verifies it.
        others = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in SUMMED if name != EVENTS}
        digests = {**others, EVENTS: events}
        (folder / SUMS).write_bytes(sums_text(digests).encode())
        return Written(sum(count.rows or 0 for count in counts), len(counts), digests)

    def _write_events(self, folder: Path, progress: Progress | None) -> tuple[list[DayCount], str]:
        """Write ``events.csv`` and ``evidence.json``, one day after the other.

        Returns the days' counts, and the SHA-256 of what was written to ``events.csv``.
        """
        asked = self._asked
        counts: list[DayCount] = []
        digest = hashlib.sha256(HEADER)
        days: list[Mapping[str, Json]] = []
        with LineWriter() as writer, (folder / EVENTS).open("xb") as file:
            file.write(HEADER)
            for day in asked.days():
                sealed = load_sealed_day(self._lake, day)
                check_rewritten_day(self._lake, sealed)
                rows = DayRows(self._lake, sealed, asked.tenant_id)
                for table in ahead(rows.tables()):
                    for lines in writer.lines(table):
                        digest.update(lines)
                        file.write(lines)
                    if progress is not None:
                        progress(len(table))
                days.append(day_evidence(self._log, sealed, asked.tenant_id, rows.breaks))
                tenant = sealed.tenants.tenants.get(asked.tenant_id)
                counts.append(
                    DayCount(day, tenant.record.count, tenant.record.breaks) if tenant else DayCount(day, None, 0)
                )
        (folder / PROOFS).write_bytes(evidence_json(asked, self._chain_id, self._log, days))
        return counts, digest.hexdigest()


def fixed_files(log_key: VerifierKey) -> Mapping[str, bytes]:
    """The files that are the same in every bundle of a log, whoever makes it with this version."""
    return {VKEY: f"{log_key.vkey}\n".encode(), PAGE: verifier_page(), SCRIPT: standalone_verifier()}


def standalone_verifier() -> bytes:
    """Return ``verify.py``."""
    return files("lumi_pipeline.evidence").joinpath("standalone", SCRIPT).read_bytes()
