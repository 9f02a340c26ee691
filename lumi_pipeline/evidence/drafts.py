"""Drafts: bundles that lack only the signature, for as long as it takes to get it.

``evidence-drafts/<time>-<run>/<tenant>.zip`` is what one process wrote, and another completes once the process with
the key has signed its checksums. A draft is no evidence, and may be deleted at any time; then the evidence has to be
made again. The run that had them made removes them. Those of a run that was killed are removed by the first run that
comes a day later, and by any erasure, as they hold personal data.
"""

from datetime import datetime, timedelta
from typing import Final

from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.readme import Run
from lumi_pipeline.lake import Lake
from lumi_pipeline.stores.purging import purge

DRAFTS: Final = "evidence-drafts/"
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_ABANDONED: Final = timedelta(days=1)
"""How old a run's drafts have to be before they count as left behind. No month's evidence takes that long."""


def draft_key(run: Run, asked: Asked) -> str:
    """Where a run's draft of a tenant's bundle lies."""
    return f"{_of_run(run)}{asked.tenant_id}.zip"


def clear_drafts(lake: Lake, run: Run) -> None:
    """Remove a run's drafts."""
    for key in list(lake.store.list(_of_run(run))):
        lake.discard(key)


def clear_abandoned(lake: Lake, now: datetime) -> None:
    """Remove drafts that a killed run has left behind, and not those of one that may be at work."""
    newest = f"{DRAFTS}{now - _ABANDONED:{_STAMP}}"
    for key in [key for key in lake.store.list(DRAFTS) if key < newest]:
        lake.discard(key)


def purge_drafts(lake: Lake) -> None:
    """Remove every draft for good. A run at work that misses one says so, and has to be repeated."""
    for key in list(lake.store.list(DRAFTS)):
        purge(lake.store, key)


def _of_run(run: Run) -> str:
    return f"{DRAFTS}{run.at:{_STAMP}}-{run.identifier}/"
