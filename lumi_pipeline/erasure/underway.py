"""What copies events just now, or was interrupted while it did: a copy that nothing lists yet can't be erased.

An erasure neither begins nor ends beside one of these (:mod:`lumi_pipeline.erasure.erasing`).
"""

from collections.abc import Collection, Iterator
from datetime import date

from lumi_pipeline.lake import EVENTS_PREFIX, Lake
from lumi_pipeline.pruning.removing import days_to_clear
from lumi_pipeline.siem.feedentries import FeedBook
from lumi_pipeline.siem.plans import PlanBook, destinations_of


def under_way(lake: Lake, days: Collection[date], tenant_id: str, *, seals: bool = True) -> Iterator[str]:
    """Yield what is half done in a lake whose sealed days are these and may hold rows of a tenant, and what ends it.

    Without ``seals`` they don't count.
    """
    if seals:
        yield from _seals(lake, days)
    for day in days_to_clear(lake):
        yield f"a pruning of {day} is under way or was interrupted; 'lumi prune' completes it"
    yield from _rebases(lake)
    yield from _plans(lake)
    yield from _feeds(lake, tenant_id)


def _seals(lake: Lake, days: Collection[date]) -> Iterator[str]:
    sealed = {str(day) for day in days}
    for key in lake.store.list(f"{EVENTS_PREFIX}day="):
        if key.removeprefix(f"{EVENTS_PREFIX}day=").partition("/")[0] not in sealed:
            yield f"{key} is of a seal that is under way or was interrupted; 'lumi run' completes it, or says why not"


def _rebases(lake: Lake) -> Iterator[str]:
    keys = list(lake.store.list("rebases/"))
    done = {key.split("/")[1] for key in keys if key.endswith("/done.json")}
    if {key.split("/")[1] for key in keys} - done:
        yield "a rebase was interrupted; 'lumi landing rebase' completes it"


def _plans(lake: Lake) -> Iterator[str]:
    for name in destinations_of(lake):
        book = PlanBook(lake, name)
        last = book.journal.last()
        newest = "" if last is None else f"{book.bodies_prefix(last)[:-1]}0"  # the character behind the slash
        key = next(iter(lake.store.list(f"{book.prefix}batches/", start_after=newest)), None)
        if key is not None:
            yield (
                f"{key} is of a plan that is under way or was interrupted; 'lumi siem plan {name}' completes it. "
                "Delete it if that destination is not configured any more"
            )


def _feeds(lake: Lake, tenant_id: str) -> Iterator[str]:
    book = FeedBook(lake, tenant_id)
    last = book.journal.last()
    newest = "" if last is None else f"{book.prefix}{book.object_prefix(last)}~"  # behind every name of its objects
    key = next(iter(lake.store.list(f"{book.prefix}events/", start_after=newest)), None)
    if key is not None:
        how = f"'lumi feed --tenant {tenant_id}' completes it"
        yield f"{key} belongs to no entry of the feed yet: a run is under way or was interrupted; {how}"
