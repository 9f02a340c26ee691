"""Days that are verified side by side, in other processes, get the verdicts that one process gives."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lumi_pipeline.compute import Inline, Processes, open_compute
from lumi_pipeline.dayunits import DayUnit, verify_day, verify_days_apart
from lumi_pipeline.stores.roots import LakeAddress
from lumi_pipeline.verdict import Status, Verdict
from tests.erasure.forgetting import forget, lived_in
from tests.lake.judging import judge
from tests.lake.world import World, at, day
from tests.pruning.aging import aged, prune_world


@pytest.fixture
def broken(tmp_path: Path) -> World:
    """Five sealed days, one of them idle; a file of one is altered and one of another is gone."""
    world = World.create(tmp_path / "world", at(5, "00:20:00"))
    world.record("acme", *(at(number) for number in (0, 1, 3, 4)))
    world.record("globex", at(1, "13:00:00"), at(4))
    world.pipeline().run()
    [altered] = world.store.list(f"events/day={day(1)}/")
    world.overwrite(altered, world.store.get(altered)[:-9] + bytes(9))
    [gone] = world.store.list(f"seals/day={day(3)}/manifest.json")
    world.store.delete(gone)
    return world


def apart(world: World, place: str) -> tuple[list[Verdict], int]:
    pipeline = world.pipeline()
    genesis = pipeline.genesis()
    assert genesis is not None
    done: list[int] = []
    sealer = pipeline.sealer(genesis)
    days = [found for found in pipeline.lake.sealed_days() if found >= genesis.first_day]
    address = LakeAddress.of(world.config)
    found = verify_days_apart(open_compute(place), address, genesis, sealer, days, progress=done.append)
    return list(found), sum(done)


def together(world: World) -> list[Verdict]:
    return [verdict for verdict in judge(world) if verdict.subject.startswith("2024-")]


@pytest.mark.parametrize(
    "place", ["inline", *(pytest.param(p, marks=pytest.mark.slow) for p in ("processes:2", "dask"))]
)
def test_the_verdicts_are_those_of_one_process(broken: World, place: str, request: pytest.FixtureRequest) -> None:
    found, events = apart(broken, f"dask:{request.getfixturevalue('scheduler')}" if place == "dask" else place)
    assert found == together(broken)
    assert [verdict.status for verdict in found] == [
        Status.VERIFIED,
        Status.FAILED,
        Status.VERIFIED,
        Status.FAILED,
        Status.INCOMPLETE,
    ]
    assert events == 1


def test_what_was_erased_is_known_to_those_who_cannot_open_the_outbox(tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", at(2, "00:20:00"))
    lived_in(world)
    forget(world.pipeline())
    found, _ = apart(world, "inline")
    assert found == together(world)
    assert {verdict.status for verdict in found} == {Status.VERIFIED}


def test_what_was_pruned_is_known_to_them_as_well(tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", at(0))
    aged(world)
    prune_world(world)
    found, _ = apart(world, "inline")
    assert found == together(world)
    assert [verdict.reason for verdict in found] == ["pruned", "pruned", "ok", "ok"]
    world.place.lose_outbox()
    lost, _ = apart(world, "inline")
    assert [verdict.status for verdict in lost] == [*([Status.INCOMPLETE] * 2), *([Status.VERIFIED] * 2)]


@pytest.mark.slow
def test_the_command_uses_what_is_configured(broken: World, monkeypatch: pytest.MonkeyPatch) -> None:
    inline = judge(broken)
    used = []

    def map_here(self: Processes, work: object, units: Iterator[DayUnit]) -> Iterator[Verdict]:
        used.append(self.count)
        assert work is verify_day
        return Inline().map(verify_day, units)

    monkeypatch.setattr(Processes, "map", map_here)
    object.__setattr__(broken.config, "compute", "processes:3")
    assert judge(broken) == inline
    assert used == [3]
