"""Requests for months that lack evidence: what the monthly schedule asks for."""

from datetime import datetime

import dagster as dg

from assets.backlog import first_partition
from assets.partitions import month_tags
from assets.requests import in_progress
from assets.resources import PipelineResource
from lumi_pipeline.errors import LumiError
from lumi_pipeline.evidence.monthly import MonthlyEvidence


def request_evidence(
    instance: dg.DagsterInstance, pipeline: PipelineResource, job_name: str, moment: datetime
) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run from the first month that lacks a bundle to the last that ended before ``moment``.

    A month that ended and can't have its evidence yet is asked for all the same: then the run fails, and is heard of.
    """
    try:
        opened = pipeline.open()
        if not opened.config.evidence_tenants:
            return dg.SkipReason("No tenant is listed in 'evidence_tenants'.")
        months = MonthlyEvidence(opened).lacking(moment.date())
    except LumiError as error:
        return dg.SkipReason(str(error))
    if not months:
        return dg.SkipReason("Every month that is over has its evidence.")
    if months[0] < first_partition().replace(day=1):
        return dg.SkipReason(
            f"{months[0]:%Y-%m} lacks evidence, but Dagster's calendar begins on {first_partition()}; set "
            "LUMI_FIRST_DAY to the log's first day in the environment of Dagster"
        )
    active = in_progress(instance, job_name)
    if active is not None:
        return dg.SkipReason(f"{months[0]:%Y-%m} to {months[-1]:%Y-%m} can wait: run {active} is in progress.")
    return dg.RunRequest(tags=month_tags(months))
