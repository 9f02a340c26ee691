"""Sealing days: the asset ``sealed_events``."""

import dagster as dg

from assets import lines
from assets.failures import plain_failures
from assets.finishing import finishing
from assets.ingest import GROUP, OWNERS, landed_events
from assets.metadata import seal_metadata
from assets.partitions import DAYS, days_of
from assets.resources import PipelineResource
from lumi_pipeline.profile import day_profile


@dg.asset(
    partitions_def=DAYS,
    deps=[landed_events],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def sealed_events(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> None:
    """The final Parquet partition of a UTC day, sorted by tenant and seq, and the day record that commits to it.

    A day whose chains are broken is not sealed unless exactly that report of breaks was acknowledged. Sealing a
    sealed day again verifies it and writes nothing.
    """
    with plain_failures(context.retry_number), finishing(context) as finished:
        opened = pipeline.open()
        for report in opened.seal(days_of(context)):
            finished[report.day.isoformat()] = seal_metadata(opened.lake, report, day_profile(opened.lake, report.day))
            context.log.info(lines.sealed(report))
