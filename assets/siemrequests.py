"""Requests to deliver: what the SIEM sensor and the nightly schedule ask for."""

from datetime import datetime, timedelta

import dagster as dg

from assets.delivery import has_work
from assets.requests import in_progress
from assets.resources import PipelineResource
from lumi_pipeline.errors import LumiError
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.feed import feeds_behind


def request_delivery(
    instance: dg.DagsterInstance, pipeline: PipelineResource, job_name: str
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run over today if any destination has something to plan or to send, or say why not."""
    try:
        opened = pipeline.open()
        exports = Exports(opened)
        if not exports.names and not opened.config.feeds:
            return dg.SkipReason("Neither a destination nor a feed is configured.")
        waiting = [*has_work(exports), *feeds_behind(exports.source, opened.config.feeds)]
    except LumiError as error:
        return dg.SkipReason(str(error))
    if not waiting:
        return dg.SkipReason("Every destination and feed has whatever it can be given now.")
    active = in_progress(instance, job_name)
    if active is not None:
        return dg.SkipReason(f"{', '.join(waiting)} can wait: run {active} is in progress.")
    return dg.RunRequest(partition_key=exports.clock().date().isoformat())


def request_yesterday(pipeline: PipelineResource, moment: datetime) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run over the day before ``moment``, if there are destinations."""
    try:
        destinations = pipeline.open().config.destinations
    except LumiError as error:
        return dg.SkipReason(str(error))
    if not destinations:
        return dg.SkipReason("No destination is configured.")
    return dg.RunRequest(partition_key=(moment.date() - timedelta(days=1)).isoformat())
