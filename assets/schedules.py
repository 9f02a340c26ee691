"""When the jobs run. Schedules don't catch up after downtime; the gap sensor does."""

from typing import Final

import dagster as dg

from assets.evidencerequests import request_evidence
from assets.jobs import audit_everything, daily, landing, monthly_evidence, siem_delivery, witness_submission
from assets.requests import request_backlog, request_submission
from assets.resources import PipelineResource
from assets.siemrequests import request_yesterday

landing_schedule: Final = dg.ScheduleDefinition(
    name="landing_schedule",
    job=landing,
    cron_schedule="*/5 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every five minutes.",
)

audit_schedule: Final = dg.ScheduleDefinition(
    name="audit_schedule",
    job=audit_everything,
    cron_schedule="0 3 * * 0",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Sundays at 03:00 UTC.",
)


@dg.schedule(
    name="siem_reconcile_schedule",
    job=siem_delivery,
    cron_schedule="30 1 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Daily at 01:30 UTC: fill what a destination lacks of yesterday, and hold every row against receipts.",
)
def siem_reconcile_schedule(
    context: dg.ScheduleEvaluationContext, pipeline: PipelineResource
) -> dg.RunRequest | dg.SkipReason:
    """Ask for yesterday."""
    return request_yesterday(pipeline, context.scheduled_execution_time)


@dg.schedule(
    name="daily_schedule",
    job=daily,
    cron_schedule="15 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Daily at 00:15 UTC: the day that just ended, and whatever was missed before it.",
)
def daily_schedule(context: dg.ScheduleEvaluationContext, pipeline: PipelineResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for all that is waiting."""
    return request_backlog(context.instance, pipeline, daily.name)


@dg.schedule(
    name="evidence_schedule",
    job=monthly_evidence,
    cron_schedule="0 4 2 * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="On the 2nd at 04:00 UTC: evidence of the month that ended, and of those before it that lack any.",
)
def evidence_schedule(
    context: dg.ScheduleEvaluationContext, pipeline: PipelineResource
) -> dg.RunRequest | dg.SkipReason:
    """Ask for all that is lacking."""
    return request_evidence(context.instance, pipeline, monthly_evidence.name, context.scheduled_execution_time)


@dg.schedule(
    name="witness_schedule",
    job=witness_submission,
    cron_schedule="15 6,12,18 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="06:15, 12:15 and 18:15 UTC: fresh cosignatures, where the policy names witnesses.",
)
def witness_schedule(pipeline: PipelineResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for a submission, unless there is nobody to submit to or nothing to submit."""
    return request_submission(pipeline)
