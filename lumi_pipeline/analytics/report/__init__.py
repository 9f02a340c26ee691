"""The report: one HTML page about a period, of all tenants or of one (docs/analytics.md)."""

from contextlib import closing
from datetime import UTC, date, datetime

from lumi_pipeline.analytics.connecting import connect
from lumi_pipeline.analytics.report.figures import Figures, choose_period, count_events
from lumi_pipeline.analytics.report.leads import follow_leads
from lumi_pipeline.analytics.report.page import Report, report_page
from lumi_pipeline.analytics.report.standing import look_around
from lumi_pipeline.config import Config
from lumi_pipeline.pipeline import Pipeline

__all__ = ["Report", "make_report", "newest_figures", "report_page"]


def make_report(pipeline: Pipeline, first: date | None, last: date | None, tenant: str | None = None) -> Report:
    """Ask the analyst database and the lake's records what a report says of the days from ``first`` to ``last``.

    Without them it is about the last 30 days that the database has. With a tenant, its rows alone are asked.

    Raises :class:`~lumi_pipeline.errors.AnalystError` when there is no database, when it has no such tenant, or when
    the period ends before it begins. What can't be read of the lake's records is a problem that the report tells.
    """
    with closing(connect(pipeline.config)) as whole:
        ((built_at,),) = whole.sql("SELECT built_at FROM lake.build").fetchall()
    with closing(connect(pipeline.config, tenant)) as db:
        period = choose_period(db, first, last)
        figures = None if period is None else count_events(db, period)
        leads = () if period is None else follow_leads(db, period, tenant)
    return Report(tenant, _utc(built_at), look_around(pipeline, tenant), figures, leads)


def newest_figures(config: Config) -> Figures | None:
    """Count the last 30 days that the analyst database has; None if it has none at all."""
    with closing(connect(config)) as db:
        period = choose_period(db, None, None)
        return None if period is None else count_events(db, period)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC)
