"""Everything that Dagster knows of us, listed one by one."""

import dagster as dg

from assets.analytics import analyst_database
from assets.checks import bundles_verify, published_day_checks, sealed_events_checks
from assets.delivery import deliveries_reconcile, siem_batches, siem_deliveries
from assets.evidence import tenant_evidence
from assets.feeds import tenant_feeds
from assets.ingest import landed_events
from assets.jobs import audit_everything, daily, landing, monthly_evidence, siem_delivery, witness_submission
from assets.publishing import published_day
from assets.resources import PipelineResource
from assets.schedules import (
    audit_schedule,
    daily_schedule,
    evidence_schedule,
    landing_schedule,
    siem_reconcile_schedule,
    witness_schedule,
)
from assets.sealing import sealed_events
from assets.sensors import failure_alert, finding_alert, gaps, siem_waiting

defs = dg.Definitions(
    assets=[
        landed_events,
        sealed_events,
        published_day,
        analyst_database,
        siem_batches,
        siem_deliveries,
        tenant_feeds,
        tenant_evidence,
    ],
    asset_checks=[sealed_events_checks, published_day_checks, deliveries_reconcile, bundles_verify],
    jobs=[landing, daily, siem_delivery, monthly_evidence, audit_everything, witness_submission],
    schedules=[
        landing_schedule,
        daily_schedule,
        audit_schedule,
        siem_reconcile_schedule,
        evidence_schedule,
        witness_schedule,
    ],
    sensors=[gaps, siem_waiting, failure_alert, finding_alert],
    resources={"pipeline": PipelineResource()},
    executor=dg.in_process_executor,
)
