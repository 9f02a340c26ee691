"""The weekly audit: everything we hold is verified again, from the outbox to the log."""

import dagster as dg

from assets.failures import plain_failures
from assets.metadata import verdict_metadata
from assets.publishing import published_day
from assets.resources import PipelineResource
from lumi_pipeline.cli.history import judge_history
from lumi_pipeline.daychecks import DECLARED_BREAK
from lumi_pipeline.verdict import Status


@dg.op
def verify_history(context: dg.OpExecutionContext, pipeline: PipelineResource) -> None:
    """Verify the log, every sealed day from its stored rows, the landings and the outbox, as `lumi verify --all` does.

    What could not be checked fails the run like what does not verify: skipped is never success. Days that were sealed
    with acknowledged breaks are as they were sealed; they are listed, and fail nothing.
    """
    with plain_failures():
        opened = pipeline.open()
        verdicts = list(judge_history(opened, opened.trust(), None, None))
    metadata = verdict_metadata(verdicts)
    context.log_event(dg.AssetObservation(published_day.key, description="weekly audit", metadata=metadata))
    open_points = [verdict for verdict in verdicts if verdict.status is not Status.VERIFIED]
    failed = [verdict for verdict in open_points if verdict.reason != DECLARED_BREAK]
    if failed:
        found = "\n".join(line for verdict in failed for line in verdict.lines)
        raise dg.Failure(f"{len(failed)} of {len(verdicts)} parts of the history do not verify:\n{found}", metadata)
    context.log.info("verified %d parts of the history", len(verdicts))
