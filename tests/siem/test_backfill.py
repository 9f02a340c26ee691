"""Backfill beside live planning, and beside another backfill: no event is sent by both."""

from datetime import timedelta
from pathlib import Path

import pytest

from lumi_pipeline.errors import ConcurrentRun
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.backfill import backfill, find_gap
from lumi_pipeline.siem.exports import Exports
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
    assert (report.statement.is_complete, report.delivery.events) == (True, 3)
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
