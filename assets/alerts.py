"""Alerts through a webhook. The URL is a secret: whoever has it can post, so it is never logged."""

import logging
import os
from collections.abc import Sequence
from typing import Final

import dagster as dg
import httpx

from assets.partitions import RANGE_END, RANGE_START
from lumi_pipeline.cli.output import safe

WEBHOOK_VARIABLE: Final = "LUMI_ALERT_WEBHOOK"
_TIMEOUT: Final = 10.0
_MAX_REASON: Final = 1500

# The client reports every request with its URL.
logging.getLogger("httpx").setLevel(logging.WARNING)


def send_alert(run: dg.DagsterRun, what: str, reasons: Sequence[str]) -> dg.SkipReason | None:
    """Post what happened in a run; return why that was not possible, if it wasn't. Never raises: a daemon waits here.

    The body is JSON. Its ``text`` is what Slack, Mattermost and the like show; the other fields are for programs.
    """
    url = os.environ.get(WEBHOOK_VARIABLE)
    if not url:
        return dg.SkipReason(f"{WEBHOOK_VARIABLE} is not set, so nobody was told that run {run.run_id} {what}.")
    days = sorted({run.tags[tag] for tag in (RANGE_START, RANGE_END, "dagster/partition") if tag in run.tags})
    shown = [safe(reason)[:_MAX_REASON] for reason in reasons]
    about = f" for {' to '.join(days)}" if days else ""
    body = {
        "text": "\n".join([f"lumi-pipeline: {run.job_name}{about} {what}", *shown]),
        "job": run.job_name,
        "run_id": run.run_id,
        "days": days,
        "reasons": shown,
    }
    try:
        with httpx.Client(transport=httpx.HTTPTransport(retries=2), timeout=_TIMEOUT) as client:
            response = client.post(url, json=body)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        return dg.SkipReason(f"The webhook could not be reached ({type(error).__name__}).")
    if response.is_success:
        return None
    return dg.SkipReason(f"The webhook answered {response.status_code}.")
