"""The pull feeds of single tenants: the asset ``tenant_feeds``."""

import dagster as dg

from assets.delivery import DELIVERY_DAYS, GROUP
from assets.failures import plain_failures
from assets.ingest import OWNERS, landed_events
from assets.metadata import table
from assets.partitions import days_of
from assets.resources import PipelineResource
from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.feed import publish_feeds


@dg.asset(
    partitions_def=DELIVERY_DAYS,
    deps=[landed_events],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"json"},
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def tenant_feeds(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> None:
    """The feeds under `feeds/` that customers fetch their own events from, for the tenants that `feeds` lists.

    Whatever was landed and not published yet is published, whichever day the run is about.
    """
    with plain_failures(context.retry_number):
        opened = pipeline.open()
        tenants = opened.config.feeds
        report = publish_feeds(Exports(opened).source, tenants) if tenants else None
    rows = [(f.tenant_id, f.events, len(f.withheld), f.waiting, f.next) for f in report.published] if report else []
    metadata = {
        "dagster/row_count": dg.MetadataValue.int(sum(row[1] for row in rows)),
        "by_tenant": dg.MetadataValue.md(table(("tenant", "events", "withheld", "waiting", "next seq"), rows)),
    }
    for day in days_of(context):
        context.add_asset_metadata(metadata, partition_key=day.isoformat())
    if report is not None and report.failed:
        with plain_failures():
            raise SiemError("\n".join(f"{tenant}: {reason}" for tenant, reason in report.failed.items()))
