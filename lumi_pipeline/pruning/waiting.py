"""Who has not got the events of days that are about to leave: they would never get them."""

from datetime import date

from lumi_pipeline.errors import PruneError
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.feedentries import FeedBook


def check_nobody_waits(pipeline: Pipeline, last: date) -> None:
    """Raise :class:`~lumi_pipeline.errors.PruneError` if a destination or feed has not taken all events up to a day.

    What a destination has planned lies in batches of its own, whenever it is sent.
    """
    ends = {t: tenant.record.next for t, tenant in load_sealed_day(pipeline.lake, last).tenants.tenants.items()}
    exports = Exports(pipeline)
    for name in exports.names:
        tenant_id = exports.waiting(name, ends)
        if tenant_id is not None:
            raise PruneError(
                f"the destination {name} has not got all events of tenant {tenant_id} up to {last}; run 'lumi siem "
                "plan', or take it out of the configuration"
            )
    for tenant_id in pipeline.config.feeds:
        found = FeedBook(pipeline.lake, tenant_id).last()
        if ends.get(tenant_id, 0) > (found[0].next if found else 0):
            raise PruneError(
                f"the feed of tenant {tenant_id} does not have all its events up to {last}; run 'lumi feed', or "
                "take it out of the configuration"
            )
