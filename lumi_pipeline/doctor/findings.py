"""What a check finds, in the one form that people and machines are told."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from transparency.encoding import Json

if TYPE_CHECKING:
    from lumi_pipeline.doctor.examination import Examination


class Status(StrEnum):
    """How something stands. A warning is for somebody to weigh; a problem breaks what the pipeline promises."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one thing stands: what was seen, and what to do about it."""

    status: Status
    detail: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A finding, and the name of the check that made it."""

    name: str
    finding: Finding

    def to_json(self) -> dict[str, Json]:
        """The result as JSON."""
        found = self.finding
        return {"detail": found.detail, "name": self.name, "remedy": found.remedy, "status": found.status.value}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to try. ``needs`` names checks that must have gone well before it makes sense.

    ``look`` may raise an error of ours instead of finding anything: that is a problem, with ``advice`` as its remedy.
    """

    name: str
    look: "Callable[[Examination], Iterable[Finding]]"
    advice: str
    needs: tuple[str, ...] = ()


def ok(detail: str) -> Finding:
    """All is well."""
    return Finding(Status.OK, detail)


def warning(detail: str, remedy: str) -> Finding:
    """It works, and somebody should know."""
    return Finding(Status.WARNING, detail, remedy)


def problem(detail: str, remedy: str) -> Finding:
    """It does not work, or does not protect."""
    return Finding(Status.PROBLEM, detail, remedy)


def not_tried(reason: str) -> Finding:
    """Nothing is known, because it could not be tried."""
    return Finding(Status.SKIPPED, f"not tried: {reason}")


def not_configured(what: str) -> Finding:
    """Nothing to try, because nobody asked for it."""
    return Finding(Status.SKIPPED, f"not configured: {what}")


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them: ``a, b and c``."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
