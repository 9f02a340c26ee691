"""Days and months as Dagster partitions. Tenants are never a partition dimension: they are data."""

from collections.abc import Sequence
from datetime import date
from typing import Final

import dagster as dg

from assets.backlog import first_partition
from transparency.encoding import parse_day

RANGE_START: Final = "dagster/asset_partition_range_start"
RANGE_END: Final = "dagster/asset_partition_range_end"

DAYS: Final = dg.DailyPartitionsDefinition(first_partition().isoformat())
"""The UTC days of sequencing, up to yesterday."""


MONTHS: Final = dg.MonthlyPartitionsDefinition(f"{first_partition():%Y-%m}", fmt="%Y-%m")
"""The UTC months of sequencing, up to the last one that is over."""


def range_tags(days: Sequence[date]) -> dict[str, str]:
    """The tags that make one run of a whole range of days."""
    return {RANGE_START: days[0].isoformat(), RANGE_END: days[-1].isoformat()}


def days_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[date]:
    """The days that a run is about, in order."""
    return [parse_day(key) for key in context.partition_keys]


def month_tags(months: Sequence[date]) -> dict[str, str]:
    """The tags that make one run of a whole range of months, each given as its first day."""
    return {RANGE_START: f"{months[0]:%Y-%m}", RANGE_END: f"{months[-1]:%Y-%m}"}


def months_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[date]:
    """The first days of the months that a run is about, in order."""
    return [parse_day(f"{key}-01") for key in context.partition_keys]
