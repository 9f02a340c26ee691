"""Evidence of one tenant's events: writing the bundle, and verifying it, as commands."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.command import Finished, compare_commands, run_python
from benchmarks.dataset import Dataset
from benchmarks.row import Memory, Row


def write(data: Dataset, runs: int) -> Row:
    """Make a bundle of everything, which verifies itself, against writing the same CSV from row dicts."""
    lake = data.published

    def mine() -> Finished:
        return make_bundle(data)

    def plain() -> Finished:
        return run_python(["-m", "benchmarks.csvrows", str(lake), str(data.fresh("csv") / "events.csv")])

    compared = compare_commands(mine, plain, same_csv, runs)
    ours, theirs = zip(*compared.results, strict=True)
    size = _row_bytes(data, _bundle(ours[-1]))
    return Row(
        name="evidence-write",
        what=f"lumi evidence: CSV ({size} bytes a row) and proofs, written and then verified",
        against="the same CSV from row dicts with csv.writer, and hashlib for its checksum; unproved, unverified",
        amount=data.events,
        unit="rows",
        mine=compared.mine,
        plain=compared.plain,
        memory=Memory(_peak(ours), _peak(theirs)),
    )


def verify(data: Dataset, runs: int) -> Row:
    """Verify a bundle, against the script that lies in it."""
    bundle = _bundle(make_bundle(data))
    trusting = [str(bundle), "--key", str(data.published / "log" / "log.vkey"), "--json"]

    def mine() -> Finished:
        return run_python(["-m", "lumi_pipeline", "verify", *trusting])

    def plain() -> Finished:
        return run_python([str(bundle / "verify.py"), *trusting])

    compared = compare_commands(mine, plain, same_verdict, runs)
    ours, theirs = zip(*compared.results, strict=True)
    return Row(
        name="evidence-verify",
        what=f"lumi verify with an evidence bundle ({_row_bytes(data, bundle)} bytes a row)",
        against="the bundle's own verify.py",
        amount=data.events,
        unit="rows",
        mine=compared.mine,
        plain=compared.plain,
        memory=Memory(_peak(ours), _peak(theirs)),
    )


def make_bundle(data: Dataset) -> Finished:
    """Run ``lumi evidence`` for the only tenant and all days."""
    tenant, day = str(data.tables()[0].column("tenant_id")[0]), data.last_day.isoformat()
    settings = ["--config", str(data.config), "--root", str(data.published)]
    asked = ["--tenant", tenant, "--from", day, "--to", day, "--out", str(data.fresh("evidence")), "--json"]
    return run_python(["-m", "lumi_pipeline", *settings, "evidence", *asked])


def same_csv(ours: Finished, theirs: Finished) -> bool:
    """Whether the bundle's sums name the very bytes that were written from row dicts."""
    written = json.loads(theirs.output)
    sums = (_bundle(ours) / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return f"{written['sha256']}  events.csv" in sums


def same_verdict(ours: Finished, theirs: Finished) -> bool:
    """Whether both found as many events to verify."""
    [verdict], other = json.loads(ours.output)["verdicts"], json.loads(theirs.output)
    return (
        (verdict["reason"], verdict["events"]) == (other["reason"], str(other["events"])) == ("ok", verdict["events"])
    )


def _bundle(finished: Finished) -> Path:
    return Path(json.loads(finished.output)["path"])


def _row_bytes(data: Dataset, bundle: Path) -> int:
    return (bundle / "events.csv").stat().st_size // data.events


def _peak(finished: Sequence[Finished]) -> int:
    return round(median(done.peak_bytes for done in finished))
