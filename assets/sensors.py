"""Sensors: the gaps in our own records, and alerts about what went wrong."""

import dagster as dg

from assets.alerts import send_alert
from assets.failures import described
from assets.jobs import daily, siem_delivery
from assets.requests import request_backlog
from assets.resources import PipelineResource
from assets.siemrequests import request_delivery


@dg.sensor(
    name="gaps",
    job=daily,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Compares our own seals and log with the calendar and asks for one run over the days that are missing. It "
        "waits while a daily run is in progress, and an hour after one over the same days has failed."
    ),
)
def gaps(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for all that is waiting."""
    return request_backlog(context.instance, pipeline, daily.name)


@dg.sensor(
    name="siem_waiting",
    job=siem_delivery,
    minimum_interval_seconds=120,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Compares what was landed with what every destination was sent, and asks for a run when something is waiting "
        "that can be sent now. It waits while a delivery run is in progress."
    ),
)
def siem_waiting(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for what is waiting."""
    return request_delivery(context.instance, pipeline, siem_delivery.name)


@dg.run_failure_sensor(
    name="failure_alert",
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Posts every failed run, with the reason, to the webhook in LUMI_ALERT_WEBHOOK.",
)
def failure_alert(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """Tell somebody that a run failed, and why."""
    reasons = [_reason(event) for event in context.get_step_failure_events()]
    return send_alert(context.dagster_run, "failed", reasons or [context.failure_event.message or ""])


@dg.run_status_sensor(
    name="finding_alert",
    run_status=dg.DagsterRunStatus.SUCCESS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Posts the checks that did not pass in runs that went on nevertheless to the webhook in LUMI_ALERT_WEBHOOK: "
        "breaks that were landed, days sealed with acknowledged breaks."
    ),
)
def finding_alert(context: dg.RunStatusSensorContext) -> dg.SkipReason | None:
    """Tell somebody what was found in a run that succeeded."""
    evaluations = [
        entry.dagster_event.asset_check_evaluation_data
        for entry in context.instance.all_logs(
            context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        )
        if entry.dagster_event
    ]
    findings = [
        f"{found.asset_key.to_user_string()}: {found.check_name}: {found.description or 'did not pass'}"
        for found in evaluations
        if not found.passed
    ]
    return send_alert(context.dagster_run, "has findings", findings) if findings else None


def _reason(event: dg.DagsterEvent) -> str:
    error = event.step_failure_data.error
    return described(event) or (error.message if error else "") or event.message or ""
