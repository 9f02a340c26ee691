"""Days as Dagster partitions, and which of them are still to be done.

Tenants are never a partition dimension: they are data.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import dagster as dg

from lumi_pipeline.errors import ConfigError
from lumi_pipeline.pipeline import Pipeline
from transparency.encoding import parse_day

RANGE_START: Final = "dagster/asset_partition_range_start"
RANGE_END: Final = "dagster/asset_partition_range_end"

# Definitions are loaded without a lake or an outbox in reach, so the log's first day can't be asked for here. An early
# start costs nothing, as nobody fills partitions from it: the gap sensor, the schedule and `python -m assets` ask the
# lake which days are missing. Where the first day is configured in the environment, Dagster's calendar begins with it;
# it has to be set so for events older than this.
FIRST_PARTITION: Final = parse_day(os.environ.get("LUMI_FIRST_DAY", "2000-01-01"))

DAYS: Final = dg.DailyPartitionsDefinition(FIRST_PARTITION.isoformat())
"""The UTC days of sequencing, up to yesterday."""


def backlog(pipeline: Pipeline) -> list[date]:
    """The days that the next run should do, in order, as one range: those not published, or else those not sealed.

    What is sealed goes first and alone. So a day whose chains are broken keeps only itself and what comes after it
    from being published, never what was sealed before it.
    """
    days = pipeline.unpublished_days() or pipeline.missing_days()
    if days and days[0] < FIRST_PARTITION:
        raise ConfigError(
            f"{days[0]} is waiting to be done, but Dagster's calendar begins on {FIRST_PARTITION}; "
            f"set LUMI_FIRST_DAY={days[0]} in the environment of Dagster and of 'python -m assets'"
        )
    return days


def range_tags(days: Sequence[date]) -> Mapping[str, str]:
    """The tags that make one run of a whole range of days."""
    return {RANGE_START: days[0].isoformat(), RANGE_END: days[-1].isoformat()}


def days_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[date]:
    """The days that a run is about, in order."""
    return [parse_day(key) for key in context.partition_keys]
