"""How errors of the domain end a step: with their own message, a table of the breaks, a retry only where one helps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from assets.metadata import Metadata, breaks_table
from lumi_pipeline.errors import ChainBroken, ConcurrentRun, LumiError, OutboxLocked, WitnessesMissing

RETRIES: Final = 2
PAUSE: Final = 10
"""How often, and after how many seconds, a step is tried again for what may well be gone by then."""

_PASSING: Final = (OutboxLocked, ConcurrentRun, WitnessesMissing)


@contextmanager
def plain_failures(retry_number: int = RETRIES) -> Iterator[None]:
    """Turn our errors into failures of the step; whatever else is raised is a mistake in the code and stays one.

    ``retry_number`` is how often the step was tried again already; without it nothing is.
    """
    try:
        yield
    except LumiError as error:
        if isinstance(error, _PASSING) and retry_number < RETRIES:
            raise dg.RetryRequested(RETRIES, PAUSE) from error
        raise dg.Failure(str(error), _details(error), allow_retries=False) from None


def described(event: dg.DagsterEvent) -> str | None:
    """What an error of ours said when it failed a step; None for any other failure."""
    failure = event.step_failure_data.user_failure_data
    return failure.description if failure else None


def _details(error: LumiError) -> Metadata:
    kind = {"error": dg.MetadataValue.text(type(error).__name__)}
    if not isinstance(error, ChainBroken):
        return kind
    return {
        **kind,
        "day": dg.MetadataValue.text(error.day.isoformat()),
        "break_count": dg.MetadataValue.int(len(error.breaks)),
        "breaks": dg.MetadataValue.md(breaks_table(error.breaks)),
        "report_sha256": dg.MetadataValue.text(error.report_sha256),
    }
