"""Verdicts on checks that raise an error for what is wrong, and say what they found otherwise."""

from collections.abc import Callable, Sequence

from lumi_pipeline.chain import Break
from lumi_pipeline.errors import (
    LumiError,
    OutboxLocked,
    OutboxMissing,
    UnfinishedErasure,
    UnfinishedLanding,
    UnfinishedPruning,
)
from lumi_pipeline.verdict import Status, Verdict
from transparency.errors import FormatError, ObjectMissing, StoreError, VerificationError

_SHOWN = 20
"""How many breaks a verdict spells out; it always says how many there are."""


def failure(subject: str, error: LumiError) -> Verdict:
    """An error as a verdict: what could not be read at all leaves the verification incomplete, all else fails it."""
    if isinstance(error, VerificationError):
        return Verdict(subject, Status.FAILED, error.reason, (str(error),))
    if isinstance(error, UnfinishedLanding | UnfinishedErasure | UnfinishedPruning):
        return Verdict(subject, Status.INCOMPLETE, "unfinished", (str(error),))
    if isinstance(error, OutboxMissing | OutboxLocked):
        return Verdict(subject, Status.INCOMPLETE, "unavailable", (str(error),))
    if isinstance(error, StoreError) and not isinstance(error, ObjectMissing):
        return Verdict(subject, Status.INCOMPLETE, "unavailable", (str(error),))
    reason = (
        "missing" if isinstance(error, ObjectMissing) else "malformed" if isinstance(error, FormatError) else "altered"
    )
    return Verdict(subject, Status.FAILED, reason, (str(error),))


class Found:
    """What a check that found nothing wrong has to say, and how many events it recomputed."""

    def __init__(self, *lines: str, events: int = 0) -> None:
        self.lines = lines
        self.events = events


def judged(subject: str, check: Callable[[], Found]) -> Verdict:
    """What a check found, or the error that it raised, as a verdict."""
    try:
        found = check()
    except LumiError as error:
        return failure(subject, error)
    return Verdict(subject, Status.VERIFIED, "ok", found.lines, {"events": str(found.events)})


def raise_found(breaks: Sequence[Break], problems: Sequence[str] = ()) -> None:
    """Raise :class:`~transparency.errors.VerificationError` if there are any breaks or other problems."""
    found = [f"{len(breaks)} break(s):", *spelled_out(breaks)] if breaks else []
    if found or problems:
        raise VerificationError("chain-broken" if breaks else "outbox-altered", "\n".join([*found, *problems]))


def spelled_out(breaks: Sequence[Break]) -> list[str]:
    """A line for each break, up to a number, and how many more there are."""
    more = [f"  … and {len(breaks) - _SHOWN} more"] if len(breaks) > _SHOWN else []
    return [f"  {found}" for found in breaks[:_SHOWN]] + more
