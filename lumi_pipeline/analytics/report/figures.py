"""What a report counts: events of a period by day, tenant, action, user and hour of the week."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, TypeAlias

import duckdb

from lumi_pipeline.days import day_range
from lumi_pipeline.errors import QuestionError

TOP: Final = 12
"""How many of the busiest tenants, actions and users are named; the rest are counted."""

USUAL_DAYS: Final = 30
"""Days that a report is about when nothing else is asked."""

WEEK: Final = 7
HOURS: Final = 24
Values: TypeAlias = Mapping[str, date | int]

_TOTALS: Final = """
SELECT count(*), count(*) FILTER (WHERE outcome <> 'success'), count(*) FILTER (WHERE NOT sealed),
    count(DISTINCT tenant_id), count(DISTINCT action), count(DISTINCT (tenant_id, actor_type, actor_id))
FROM activity WHERE day BETWEEN $first AND $last
"""
_DAYS: Final = """
SELECT day, events, sealed, published, coalesce(breaks, 0) FROM days WHERE day BETWEEN $first AND $last ORDER BY day
"""
_TENANTS: Final = """
SELECT tenant_id, '', count(*) AS n FROM activity WHERE day BETWEEN $first AND $last
GROUP BY tenant_id ORDER BY n DESC, tenant_id LIMIT $top
"""
_ACTIONS: Final = """
SELECT action, coalesce(description, ''), n
FROM (SELECT action, count(*) AS n FROM activity WHERE day BETWEEN $first AND $last GROUP BY action)
    LEFT JOIN actions USING (action)
ORDER BY n DESC, action LIMIT $top
"""
# First who they are, and then what there is to say of these few: counting the days of everybody takes several times as
# long.
_ACTORS: Final = """
WITH busiest AS (
    SELECT tenant_id, actor_type, actor_id, count(*) AS n
    FROM activity WHERE day BETWEEN $first AND $last
    GROUP BY ALL ORDER BY n DESC, tenant_id, actor_type, actor_id LIMIT $top
)
SELECT tenant_id, actor_type, actor_id, coalesce(arg_max(actor_name, seq), ''), n, count(DISTINCT day),
    count(*) FILTER (WHERE outcome <> 'success'), max(recorded_at)
FROM activity JOIN busiest USING (tenant_id, actor_type, actor_id) WHERE day BETWEEN $first AND $last
GROUP BY tenant_id, actor_type, actor_id, n ORDER BY n DESC, tenant_id, actor_type, actor_id
"""
# The weekday of the day, not of the moment: a row of the chart then holds exactly what its days hold.
_HOURS: Final = """
SELECT isodow(day), utc_hour(recorded_at), count(*) FROM activity WHERE day BETWEEN $first AND $last GROUP BY ALL
"""


@dataclass(frozen=True, slots=True)
class Period:
    """UTC days from ``first`` to ``last``, both included."""

    first: date
    last: date

    @property
    def length(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    def days(self) -> Iterator[date]:
        """Yield every day."""
        return day_range(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the period. ``known`` is False where the database has nothing of it, not even that it was idle."""

    day: date
    events: int
    sealed: bool
    published: bool
    breaks: int
    known: bool = True


@dataclass(frozen=True, slots=True)
class Rank:
    """One of the busiest: its name, what is to be said of it, and its events."""

    name: str
    about: str
    events: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """The busiest, and how many others there are with how many events in all."""

    top: tuple[Rank, ...]
    others: int
    other_events: int


@dataclass(frozen=True, slots=True)
class Actor:
    """What one user or system of a tenant did in the period: events, on how many days, how many without success."""

    tenant_id: str
    actor_type: str
    actor_id: str
    name: str
    events: int
    days: int
    failed: int
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is counted. ``hours[weekday][hour]`` are events, Monday first; ``weekdays`` how many there are of each.

    ``failed`` are events whose outcome is not success, ``unsealed`` those that no sealed day holds yet.
    """

    period: Period
    events: int
    failed: int
    unsealed: int
    days: tuple[Day, ...]
    tenants: Ranking
    actions: Ranking
    actors: tuple[Actor, ...]
    actor_count: int
    hours: tuple[tuple[int, ...], ...]
    weekdays: tuple[int, ...]

    @property
    def tenant_count(self) -> int:
        """Tenants with an event."""
        return len(self.tenants.top) + self.tenants.others

    @property
    def action_count(self) -> int:
        """Actions that occur."""
        return len(self.actions.top) + self.actions.others

    @property
    def averages(self) -> tuple[tuple[float, ...], ...]:
        """``hours`` by how many such weekdays the period has, so that one more Monday does not make Mondays busier."""
        return tuple(
            tuple(number / max(days, 1) for number in row) for row, days in zip(self.hours, self.weekdays, strict=True)
        )


def choose_period(db: duckdb.DuckDBPyConnection, first: date | None, last: date | None) -> Period | None:
    """Return the period that is meant: by default the last 30 days that the database has, or fewer if it has no more.

    None if no end is given and the database is empty. Raises :class:`~lumi_pipeline.errors.QuestionError` for a period
    that ends before it begins.
    """
    if first and last and first > last:
        raise QuestionError(f"the period ends on {last}, before it begins on {first}")
    if first is None or last is None:
        ((oldest, newest),) = db.sql("SELECT min(day), max(day) FROM days").fetchall()
        last = last or newest
        if last is None:
            return Period(first, first) if first else None
        if first is None:
            first = min(last, max(last - timedelta(days=USUAL_DAYS - 1), oldest or last))
        if first > last:
            return Period(first, first)
    return Period(first, last)


def count_events(db: duckdb.DuckDBPyConnection, period: Period) -> Figures:
    """Count the events of a period in an analyst database, that of all tenants or of one."""
    values: Values = {"first": period.first, "last": period.last}
    ((events, failed, unsealed, tenants, actions, actors),) = db.execute(_TOTALS, values).fetchall()
    found = {row[0]: Day(*row) for row in db.execute(_DAYS, values).fetchall()}
    hours = [[0] * HOURS for _ in range(WEEK)]
    for weekday, hour, number in db.execute(_HOURS, values).fetchall():
        hours[weekday - 1][hour] += number
    weekdays = [0] * WEEK
    for day in period.days():
        weekdays[day.weekday()] += 1
    return Figures(
        period,
        events,
        failed,
        unsealed,
        tuple(found.get(day) or Day(day, 0, False, False, 0, known=False) for day in period.days()),
        _ranking(db, _TENANTS, values, tenants, events),
        _ranking(db, _ACTIONS, values, actions, events),
        tuple(Actor(*row) for row in db.execute(_ACTORS, {**values, "top": TOP}).fetchall()),
        actors,
        tuple(tuple(row) for row in hours),
        tuple(weekdays),
    )


def _ranking(db: duckdb.DuckDBPyConnection, sql: str, values: Values, there_are: int, events: int) -> Ranking:
    top = tuple(Rank(*row) for row in db.execute(sql, {**values, "top": TOP}).fetchall())
    return Ranking(top, there_are - len(top), events - sum(rank.events for rank in top))
