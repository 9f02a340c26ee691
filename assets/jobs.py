"""The jobs. Everything runs in one process: a second one would cost more than a day's work takes."""

from typing import Final

import dagster as dg

from assets.analytics import analyst_database
from assets.auditing import verify_history
from assets.delivery import siem_batches, siem_deliveries
from assets.evidence import tenant_evidence
from assets.feeds import tenant_feeds
from assets.ingest import landed_events
from assets.publishing import published_day
from assets.sealing import sealed_events
from assets.witnesses import submit_checkpoint

landing: Final = dg.define_asset_job(
    "landing",
    selection=dg.AssetSelection.assets(landed_events),
    executor_def=dg.in_process_executor,
    description="Land what the outbox gained, so that little is left to do after midnight.",
)

daily: Final = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.assets(landed_events, sealed_events, published_day, analyst_database),
    executor_def=dg.in_process_executor,
    description=(
        "Land, seal and publish one day or a range of days in one run, and bring the analyst database up to date. "
        "Running it again for days that are done verifies them."
    ),
)


siem_delivery: Final = dg.define_asset_job(
    "siem_delivery",
    selection=dg.AssetSelection.assets(siem_batches, siem_deliveries, tenant_feeds),
    executor_def=dg.in_process_executor,
    description=(
        "Plan and send to every destination what was landed since; for days that are over, also what it lacks of them. "
        "Publish the feeds of single tenants. "
        "A backfill over days does what 'lumi siem backfill' does."
    ),
)


monthly_evidence: Final = dg.define_asset_job(
    "monthly_evidence",
    selection=dg.AssetSelection.assets(tenant_evidence),
    executor_def=dg.in_process_executor,
    description=(
        "Make the evidence bundles of one month or a range of months, one a tenant. Running it again for months that "
        "have theirs verifies them."
    ),
)


@dg.job(executor_def=dg.in_process_executor)
def audit_everything() -> None:
    """Verify everything we hold once more; fails when anything does not verify or can't be checked."""
    verify_history()


@dg.job(executor_def=dg.in_process_executor)
def witness_submission() -> None:
    """Show the newest checkpoint to the witnesses once more, so that readers see how fresh it is."""
    submit_checkpoint()
