"""Which days are still to be done. Imports no Dagster, so that finding nothing to do takes no time.

Nothing is remembered here: the answer comes from our own seals and log, each time.
"""

import os
from datetime import date

from lumi_pipeline.errors import ConfigError
from lumi_pipeline.pipeline import Pipeline
from transparency.encoding import parse_day
from transparency.errors import FormatError


def first_partition() -> date:
    """The day on which Dagster's calendar begins.

    Definitions are loaded without a lake or an outbox in reach, so the log's first day can't be asked for here. An
    early start costs nothing, as nobody fills partitions from it: the gap sensor, the schedule and
    ``python -m assets`` ask the lake which days are missing. Where the first day is configured in the environment,
    the calendar begins with it; it has to be set so for events older than this.
    """
    given = os.environ.get("LUMI_FIRST_DAY", "2000-01-01")
    try:
        return parse_day(given)
    except FormatError as error:
        raise ConfigError(f"LUMI_FIRST_DAY: {error}") from None


def backlog(pipeline: Pipeline) -> list[date]:
    """The days that the next run should do, in order, as one range: those not published, or else those not sealed.

    What is sealed goes first and alone. So a day whose chains are broken keeps only itself and what comes after it
    from being published, never what was sealed before it.
    """
    days = pipeline.unpublished_days() or pipeline.missing_days()
    if days and days[0] < first_partition():
        raise ConfigError(
            f"{days[0]} is waiting to be done, but Dagster's calendar begins on {first_partition()}; "
            f"set LUMI_FIRST_DAY={days[0]} in the environment of Dagster and of 'python -m assets'"
        )
    return days
