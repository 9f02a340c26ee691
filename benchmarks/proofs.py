"""Proving single events and verifying the proofs, in process and as commands."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.command import Finished, compare_commands, run_python
from benchmarks.dataset import Dataset
from benchmarks.lookup import find_event
from benchmarks.measuring import DisagreementError, Timing, compare, timed
from benchmarks.row import Memory, Row
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.proving import prove_event
from lumi_pipeline.verdict import Status
from transparency.proof import TlogProof

_PROOFS = 5
"""Events that one run in process works on in turn, spread over the day."""

_LOOKED_UP = "finding the event in the same Parquet with DuckDB, unproved"


def prove(data: Dataset, runs: int) -> Row:
    """Prove events, each with a pipeline that was just opened, against looking them up."""
    event_ids = choose_events(data, _PROOFS)
    compared = compare(
        lambda: lambda: prove_all(data, event_ids),
        lambda: lambda: [find_event(data.published, event_id) for event_id in event_ids],
        lambda ours, theirs: all(map(same_event, ours, theirs)),
        runs,
    )
    return Row(
        name="prove",
        what="proving one event of the day, in process, nothing cached",
        against=_LOOKED_UP,
        amount=len(event_ids),
        unit="proofs",
        mine=compared.mine,
        plain=compared.plain,
    )


def prove_cold(data: Dataset, runs: int) -> Row:
    """Prove one event in a process of its own, against looking it up in one."""
    (event_id,) = choose_events(data, 1)
    lake = data.published
    settings = ["--config", str(data.config), "--root", str(lake)]
    compared = compare_commands(
        lambda: run_python(["-m", "lumi_pipeline", *settings, "prove", event_id, "--output", "-"]),
        lambda: run_python(["-m", "benchmarks.lookup", str(lake), event_id]),
        lambda ours, theirs: same_event(f"{ours.output}\n".encode(), json.loads(theirs.output)),
        runs,
    )
    ours, theirs = zip(*compared.results, strict=True)
    return Row(
        name="prove-cold",
        what="lumi prove, in a process of its own",
        against=_LOOKED_UP,
        amount=1,
        unit="proofs",
        mine=compared.mine,
        plain=compared.plain,
        memory=Memory(_peak(ours), _peak(theirs)),
    )


def verify(data: Dataset, runs: int) -> Row:
    """Verify proofs in process."""
    proofs = prove_all(data, choose_events(data, _PROOFS))
    policy = data.pipeline(data.published).trust()

    def run() -> list[Status]:
        return [verify_proof(proof, policy, "proof").status for proof in proofs]

    return Row(
        name="verify-proof",
        what="verifying the proof of one event, in process",
        against=None,
        amount=len(proofs),
        unit="proofs",
        mine=_repeat(run, [Status.VERIFIED] * len(proofs), runs),
        plain=None,
    )


def verify_cold(data: Dataset, runs: int) -> Row:
    """Verify one proof in a process of its own."""
    file = data.fresh("proof") / "event.tlog-proof"
    file.write_bytes(prove_all(data, choose_events(data, 1))[0])
    command = partial(run_python, ["-m", "lumi_pipeline", "verify", str(file), "--key", str(_key(data.published))])
    finished = [command() for _ in range(runs)]
    return Row(
        name="verify-proof-cold",
        what="lumi verify with one proof, in a process of its own",
        against=None,
        amount=1,
        unit="proofs",
        mine=Timing(tuple(done.seconds for done in finished)),
        plain=None,
        memory=Memory(_peak(finished)),
    )


def choose_events(data: Dataset, number: int) -> list[str]:
    """Pick that many events, or all there are, at even distances among the landed ones; the first is in the middle."""
    every = [str(event_id) for table in data.tables() for event_id in table.column("event_id").to_pylist()]
    step = max(1, len(every) // number)
    return [every[(len(every) // 2 + i * step) % len(every)] for i in range(min(number, len(every)))]


def prove_all(data: Dataset, event_ids: Sequence[str]) -> list[bytes]:
    """Return the events' proof files."""
    proofs = []
    for event_id in event_ids:
        pipeline = data.pipeline(data.published)
        genesis = pipeline.genesis()
        if genesis is None:
            raise DisagreementError("the lake of the benchmark has no log")
        proofs.append(prove_event(pipeline.lake, genesis, event_id))
    return proofs


def same_event(proof: bytes, row: dict[str, str]) -> bool:
    """Whether the proof is about the event that was looked up, hashes included."""
    fields = json.loads(TlogProof.parse(proof).extra or b"")["event"]["fields"]
    return all(fields[name] == row[name] for name in ("tenant_id", "seq", "event_id", "payload_hash", "integrity_hash"))


def _key(lake: Path) -> Path:
    return lake / "log" / "log.vkey"


def _peak(finished: Sequence[Finished]) -> int:
    return round(median(done.peak_bytes for done in finished))


def _repeat(run: Callable[[], object], expected: object, runs: int) -> Timing:
    seconds = []
    for _ in range(runs):
        took, result = timed(lambda: run)
        if result != expected:
            raise DisagreementError(f"{expected} was expected, not {result}")
        seconds.append(took)
    return Timing(tuple(seconds))
