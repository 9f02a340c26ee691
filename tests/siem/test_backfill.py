"""Backfill beside live planning, and beside another backfill: no event is sent by both."""

from datetime import timedelta
from pathlib import Path

import pytest

from lumi_pipeline.errors import ConcurrentRun
from lumi_pipeline.siem import deliver
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.backfill import _move_over, backfill, find_gap
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.ledger import Ledger
from lumi_pipeline.siem.ledgerbook import LedgerBook, Segment
from lumi_pipeline.siem.opening import opened
from tests.lake.world import World, at, day

PERIOD = Period(day(0), day(1))
NO_WAIT = timedelta(0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three landed events, none of which is planned, and two destinations: one from now on, one for all of them."""
    world = World.create(tmp_path / "world", at(1, "12:00:00"))
    world.record("acme", at(0, "09:00:00"), at(0, "09:00:01"), at(1, "09:00:02"))
    files = {"kind": "file", "path": str(tmp_path / "files")}
    world.send_to({**files, "name": "files", "since": "beginning"}, {**files, "name": "today"})
    world.pipeline().land()
    return world


def counts(exports: Exports, name: str) -> tuple[int, int, int]:
    """How many events are delivered, on their way and possibly twice."""
    found = exports.statement(name, PERIOD).counts
    return found["delivered"], found["open"], found["duplicates"]


def test_what_live_planning_will_take_is_on_its_way(world: World) -> None:
    exports = Exports(world.pipeline())
    assert counts(exports, "files") == (0, 3, 0)
    gap = find_gap(exports, "files", PERIOD)
    assert (gap.missing, gap.open_events) == ((), 3)
    # Before the day that the destination begins with, nothing goes there by itself.
    gap = find_gap(exports, "today", PERIOD)
    assert ([found.count for found in gap.missing], gap.open_events) == ([2], 1)


@pytest.mark.parametrize("name", ["files", "today"])
def test_live_planning_does_not_send_again_what_a_backfill_sent(world: World, name: str) -> None:
    exports = Exports(world.pipeline())
    report = backfill(exports, name, find_gap(exports, name, PERIOD), NO_WAIT)
    assert (report.statement.lacks_nothing, report.delivery.events) == (True, 3)
    assert list(exports.plan(name)) == []
    world.record("acme", at(1, "13:00:00"))
    world.pipeline().land()
    later = Exports(world.pipeline())
    assert [planned.events for planned in later.plan(name)] == [1]
    later.deliver(name)
    assert counts(later, name) == (4, 0, 0)


def test_of_two_backfills_that_found_the_same_one_sends_it(world: World) -> None:
    first, second = Exports(world.pipeline()), Exports(world.pipeline())
    gaps = [find_gap(exports, "today", PERIOD) for exports in (first, second)]
    assert backfill(first, "today", gaps[0], NO_WAIT).delivery.events == 3
    assert backfill(second, "today", gaps[1], NO_WAIT).delivery.events == 0
    assert counts(second, "today") == (3, 0, 0)


def test_rows_that_another_run_planned_meanwhile_are_not_planned_again(world: World) -> None:
    exports = Exports(world.pipeline())
    gap = find_gap(exports, "today", PERIOD)
    list(Exports(world.pipeline()).plan("today"))
    with opened(exports.settings("today")) as destination, pytest.raises(ConcurrentRun, match="run again"):
        list(exports.planner(destination).backfill("backfill-1", {"acme": (0, 2)}, (day(0), day(0)), gap.next_plan))


@pytest.fixture
def outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Seven events of each of two days, every third one of globex, which has a route of its own.

    Two batches are taken up at a time.
    """
    world = World.create(tmp_path / "world", at(1, "23:00:00"))
    for number in (0, 1):
        world.record_all(("globex" if i % 3 == 2 else "acme", at(number)) for i in range(7))
    routes = [{"name": "gold", "tenants": ["globex"]}]
    world.send_to(
        {"kind": "file", "path": str(tmp_path / "files"), "name": "files", "since": "beginning", "routes": routes}
    )
    world.pipeline().land()
    monkeypatch.setattr(deliver, "_READY", 2)
    return world


def plan_singly(world: World, events: int = 1) -> Exports:
    exports = Exports(world.pipeline())
    with opened(exports.settings("files")) as destination:
        list(exports.planner(destination).plan(events))
    return exports


def most_open(exports: Exports) -> int:
    """How many batches were in the ledger at most."""
    ledger, most = Ledger(), 0
    for number, data in LedgerBook(exports.lake, "files").journal.since(0):
        ledger.apply(Segment.parse(data, str(number)).moves)
        most = max(most, len(ledger.open))
    return most


def lanes(exports: Exports) -> dict[str, int]:
    """How many events were delivered in which lane; those of a backfill are one."""
    found: dict[str, int] = {}
    for _, receipt in exports.receipts("files").filed(0):
        lane = str(receipt["lane"]).partition("-")[0].partition("/")[0]
        found[lane] = found.get(lane, 0) + int(str(receipt["events"]))
    return found


@pytest.mark.parametrize("number", [0, 1])
def test_what_waits_in_many_plans_is_moved_over_in_one_step_and_the_ledger_stays_small(
    outage: World, number: int
) -> None:
    exports = plan_singly(outage)
    period = Period(day(number), day(number))
    report = backfill(exports, "files", find_gap(exports, "files", period), NO_WAIT)
    assert (report.statement.counts["delivered"], report.delivery.events) == (7, 14)
    assert lanes(exports) == {"backfill": 7, "live": 7}
    assert most_open(exports) <= 4
    assert exports.statement("files", PERIOD).counts["duplicates"] == 0


def test_a_backfill_that_was_moved_over_and_then_killed_is_carried_on_by_any_delivery(outage: World) -> None:
    exports = plan_singly(outage)
    _move_over(exports, "files", Period(day(0), day(0)), "backfill-1")
    status = exports.status("files")
    assert (status.open_batches, status.open_events) == (14, 14)
    assert counts(exports, "files") == (0, 14, 0)
    # Another one finds them where they are, and takes all over.
    _move_over(exports, "files", PERIOD, "backfill-2")
    assert {(part.first, part.end, part.lane) for part in LedgerBook(exports.lake, "files").ledger.later} == {
        (0, 14, "backfill-2")
    }
    assert Exports(outage.pipeline()).deliver("files").events == 14
    assert (lanes(exports), counts(exports, "files")) == ({"backfill": 14}, (14, 0, 0))


def test_of_plans_that_hold_other_events_too_only_those_that_are_asked_for_are_moved(outage: World) -> None:
    exports = plan_singly(outage, events=5)
    _move_over(exports, "files", Period(day(0), day(1), "globex"), "backfill-1")
    exports.deliver("files")
    assert lanes(exports) == {"backfill": 4, "live": 10}
