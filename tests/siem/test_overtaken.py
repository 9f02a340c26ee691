"""Planning while another run seals and clears away what was landed."""

from pathlib import Path

import pytest

from lumi_pipeline.errors import ConfigError, LakeError
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


def test_what_is_landed_after_midnight_is_still_the_first_days(tmp_path: Path) -> None:
    """A destination without 'since' begins with the day on which it is first planned, also if nothing was there yet."""
    world = World.create(tmp_path / "world", at(0, "20:00:00"))
    world.send_to({"name": "hook", "kind": "https", "url": "https://siem.example.com"})
    assert list(Exports(world.pipeline()).plan("hook")) == []
    world.record("acme", at(0, "23:00:00"))
    world.clock.now = at(1, "00:10:00")
    world.pipeline().land()
    assert [report.events for report in Exports(world.pipeline()).plan("hook")] == [1]
    assert Exports(world.pipeline()).since("hook") == day(0)


def test_nothing_is_sent_that_no_receipt_could_be_signed_for(world: World) -> None:
    exports = Exports(world.pipeline(evidence_key_file=world.directory / "missing.key"))
    list(exports.plan("hook"))
    with pytest.raises(ConfigError, match="there is no key at"):
        exports.deliver("hook")
    assert list(world.store.list("siem/hook/ledger/")) == []
