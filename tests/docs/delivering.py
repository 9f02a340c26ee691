"""A delivery with all that it leaves in the lake, for the tests of docs/formats.md."""

from collections.abc import Callable
from datetime import timedelta

from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.backfill import backfill, find_gap
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.feed import publish_feed
from lumi_pipeline.siem.source import Source
from tests.lake.world import World, at
from transparency.store import ObjectStore

NAME = "archive"
DELIVERY_FORMS = {
    "batch-id",
    "receipt-delivered",
    "receipt-quarantined",
    "receipts-note",
    "siem-digest",
    "siem-lease",
    "siem-ledger",
    "siem-plan",
    "statement",
}
"""Forms of docs/formats.md that test_formats_delivery.py checks."""


def deliver(world: World, wrap: Callable[[ObjectStore], ObjectStore] = lambda store: store) -> None:
    """Plan and deliver what was landed on the first two days, state it, and publish a feed of it."""
    world.send_to({"name": NAME, "kind": "file", "path": "out", "since": "beginning", "actions": ["TICKET_CREATED"]})
    pipeline = world.pipeline(wrap)
    exports = Exports(pipeline)
    assert sum(plan.events for plan in exports.plan(NAME)) == 2
    exports.deliver(NAME)
    gap = find_gap(exports, NAME, Period(at(0).date(), at(1).date()))
    assert backfill(exports, NAME, gap, timedelta(0)).statement.lacks_nothing
    publish_feed(Source.open(pipeline.lake, tuple(pipeline.sealed_days())), "acme")
