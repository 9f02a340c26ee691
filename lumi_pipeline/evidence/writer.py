"""Writing an evidence bundle: streamed, verified as an auditor would, and only then put where it belongs."""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from lumi_pipeline.errors import EvidenceError
from lumi_pipeline.evidence.ahead import ahead
from lumi_pipeline.evidence.bundlefiles import EVENTS, PAGE, PROOFS, README, SCRIPT, SIGNATURE, SUMMED, SUMS, VKEY
from lumi_pipeline.evidence.cells import HEADER, LineWriter
from lumi_pipeline.evidence.dayproofs import LogProofs, day_evidence, evidence_json
from lumi_pipeline.evidence.period import Asked, chain_id_of, check_not_pruned, check_period
from lumi_pipeline.evidence.readme import DayCount, Run, readme
from lumi_pipeline.evidence.rowstream import DayRows
from lumi_pipeline.evidence.workfolder import put_in_place, working_folder
from lumi_pipeline.evidence.zipping import write_zip
from lumi_pipeline.pages import verifier_page
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.rewritten import check_rewritten_day
from lumi_pipeline.rotation import Role
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.verdict import Status, Verdict
from transparency.encoding import Json
from transparency.keys import SigningKey
from transparency.note import sign_note

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
) -> BundleReport:
    """Write the bundle that is asked for into the directory ``out``, which is made if it isn't there.

    It has its name only once ``judge`` has found it to verify, declared breaks aside. A crash before leaves a folder
    whose name begins with a dot, which the next run for the same bundle clears; two runs at once don't share it. Raises
    :class:`~lumi_pipeline.errors.EvidenceError` when the period can't be proved, something of that name is there
    already, or the bundle does not verify, and what reading the lake raises.
    """
    genesis = pipeline.genesis()
    if genesis is None:
        raise EvidenceError("nothing is sealed yet; 'lumi run' seals and publishes every complete day")
    log = LogProofs(pipeline.lake, genesis)
    published = pipeline.sealed_days()[: log.checkpoint.size - 1]
    check_period(asked, genesis, published)
    check_not_pruned(pipeline.lake, asked)
    chain_id = chain_id_of(pipeline.lake, asked.tenant_id, published[-1])
    target = out / (f"{asked.name}.zip" if zipped else asked.name)
    with working_folder(target, asked.name) as folder:
        counts, digest = _write_events(pipeline, asked, chain_id, log, folder, progress)
        run = Run(secrets.token_hex(8), pipeline.clock())
        log_key = pipeline.keyring.files[Role.LOG].current().verifier
        (folder / README).write_bytes(readme(asked, run, log.checkpoint, log_key.fingerprint, counts))
        (folder / VKEY).write_bytes(f"{log_key.vkey}\n".encode())
        (folder / PAGE).write_bytes(verifier_page())
        (folder / SCRIPT).write_bytes(standalone_verifier())
        _sign(folder, digest, pipeline.evidence_keys())
        made = folder
        if zipped:
            made = folder / f"{asked.name}.zip"
            write_zip(folder, sorted((*SUMMED, SUMS, SIGNATURE)), made)
        verdict = judge(made)
        if verdict.status is not Status.VERIFIED and verdict.reason != "declared-break":
            raise EvidenceError(f"the evidence does not verify, so it was not written: {' '.join(verdict.lines)}")
        size = sum(file.stat().st_size for file in ([made] if zipped else made.iterdir()))
        put_in_place(made, target)
    return BundleReport(target, sum(count.rows or 0 for count in counts), len(counts), size, verdict)


def standalone_verifier() -> bytes:
    """Return ``verify.py``."""
    return files("lumi_pipeline.evidence").joinpath("standalone", SCRIPT).read_bytes()


def _write_events(  # noqa: PLR0917 - the parts of a bundle
    pipeline: Pipeline, asked: Asked, chain_id: bytes, log: LogProofs, folder: Path, progress: Progress | None
) -> tuple[list[DayCount], str]:
    """Write ``events.csv`` and ``evidence.json``, one day after the other.

    Returns the days' counts, and the SHA-256 of what was written to ``events.csv``: what is there then is read once, by
    who verifies it.
    """
    counts: list[DayCount] = []
    digest = hashlib.sha256(HEADER)
    days: list[Mapping[str, Json]] = []
    with LineWriter() as writer, (folder / EVENTS).open("xb") as file:
        file.write(HEADER)
        for day in asked.days():
            sealed = load_sealed_day(pipeline.lake, day)
            check_rewritten_day(pipeline.lake, sealed)
            rows = DayRows(pipeline.lake, sealed, asked.tenant_id)
            for table in ahead(rows.tables()):
                for lines in writer.lines(table):
                    digest.update(lines)
                    file.write(lines)
                if progress is not None:
                    progress(len(table))
            days.append(day_evidence(log, sealed, asked.tenant_id, rows.breaks))
            tenant = sealed.tenants.tenants.get(asked.tenant_id)
            counts.append(
                DayCount(day, tenant.record.count, tenant.record.breaks) if tenant else DayCount(day, None, 0)
            )
    (folder / PROOFS).write_bytes(evidence_json(asked, chain_id, log, days))
    return counts, digest.hexdigest()


def _sign(folder: Path, events: str, keys: Sequence[SigningKey]) -> None:
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in SUMMED if name != EVENTS}
    sums = "".join(f"{digest}  {name}\n" for name, digest in sorted({**digests, EVENTS: events}.items()))
    (folder / SUMS).write_bytes(sums.encode())
    (folder / SIGNATURE).write_bytes(sign_note(sums, keys))
