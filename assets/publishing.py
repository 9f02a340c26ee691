"""Publishing sealed days in the log: the asset ``published_day``."""

import dagster as dg

from assets import lines
from assets.failures import plain_failures
from assets.ingest import GROUP, OWNERS
from assets.metadata import publish_metadata
from assets.partitions import DAYS, days_of
from assets.resources import PipelineResource
from assets.sealing import sealed_events
from lumi_pipeline.sealedday import read_day_record


@dg.asset(
    partitions_def=DAYS,
    deps=[sealed_events],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"transparencylog"},
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def published_day(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> None:
    """The day's record in the public transparency log under `log/`, below a signed checkpoint.

    All sealed days that the log doesn't hold yet are appended at once; a day that it holds is left alone.
    """
    with plain_failures(context.retry_number):
        opened = pipeline.open()
        report = opened.publish()
        records = [read_day_record(opened.lake, day) for day in days_of(context)]
    context.log.info(lines.published(report))
    for record in records:
        metadata = publish_metadata(opened.lake, report, record)
        context.add_asset_metadata(metadata, partition_key=record.day.isoformat())
