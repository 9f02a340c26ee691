"""Requests for the days that are waiting to be done: what the nightly schedule and the gap sensor have in common."""

from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from assets.backlog import backlog
from assets.partitions import range_tags
from assets.resources import PipelineResource
from lumi_pipeline.errors import LumiError

PAUSE: Final = timedelta(hours=1)
"""How long a range that failed is left alone, so that an outage or a broken chain isn't reported every few minutes."""

_IN_PROGRESS: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.MANAGED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def request_backlog(
    instance: dg.DagsterInstance, pipeline: PipelineResource, job_name: str
) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run over all days that are waiting, or say why not.

    What is waiting comes from our own seals and log, and what is going on from Dagster's runs; nothing is remembered
    between two calls, so none can be forgotten or done twice.
    """
    try:
        days = backlog(pipeline.open())
    except LumiError as error:
        return dg.SkipReason(str(error))
    if not days:
        return dg.SkipReason("Every complete day that is known of is sealed and published.")
    active = in_progress(instance, job_name)
    if active is not None:
        return dg.SkipReason(f"{days[0]} to {days[-1]} can wait: run {active} is in progress.")
    tags = range_tags(days)
    failed = instance.get_run_records(
        dg.RunsFilter(job_name=job_name, tags=tags, statuses=[dg.DagsterRunStatus.FAILURE]), limit=1
    )
    # By the time of the event: when the record was updated is told in the time zone of the database's sessions.
    if failed and (failed[0].end_time or 0) > (datetime.now(UTC) - PAUSE).timestamp():
        return dg.SkipReason(
            f"{days[0]} to {days[-1]} failed less than {PAUSE} ago in run {failed[0].dagster_run.run_id}. It is tried "
            "again after that; once the cause is repaired, 'python -m assets' does it at once."
        )
    return dg.RunRequest(tags=tags)


def request_submission(pipeline: PipelineResource) -> dg.RunRequest | dg.SkipReason:
    """Ask for fresh cosignatures, or say why not."""
    try:
        opened = pipeline.open()
        if opened.witness_policy() is None:
            return dg.SkipReason("The policy names no witnesses.")
        if not opened.keyring.published_size():
            return dg.SkipReason("Nothing is published yet.")
    except LumiError as error:
        return dg.SkipReason(str(error))
    return dg.RunRequest()


def in_progress(instance: dg.DagsterInstance, job_name: str) -> str | None:
    """The id of a run of a job that is going on or about to; None when there is none."""
    active = instance.get_runs(dg.RunsFilter(job_name=job_name, statuses=_IN_PROGRESS), limit=1)
    return active[0].run_id if active else None
