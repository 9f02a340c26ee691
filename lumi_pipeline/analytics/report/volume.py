"""The sections of a report that show how much happened: by day, hour, tenant, action and user."""

from collections.abc import Sequence
from datetime import date
from itertools import groupby
from typing import Final

from lumi_pipeline.analytics.report.charts import Bar, bar_chart, legend_steps, sample, share_bar, week_chart
from lumi_pipeline.analytics.report.figures import HOURS, Actor, Day, Figures, Ranking
from lumi_pipeline.analytics.report.markup import Child, Markup, foreign, joined, make
from lumi_pipeline.analytics.report.parts import folded, nothing, section, table
from lumi_pipeline.analytics.report.scales import (
    WEEKDAYS,
    compact,
    long_day,
    month_of,
    percent,
    short_day,
    week_of,
)
from lumi_pipeline.wording import count

_MOST_BARS: Final = 186
"""Bars that can still be told apart on a sheet of paper; longer periods are shown by week, then by month."""

_NO_EVENTS: Final = "No events in this period."


def volume_section(figures: Figures) -> Markup:
    """Events over time: by day, in long periods by week or month."""
    unit, groups = _grouped(figures.days)
    bars = [_bar(unit, first, days) for first, days in groups]
    if not figures.events:
        return section("volume", f"Events by {unit}", nothing(_NO_EVENTS))
    busiest = max(bars, key=lambda bar: bar.number)
    said = (
        f"Bar chart of events by {unit}, {long_day(figures.period.first)} to {long_day(figures.period.last)}. "
        f"The most on {busiest.told}. The table below has every {unit}."
    )
    legend: list[tuple[str, str]] = [("final", "sealed")]
    if any(not bar.final for bar in bars):
        legend.append(("open", "not all sealed yet, may still grow"))
    if any(bar.marked for bar in bars):
        legend.append(("warning", "sealed with breaks in a chain"))
    mean = figures.events / figures.period.length
    about = f"The most: {busiest.told}. On average {mean:,.0f} a day." if mean >= 10 else f"The most: {busiest.told}."
    return section(
        "volume",
        f"Events by {unit}",
        bar_chart(bars, said),
        _legend(legend) if len(legend) > 1 else None,
        folded(
            f"Every {unit} as a table",
            table(
                (unit.capitalize(), "Events", "State"),
                [(long_day(first), f"{_events(days):,}", _state(days)) for first, days in groups],
                numbers=(1,),
            ),
        ),
        about=about,
    )


def week_section(figures: Figures) -> Markup:
    """The hours of the week at which events are recorded, on average over the weeks of the period."""
    title = "Hours of the week"
    if not figures.events:
        return section("hours", title, nothing(_NO_EVENTS))
    present = [number > 0 for number in figures.weekdays]
    averages = figures.averages
    highest, weekday, hour = max((n, -w, -h) for w, row in enumerate(averages) for h, n in enumerate(row))
    busiest = f"{WEEKDAYS[-weekday]} {-hour:02}:00 to {1 - hour:02}:00"
    said = f"Heat map of events by weekday and hour, UTC. The most: {busiest}, {compact(highest)}. The table has all."
    rows = [(WEEKDAYS[n], *(compact(value) if present[n] else "–" for value in row)) for n, row in enumerate(averages)]
    left_out = [WEEKDAYS[n] for n, there in enumerate(present) if not there]
    return section(
        "hours",
        title,
        week_chart(averages, present, said),
        make(
            "p",
            joined(make("span", "few ", legend_steps(), " many"), make("span", "blank: none")),
            make("span", f"struck out: not in this period ({', '.join(left_out)})") if left_out else None,
            class_="legend",
        ),
        folded(
            "Every hour as a table",
            table(("UTC", *(f"{h:02}" for h in range(HOURS))), rows, numbers=range(1, HOURS + 1), kind="dense"),
        ),
        about=f"Events an hour by time of recording (UTC), average of the days in the period. The most: {busiest}, "
        f"{compact(highest)}.",
    )


