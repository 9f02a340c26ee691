"""What looks at an attacked copy: what ``lumi verify``, ``fsck``, ``land`` and ``monitor`` call, and nothing else."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from lumi_pipeline.drill.scratch import Trial
from lumi_pipeline.errors import LumiError
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.judgements import failure
from lumi_pipeline.outboxverification import verify_outbox
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.tenantdays import DayTenants
from lumi_pipeline.verdict import Status, Verdict
from lumi_pipeline.verification import verify_days, verify_folders, verify_landings, verify_published
from transparency.monitor import follow
from transparency.policy import Policy
from transparency.verify import verify_log

FSCK: Final = "fsck"
DAYS: Final = "verify --all: sealed day"
LANDINGS: Final = "verify --all: landings"
OUTBOX: Final = "verify --all: outbox"
LAND: Final = "land"
LOG: Final = "verify LOG"
WITNESSED_LOG: Final = "verify LOG --policy WITNESSED"
PROOF: Final = "verify PROOF"
BUNDLE: Final = "verify EVIDENCE"
MONITOR: Final = "monitor"

Check = Callable[[Trial], Iterable[Verdict]]
"""Says what it finds in a copy; raises nothing but what the operating system raises."""


def _failing(subject: str, check: Callable[[], Iterable[Verdict]]) -> list[Verdict]:
    try:
        return list(check())
    except LumiError as error:
        return [failure(subject, error)]


def _fsck(trial: Trial) -> Iterable[Verdict]:
    return _failing("log", lambda: [verify_published(trial.lake, trial.keys.pinned)])


def _days(trial: Trial) -> Iterable[Verdict]:
    def check() -> Iterable[Verdict]:
        pipeline = trial.pipeline
        pipeline.sealed_days()
        genesis = pipeline.genesis()
        if genesis is not None:
            yield from verify_days(trial.lake, pipeline.sealer(genesis), genesis, [trial.target.day])
        yield from verify_folders(trial.lake, genesis)

    return _failing("lake", check)


def _sealed(trial: Trial) -> DayTenants:
    return load_sealed_day(trial.lake, trial.pipeline.sealed_days()[-1]).tenants


def _landings(trial: Trial) -> Iterable[Verdict]:
    return _failing("landings", lambda: [verify_landings(trial.lake, _sealed(trial), trial.pipeline.erasures())])


def _outbox(trial: Trial) -> Iterable[Verdict]:
    return _failing(
        "outbox", lambda: [verify_outbox(trial.pipeline.outbox, trial.lake, _sealed(trial), trial.pipeline.erasures())]
    )


def _land(trial: Trial) -> Iterable[Verdict]:
    def check() -> Iterable[Verdict]:
        report = trial.pipeline.land()
        if report.breaks:
            found = tuple(str(found) for found in report.breaks)
            return [Verdict("landing", Status.FAILED, "chain-broken", found)]
        return [Verdict("landing", Status.VERIFIED, "ok", ())]

    return _failing("landing", check)


def _log(policy: Callable[[Trial], Policy]) -> Check:
    def look(trial: Trial) -> Iterable[Verdict]:
        def check() -> Iterable[Verdict]:
            log = verify_log(trial.fetch, policy(trial))
            return [Verdict("log", Status.VERIFIED, "ok", (f"{log.checkpoint.size} entries",))]

        return _failing("log", check)

    return look


def _proof(trial: Trial) -> Iterable[Verdict]:
    return [verify_proof(trial.proof.read_bytes(), trial.keys.pinned, trial.proof.name)]


def _bundle(trial: Trial) -> Iterable[Verdict]:
    return [judge_bundle(trial.bundle, trial.keys.pinned, trial.bundle.name)]


def _monitor(trial: Trial) -> Iterable[Verdict]:
    """Look at the log again, as somebody who followed it before anything was attacked."""

    def check() -> Iterable[Verdict]:
        step = follow(trial.fetch, trial.keys.pinned, trial.followed)
        return [Verdict("log", Status.VERIFIED, "ok", (f"{len(step.records)} records are new",))]

    return _failing("log", check)


CHECKS: Final[Mapping[str, Check]] = {
    FSCK: _fsck,
    DAYS: _days,
    LANDINGS: _landings,
    OUTBOX: _outbox,
    LAND: _land,
    LOG: _log(lambda trial: trial.keys.pinned),
    WITNESSED_LOG: _log(lambda trial: trial.keys.witnessed),
    PROOF: _proof,
    BUNDLE: _bundle,
    MONITOR: _monitor,
}
"""Every check by the name it is shown under."""
