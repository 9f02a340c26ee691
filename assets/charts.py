"""Charts that Dagster shows beside an asset: PNG images inside Markdown, so that they need no file."""

from base64 import b64encode as base64_bytes
from collections.abc import Mapping

import dagster as dg

from lumi_pipeline.analytics.report.figures import Figures
from lumi_pipeline.analytics.report.png import bars_png, week_png


def charts(figures: Figures) -> Mapping[str, dg.MetadataValue]:
    """How the events of a period spread over its days, and over the hours of the week."""
    days, period = figures.days, figures.period
    highest = max(days, key=lambda day: day.events)
    by_day = bars_png([day.events for day in days], [f"{day.day:%m-%d}" for day in days])
    return {
        "events_by_day": _picture(
            by_day, f"events by day, {period.first} to {period.last}; the most {highest.events:,} on {highest.day}"
        ),
        "hours_of_the_week": _picture(
            week_png(figures.averages), f"events by weekday and hour (UTC), {period.first} to {period.last}"
        ),
    }


def _picture(png: bytes, said: str) -> dg.MetadataValue:
    return dg.MetadataValue.md(f"![{said}](data:image/png;base64,{base64_bytes(png).decode()})\n\n{said}")
