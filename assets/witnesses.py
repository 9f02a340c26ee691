"""Fresh cosignatures: the newest checkpoint is shown to the witnesses once more, between two publications."""

import dagster as dg

from assets import lines
from assets.failures import plain_failures
from assets.metadata import cosigning_metadata
from assets.publishing import published_day
from assets.resources import PipelineResource


@dg.op
def submit_checkpoint(context: dg.OpExecutionContext, pipeline: PipelineResource) -> None:
    """Have the public checkpoint cosigned again, as `lumi witness submit` does.

    Fails when those that cosigned now don't make the policy's quorum; what is public stays public.
    """
    with plain_failures(context.retry_number):
        cosigning = pipeline.open().submit()
    metadata = cosigning_metadata(cosigning)
    context.log_event(dg.AssetObservation(published_day.key, description="cosigned again", metadata=metadata))
    if not cosigning.fresh_quorum:
        raise dg.Failure(lines.cosigned(cosigning), metadata, allow_retries=False)
    context.log.info(lines.cosigned(cosigning))
