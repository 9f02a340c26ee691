"""Planning while another run seals and clears away what was landed."""

from pathlib import Path

import pytest

from lumi_pipeline.errors import LakeError
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.exports import Exports
from tests.lake.world import World, at, day

HOOK = {"name": "hook", "kind": "https", "url": "https://siem.example.com", "since": "beginning"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World.create(tmp_path / "world", at(1, "12:00:00"))
    world.record("acme", at(0, "09:00:00"), at(0, "09:00:01"), at(0, "09:00:02"))
    world.send_to(HOOK)
    world.pipeline().land()
    return world


def test_what_was_sealed_meanwhile_is_planned_from_there(world: World) -> None:
    exports = Exports(world.pipeline())
    assert len(exports.source.cursors) == 1  # as it was before the other run
    world.pipeline().run()
    assert not list(world.store.list("landed/"))
    assert sum(report.events for report in exports.plan("hook")) == 3


def test_and_accounted_for_from_there(world: World) -> None:
    exports = Exports(world.pipeline())
    assert len(exports.source.cursors) == 1
    world.pipeline().run()
    with exports.account("hook", Period(day(0), day(1))) as account:
        assert [(found.tenant_id, found.open, found.missing) for found in account.days()] == [("acme", 3, 0)]


def test_what_is_really_lost_stays_an_error(world: World) -> None:
    exports = Exports(world.pipeline())
    [key] = [key for key in world.store.list("landed/") if "part-" in key]
    world.store.delete(key)
    with pytest.raises(LakeError, match="missing although it was committed"):
        list(exports.plan("hook"))