def ranking_section(name: str, title: str, what: str, ranking: Ranking, events: int) -> Markup:
    """The busiest tenants or actions, with bars that are to scale with one another."""
    if not ranking.top:
        return section(name, title, nothing(_NO_EVENTS), wide=False)
    highest = ranking.top[0].events
    rows: list[Sequence[Child]] = [
        (
            _barred(foreign(rank.name), rank.about, rank.events, highest),
            f"{rank.events:,}",
            percent(rank.events, events),
        )
        for rank in ranking.top
    ]
    if ranking.others:
        others = make("em", count(ranking.others, f"other {what}"))
        rows.append((others, f"{ranking.other_events:,}", percent(ranking.other_events, events)))
    header = (what.capitalize(), "Events", "Share")
    return section(name, title, table(header, rows, numbers=(1, 2), kind="bars"), wide=False)


def actors_section(figures: Figures) -> Markup:
    """The busiest users and systems, each within its tenant."""
    title = "Busiest users and systems"
    if not figures.actors:
        return section("actors", title, nothing(_NO_EVENTS))
    highest = figures.actors[0].events
    header = ("Who", "Events", "Days", "Without success", "Last seen (UTC)")
    rows = [
        (
            _barred(foreign(actor.name or actor.actor_id), _about(actor), actor.events, highest),
            f"{actor.events:,}",
            f"{actor.days:,}",
            f"{actor.failed:,}",
            f"{actor.last_seen:%Y-%m-%d %H:%M}",
        )
        for actor in figures.actors
    ]
    rest = figures.actor_count - len(figures.actors)
    return section(
        "actors",
        title,
        table(header, rows, numbers=(1, 2, 3), kind="bars actors"),
        about=f"{count(len(figures.actors), 'account')} with the most events"
        + (f", of {figures.actor_count:,}." if rest else "; there are no others."),
    )


def _barred(name: Markup, about: Child, events: int, highest: int) -> Markup:
    """A name, what it is, and its bar below."""
    return joined(name, make("span", about, class_="under") if about else None, share_bar(events, highest))


def _about(actor: Actor) -> Markup:
    return joined(
        foreign(actor.tenant_id), f" · {actor.actor_type} ", make("span", foreign(actor.actor_id), class_="name")
    )


def _grouped(days: Sequence[Day]) -> tuple[str, list[tuple[date, list[Day]]]]:
    """Days as they become bars: each alone, or by week or month, with the first day of each group."""
    if len(days) <= _MOST_BARS:
        return "day", [(day.day, [day]) for day in days]
    if len(days) <= 7 * _MOST_BARS:
        return "week", [(first, list(group)) for first, group in groupby(days, lambda day: week_of(day.day))]
    return "month", [(first, list(group)) for first, group in groupby(days, lambda day: day.day.replace(day=1))]


def _bar(unit: str, first: date, days: Sequence[Day]) -> Bar:
    events = _events(days)
    told = f"{long_day(first)}, {count(events, 'event')}"
    if unit == "week":
        told = f"week of {told}"
    elif unit == "month":
        told = f"{month_of(first)}, {count(events, 'event')}"
    label = month_of(first) if unit == "month" else short_day(first)
    final = all(day.sealed or not day.events for day in days)
    return Bar(label, events, told, final, marked=any(day.breaks for day in days))


def _events(days: Sequence[Day]) -> int:
    return sum(day.events for day in days)


def _state(days: Sequence[Day]) -> str:
    """What is to be said of the days behind one bar, the worst first."""
    known = [day for day in days if day.known]
    breaks = sum(day.breaks for day in days)
    told = [count(breaks, "break")] if breaks else []
    if not known:
        told.append("not in the database")
    elif all(day.published for day in known):
        told.append("sealed and published")
    elif all(day.sealed for day in known):
        told.append("sealed, not published")
    else:
        told.append("not sealed yet" if not any(day.sealed for day in known) else "not all sealed yet")
    return ", ".join(told)


def _legend(entries: Sequence[tuple[str, str]]) -> Markup:
    return make("p", *(make("span", sample(kind), f" {meaning}") for kind, meaning in entries), class_="legend")
