"""UTC days, and where they begin and end in microseconds since the epoch."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

from lumi_pipeline.events import to_micros

DAY_MICROS: Final = 86_400_000_000
GRACE: Final = timedelta(minutes=15)
"""How long after midnight a day is left alone, so that the usual stragglers don't have to be waited for."""


def day_start(day: date) -> int:
    """Microseconds at which a UTC day begins."""
    return to_micros(datetime(day.year, day.month, day.day, tzinfo=UTC))


def day_end(day: date) -> int:
    """Microseconds at which a UTC day is over (the next one's beginning; defined for 9999-12-31 too)."""
    return day_start(day) + DAY_MICROS


def last_complete_day(now: datetime) -> date:
    """The newest day that is over, grace included, at ``now``."""
    return (now.astimezone(UTC) - GRACE).date() - timedelta(days=1)


def day_range(first: date, last: date) -> Iterator[date]:
    """Every day from ``first`` to ``last``, both included."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)
