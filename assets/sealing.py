"""Sealing days: the asset ``sealed_events``."""

from datetime import date

import dagster as dg

from assets import lines
from assets.failures import plain_failures
from assets.ingest import GROUP, OWNERS, landed_events
from assets.metadata import Metadata, seal_metadata
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
    finished: dict[date, Metadata] = {}
    with plain_failures(context.retry_number):
        opened = pipeline.open()
        try:
            for report in opened.seal(days_of(context)):
                finished[report.day] = seal_metadata(opened.lake, report, day_profile(opened.lake, report.day))
                context.log.info(lines.sealed(report))
        except Exception:
            # The days before the one that failed are sealed, whatever becomes of this step, so they are shown as such.
            for day, metadata in finished.items():
                context.log_event(
                    dg.AssetMaterialization(context.asset_key, partition=day.isoformat(), metadata=metadata)
                )
            raise
    for day, metadata in finished.items():
        context.add_asset_metadata(metadata, partition_key=day.isoformat())
