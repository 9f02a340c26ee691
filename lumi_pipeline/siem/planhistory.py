"""Among the plans of years, those that deal with certain rows; few others are read to find them."""

from collections.abc import Iterator
from datetime import datetime
from itertools import chain

from lumi_pipeline.siem.journal import first_of
from lumi_pipeline.siem.plans import SUMMED_EVERY, Covered, Plan, PlanBook, Planned, Ranges, last_backfill


def plans_about(book: PlanBook, ranges: Ranges, begin: datetime, planned: Planned) -> Iterator[Plan]:
    """Yield, in order, the plans that deal with any of these rows, of which none was planned before ``begin``.

    ``planned`` is how far planning had come at some time since. Live plans lie between two that are found by bisection,
    as they go on from each other; backfills may come whenever somebody asks, so each plan names the last one.
    """
    last = book.journal.last()
    if last is None:
        return
    low = first_of(last + 1, lambda number: book.read(number).at >= begin)
    high = _behind_live(book, low, ranges, planned)
    later = []
    number = last_backfill(book.read(last))
    while number is not None and high is not None and number >= high:
        later.append(number)
        number = book.read(number).backfill
    # What is committed from here on is read too.
    newest = book.since(last + 1) if high is not None else ()
    for plan in chain(book.since(low, high), map(book.read, reversed(later)), newest):
        if any(_meets(share, ranges) for share in plan.covered):
            yield plan


def _behind_live(book: PlanBook, low: int, ranges: Ranges, planned: Planned) -> int | None:
    """A number from which on no live plan deals with these rows, one behind a plan that sums up; None: unknown."""
    wanted = {t: min(after, planned.cursors[t]) for t, (_, after) in ranges.items() if t in planned.cursors}

    def is_over(index: int) -> bool:
        cursors = book.cursors(book.read(index * SUMMED_EVERY))
        return all(cursors.get(tenant_id, 0) >= after for tenant_id, after in wanted.items())

    start, count = -(-low // SUMMED_EVERY), -(-planned.next_number // SUMMED_EVERY)
    found = start + first_of(max(count - start, 0), lambda index: is_over(start + index))
    return found * SUMMED_EVERY + 1 if found < count else None


def _meets(share: Covered, ranges: Ranges) -> bool:
    first, after = ranges.get(share.tenant_id, (0, 0))
    return share.first < after and share.next > first
