"""The jobs. Everything runs in one process: a second one would cost more than a day's work takes."""

from typing import Final

import dagster as dg

from assets.auditing import verify_history
from assets.ingest import landed_events
from assets.publishing import published_day
from assets.sealing import sealed_events

landing: Final = dg.define_asset_job(
    "landing",
    selection=dg.AssetSelection.assets(landed_events),
    executor_def=dg.in_process_executor,
    description="Land what the outbox gained, so that little is left to do after midnight.",
)

daily: Final = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.assets(landed_events, sealed_events, published_day),
    executor_def=dg.in_process_executor,
    description=(
        "Land, seal and publish one day or a range of days in one run. Running it again for days that are done "
        "verifies them."
    ),
)


@dg.job(executor_def=dg.in_process_executor)
def audit_everything() -> None:
    """Verify everything we hold once more; fails when anything does not verify or can't be checked."""
    verify_history()
