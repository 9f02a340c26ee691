"""Holding the drill: prove that the untouched copy verifies, then attack one fresh copy after the other."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path

from lumi_pipeline.drill.attack import Area, Attack
from lumi_pipeline.drill.attacks import ATTACKS
from lumi_pipeline.drill.checks import CHECKS, Check
from lumi_pipeline.drill.scratch import Scratch, Target, Trial, find_target
from lumi_pipeline.errors import DrillError
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.verdict import Status, Verdict, worst
from lumi_pipeline.verification import verify_published
from transparency.encoding import Json

_DECLARED = "declared-break"


class Outcome(Enum):
    """How an attack ended. Of those that no check is meant to find, that none did is no failure."""

    DETECTED = "detected"
    UNDETECTED = "undetected"
    BEYOND = "beyond"
    NOT_TRIED = "not-tried"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one attack ended: which check found it, by which reason code, in which words; empty where none did."""

    attack: Attack
    outcome: Outcome
    found_by: str = ""
    reason: str = ""
    message: str = ""

    def to_json(self) -> dict[str, Json]:
        """The finding as JSON."""
        return {
            "area": self.attack.area.value[0],
            "attack": self.attack.name,
            "found_by": self.found_by,
            "message": self.message,
            "outcome": self.outcome.value,
            "reason": self.reason,
            "told": self.attack.told,
            "would_find": self.attack.beyond,
        }


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What a drill showed. ``kept`` is the scratch directory, if it was not removed."""

    target: Target
    findings: tuple[Finding, ...]
    kept: Path | None

    def count(self, *outcomes: Outcome) -> int:
        """How many attacks ended so."""
        return sum(finding.outcome in outcomes for finding in self.findings)

    @property
    def detected(self) -> int:
        """How many attacks were found, of those that have to be."""
        return self.count(Outcome.DETECTED)

    @property
    def expected(self) -> int:
        """How many attacks had to be detected."""
        return self.count(Outcome.DETECTED, Outcome.UNDETECTED)

    @property
    def status(self) -> Status:
        """Failed when an attack went undetected, incomplete when one could not be tried."""
        found = [Status.VERIFIED]
        if self.count(Outcome.UNDETECTED):
            found.append(Status.FAILED)
        if self.count(Outcome.NOT_TRIED):
            found.append(Status.INCOMPLETE)
        return worst(found)


def hold_drill(
    source: Pipeline,
    day: date | None = None,
    *,
    keep: bool = False,
    attacks: Sequence[Attack] = ATTACKS,
    checks: Mapping[str, Check] = CHECKS,
    scratch: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DrillReport:
    """Attack copies of a sealed and published day, by default the newest with enough events in it.

    Nothing of the original is touched. The copies lie in a new directory under ``scratch``, by default the system's
    temporary one, which is removed unless ``keep``. Raises :class:`~lumi_pipeline.errors.DrillError` when there is no
    such day, or when the untouched copy does not verify: then nothing that is found in an altered one says anything.
    """
    target = find_target(source, day)
    directory = Path(tempfile.mkdtemp(prefix="lumi-drill-", dir=scratch))
    try:
        made = Scratch(source, directory, target)
        _check_untouched(source, made, attacks, checks)
        findings = []
        for attack in attacks:
            findings.append(_try(made, attack, checks, keep=keep))
            if progress is not None:
                progress(len(findings), len(attacks))
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
    return DrillReport(target, tuple(findings), directory if keep else None)


def _check_untouched(
    source: Pipeline, scratch: Scratch, attacks: Sequence[Attack], checks: Mapping[str, Check]
) -> None:
    """Every check must be content with the copy, before it is signed anew as well as after."""
    trust = source.trust()
    if trust is not None:
        _require_verified("fsck, with your own key", [verify_published(scratch.untouched.lake, trust)])
    scratch.prepare()
    for area, name in dict.fromkeys((attack.area, name) for attack in attacks for name in attack.checks):
        with _fresh(scratch, area, keep=False) as trial:
            if trial is not None:
                _require_verified(name, checks[name](trial))


def _require_verified(name: str, verdicts: Iterable[Verdict]) -> None:
    for verdict in verdicts:
        if verdict.status is not Status.VERIFIED and verdict.reason != _DECLARED:
            raise DrillError(
                f"the untouched copy does not verify ({name}: {verdict.reason}), so a drill would show nothing; "
                f"'lumi verify --all' says more: {' '.join(verdict.lines)}"
            )


def _try(scratch: Scratch, attack: Attack, checks: Mapping[str, Check], *, keep: bool) -> Finding:
    with _fresh(scratch, attack.area, keep=keep) as trial:
        if trial is None:
            return Finding(attack, Outcome.NOT_TRIED)
        attack.act(trial)
        for name in attack.checks:
            for verdict in checks[name](trial):
                if verdict.status is Status.FAILED and verdict.reason != _DECLARED:
                    return Finding(attack, Outcome.DETECTED, name, verdict.reason, "\n".join(verdict.lines))
    return Finding(attack, Outcome.BEYOND if attack.beyond else Outcome.UNDETECTED)


@contextmanager
def _fresh(scratch: Scratch, area: Area, *, keep: bool) -> Iterator[Trial | None]:
    """Make a copy of an area; None when it is the outbox, and that is a server."""
    if area is Area.OUTBOX and not scratch.outbox:
        yield None
        return
    trial = scratch.fresh(
        area.value[1], outbox=area is Area.OUTBOX, files=area in {Area.OPERATOR, Area.PROOF, Area.BUNDLE}
    )
    try:
        yield trial
    finally:
        if not keep:
            shutil.rmtree(trial.directory, ignore_errors=True)
