"""How far two clocks may be apart: of the machine that runs this, and of those whose times meet its own."""

from datetime import timedelta
from typing import Final

from lumi_pipeline.doctor.findings import Finding, ok, problem, warning
from lumi_pipeline.recorder import MAX_CLOCK_LEAD

NOTABLE: Final = timedelta(seconds=2)
"""A synchronised clock is within milliseconds; from here on nobody synchronises it."""

_REMEDY: Final = "set both clocks by NTP (timedatectl status shows whether one is)"


def judge_clock(whose: str, lead: timedelta, doubt: timedelta = timedelta(0)) -> Finding:
    """Judge by how much this machine is ahead of another clock, which was read with so much doubt to either side."""
    apart = max(abs(lead) - doubt, timedelta(0))
    direction = "ahead of" if lead > timedelta(0) else "behind"
    text = f"this machine is {_seconds(abs(lead))} {direction} {whose}"
    if apart > MAX_CLOCK_LEAD:
        refused = "recording here is refused" if lead > timedelta(0) else "days are closed and sealed late"
        return problem(f"{text}, more than {MAX_CLOCK_LEAD.seconds} s: {refused}", _REMEDY)
    if apart >= NOTABLE:
        return warning(text, _REMEDY)
    return ok(f"within {_seconds(apart + doubt)} of {whose}")


def _seconds(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
