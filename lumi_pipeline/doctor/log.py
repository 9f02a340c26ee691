"""The log at a glance, and the days on their way into it. ``lumi verify`` and ``lumi fsck`` look at the rest."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from lumi_pipeline.acknowledging import waiting_reports
from lumi_pipeline.doctor.clocks import NOTABLE
from lumi_pipeline.doctor.examination import Examination
from lumi_pipeline.doctor.findings import Check, Finding, ok, problem, warning
from lumi_pipeline.rotation import Role
from transparency.checkpoint import open_checkpoint
from transparency.errors import FormatError, VerificationError
from transparency.logview import LogView

_DETAILS: Final = "lumi fsck tells more; restore the log's public files from its private ones or a backup"


def look_at_log(examination: Examination) -> Iterator[Finding]:
    """Verify the public checkpoint under the keys of this side, and compare it with the last commit."""
    published = LogView(examination.root.store).checkpoint()
    if published is None:
        yield ok("nothing is published yet")
        return
    try:
        keyring = examination.pipeline.keyring
        signed = open_checkpoint(published, [key.verifier for key in keyring.files[Role.LOG].held()])
    except (FormatError, VerificationError) as error:
        yield problem(f"log/checkpoint does not verify: {error}", _DETAILS)
        return
    size, state = signed.checkpoint.size, LogView(examination.root.store).state()
    if state.committed_size == size and state.root != signed.checkpoint.root:
        yield problem(f"log/checkpoint has another root than was committed for {size} entries", _DETAILS)
    elif state.committed_size < size:
        yield problem(f"log/checkpoint has {size} entries, but only {state.committed_size} were committed", _DETAILS)
    elif state.committed_size > size:
        yield warning(
            f"committed and not published yet: {state.committed_size - size} of {state.committed_size} entries",
            "lumi publish",
        )
    else:
        yield ok(f"{size:,} entries, and the checkpoint verifies (lumi verify checks the rest)")


def look_at_days(examination: Examination) -> Iterator[Finding]:
    """Find days that are over and not sealed, or sealed and not published, and breaks that somebody has to judge."""
    pipeline = examination.pipeline
    if pipeline.genesis() is None and examination.config.first_day is None:
        yield ok("no day is sealed yet; lumi run seals every one that is over")
        return
    missing, unpublished = pipeline.missing_days(), pipeline.unpublished_days()
    reports = waiting_reports(pipeline.lake, missing[0]) if missing else []
    if reports:
        yield problem(
            f"{missing[0]} is stopped by broken chains (report {reports[0].sha256})",
            "repair the cause, or see: lumi acknowledge -h",
        )
    elif missing:
        yield warning(f"not sealed: {_period(missing)}", "lumi run")
    elif unpublished:
        yield warning(f"sealed and not published: {_period(unpublished)}", "lumi publish")
    else:
        yield ok("every day that is over is sealed and published")


def look_at_times(examination: Examination) -> Iterator[Finding]:
    """Compare the clock with when the last day was sealed."""
    sealed = examination.last_sealed
    if sealed is None:
        yield ok("no day is sealed yet")
        return
    now, then = examination.clock(), sealed.record.sealed
    if then > now + NOTABLE:
        yield problem(
            f"{sealed.record.day} was sealed at {then:%Y-%m-%d %H:%M:%S} UTC, which is still to come: the clock says "
            f"{now:%Y-%m-%d %H:%M:%S}",
            "set the clock by NTP; if it is right, it was wrong when the day was sealed",
        )
    else:
        yield ok(f"the last seal ({then:%Y-%m-%d %H:%M:%S} UTC) is not in the future")


def _period(days: Sequence[date]) -> str:
    return f"{days[0]} to {days[-1]} ({len(days):,} days)" if len(days) > 1 else str(days[0])


LOG_CHECKS: Final = (
    Check("log", look_at_log, _DETAILS, ("root", "log key")),
    Check("log clock", look_at_times, "lumi verify --all tells what is damaged", ("root",)),
    Check("days", look_at_days, "lumi verify --all tells what is damaged", ("root",)),
)
