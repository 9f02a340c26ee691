"""What analysts query: the asset ``analyst_database``."""

import dagster as dg

from assets import lines
from assets.charts import charts
from assets.failures import plain_failures
from assets.ingest import GROUP, OWNERS
from assets.metadata import analyst_metadata
from assets.partitions import DAYS, days_of
from assets.publishing import published_day
from assets.resources import PipelineResource
from lumi_pipeline.analytics import build_database
from lumi_pipeline.analytics.report import newest_figures


@dg.asset(
    partitions_def=DAYS,
    deps=[published_day],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb"},
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def analyst_database(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> None:
    """The DuckDB file at `analyst_db`: every sealed day, and what is landed and not sealed yet.

    All days that it lacks are read, whichever the run is about; those that it has as they are sealed are left alone.
    The charts show the newest 30 days.
    """
    with plain_failures(context.retry_number):
        opened = pipeline.open()
        report = build_database(opened.config, opened.lake)
        figures = newest_figures(opened.config)
    context.log.info(lines.built(report))
    drawn = charts(figures) if figures else {}
    for day in days_of(context):
        context.add_asset_metadata({**analyst_metadata(report, day), **drawn}, partition_key=day.isoformat())
