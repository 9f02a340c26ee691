"""A planner that dies at any durable step, or is overtaken at any operation: nothing is lost or planned twice."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from lumi_pipeline.errors import ConcurrentRun
from lumi_pipeline.siem.plans import PlanBook
from tests.interleaving import interleave, operations_of
from tests.lake.crashes import crashes
from tests.lake.test_race import ENOUGH, Serial
from tests.lake.world import World, at
from tests.siem.planned import assert_planned_once, destination, plans_of
from tests.siem.shipping import NAME, lake_of, plan
from transparency.store import ObjectStore


@pytest.mark.slow
@pytest.mark.everywhere
def test_killed_at_any_write_the_next_run_plans_the_same(spread: World, tmp_path: Path) -> None:
    whole = spread.copy(tmp_path / "whole")
    plan(whole.pipeline(), destination(), max_events=5)
    expected = whole.contents("siem/")
    for crash in crashes(spread, lambda pipeline: plan(pipeline, destination(), max_events=5), tmp_path):
        plan(crash.world.pipeline(), destination(), max_events=5)
        assert crash.world.contents("siem/") == expected, crash.moment


@pytest.mark.slow
def test_killed_at_any_write_more_events_may_have_come_until_the_next_run(spread: World, tmp_path: Path) -> None:
    """Then the next run makes other batches under the same number, and leaves none of the others' files."""
    for crash in crashes(spread, lambda pipeline: plan(pipeline, destination()), tmp_path):
        crash.world.record("acme", at(2, "13:00:00"))
        crash.world.pipeline().land()
        plan(crash.world.pipeline(), destination())
        assert_planned_once(crash.world)
        made = plans_of(crash.world)
        listed = {batch.body.path for read in made for batch in read.batches}
        listed |= {file.path for read in made for file in (read.events, read.cursors) if file}
        stored = {key for key in crash.world.store.list("siem/siem/") if "/plans/" not in key}
        assert stored == listed, crash.moment


Act = Callable[[ObjectStore], object]


def race(world: World, pause: int, *, late: str | None = None) -> tuple[object, object]:
    """Pause a planner before this operation, while another plans everything; ``late`` comes for the second."""
    outcomes = interleave(world.store, [act(world), act(world, late)], [0] * pause + [1] * ENOUGH)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, ConcurrentRun):
            raise outcome
    return cast("tuple[object, object]", tuple(outcomes))


def act(world: World, late: str | None = None) -> Act:
    """A planner that works on the store it is given; before, an event of the tenant ``late`` is landed."""

    def run(store: ObjectStore) -> object:
        serial = Serial(store)
        list(serial.list("nothing/"))  # so that what follows waits for this run's turn
        if late:
            world.record(late, at(2, "13:00:00"))
            world.pipeline().land()
        return plan(world.pipeline(lambda _: serial), destination())

    return run


def moments(world: World, directory: Path) -> list[int]:
    """Operations of a planner before which it is to be stopped: every third one."""
    counted = world.copy(directory / "counted")
    return list(range(0, operations_of(act(counted), counted.store) + 1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("late", [None, "acme"])
def test_a_planner_is_overtaken_at_every_operation(spread: World, tmp_path: Path, late: str | None) -> None:
    """Nothing is planned twice, nothing is lost, and whoever is overtaken says so or has done the same."""
    ends = set()
    for pause in moments(spread, tmp_path):
        world = spread.copy(tmp_path / str(pause))
        first, second = race(world, pause, late=late)
        assert isinstance(second, list)
        ends.add(type(first).__name__)
        plan(world.pipeline(), destination())
        assert_planned_once(world)
        book = PlanBook(lake_of(world.store), NAME)
        listed = {batch.body.path for read in plans_of(world) for batch in read.batches}
        assert listed <= set(world.store.list(book.prefix))
    assert ends == ({"list"} if late is None else {"list", "ConcurrentRun"})


@pytest.mark.slow
def test_a_day_may_be_sealed_and_its_landings_cleared_away_while_it_is_planned(spread: World, tmp_path: Path) -> None:
    """Whoever is overtaken says so, and what to do; it is no damage."""
    spread.clock.now = at(3, "00:20:00")
    ends = set()
    for pause in moments(spread, tmp_path)[::2]:
        world = spread.copy(tmp_path / str(pause))

        def seal(store: ObjectStore, world: World = world) -> object:
            list(store.list("nothing/"))
            return world.pipeline().run()

        outcome, sealed = interleave(world.store, [act(world), seal], [0] * pause + [1] * ENOUGH)
        assert not isinstance(sealed, BaseException)
        if isinstance(outcome, BaseException) and not isinstance(outcome, ConcurrentRun):
            raise outcome
        ends.add(type(outcome).__name__)
        plan(world.pipeline(), destination())
        assert_planned_once(world)
    assert "list" in ends
