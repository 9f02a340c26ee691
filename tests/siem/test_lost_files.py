"""Files of planned batches that are lost, before they were delivered, and after."""

from datetime import timedelta
from pathlib import Path

import pytest

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.attending import give_up, unblock
from lumi_pipeline.siem.backfill import backfill, find_gap
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.status import Health
from tests.lake.world import World, at, day

PERIOD = Period(day(0), day(1))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two events of two days, which make two batches."""
    made = World.create(tmp_path / "world", at(2))
    made.send_to({"name": "files", "kind": "file", "path": "out", "since": "beginning"})
    made.record("acme", at(0), at(1))
    made.pipeline().land()
    return made


def bodies(world: World) -> list[str]:
    return [key for key in world.store.list("siem/files/batches/") if "/batch-" in key]


def test_a_lost_file_blocks_its_batch_alone_and_says_so(world: World) -> None:
    exports = Exports(world.pipeline())
    assert [plan.batches for plan in exports.plan("files")] == [2]
    lost, _ = bodies(world)
    kept = world.store.get(lost)
    world.store.delete(lost)

    assert exports.deliver("files").events == 1
    status = exports.status("files")
    assert (status.blocked, status.open_events, status.health(world.clock.now)) == (1, 0, Health.ATTENTION)
    assert status.blocked_reason == f"{lost} is missing although it was committed; restore it from a backup"
    assert status.to_json(world.clock.now)["blocked_reason"] == status.blocked_reason

    world.store.put_new(lost, kept)
    assert unblock(exports, "files") == 1
    world.clock.now += timedelta(seconds=1)
    assert exports.deliver("files").events == 1
    assert exports.status("files").health(world.clock.now) is Health.OK


def test_without_a_backup_its_days_are_sent_again(world: World) -> None:
    exports = Exports(world.pipeline())
    assert [plan.batches for plan in exports.plan("files")] == [2]
    world.store.delete(bodies(world)[0])
    exports.deliver("files")
    report = backfill(exports, "files", find_gap(exports, "files", PERIOD, force=True), timedelta(0))
    assert report.statement.lacks_nothing
    assert report.statement.counts["delivered"] == 2
    assert report.statement.counts["duplicates"] == 1
    assert exports.status("files").blocked == 1

    assert len(give_up(exports, "files", "lost; sent again by a forced backfill", None)) == 1
    assert exports.status("files").health(world.clock.now) is Health.OK
    statement = exports.statement("files", PERIOD)
    assert (statement.lacks_nothing, statement.counts["discarded"]) == (True, 0)
    [*_, (_, last)] = exports.receipts("files").filed(0)
    assert last["reason"] == "lost; sent again by a forced backfill"


def test_what_is_given_up_and_not_sent_otherwise_is_not_complete(world: World) -> None:
    exports = Exports(world.pipeline())
    assert [plan.batches for plan in exports.plan("files")] == [2]
    world.store.delete(bodies(world)[0])
    exports.deliver("files")
    with pytest.raises(SiemError, match="needs a reason"):
        give_up(exports, "files", " ", None)
    assert len(give_up(exports, "files", "nobody needs it", None)) == 1
    statement = exports.statement("files", PERIOD)
    assert (statement.lacks_nothing, statement.counts["discarded"], statement.counts["delivered"]) == (False, 1, 1)


def test_bodies_of_what_is_delivered_are_not_needed_any_more(world: World) -> None:
    exports = Exports(world.pipeline())
    assert [plan.batches for plan in exports.plan("files")] == [2]
    exports.deliver("files")
    for key in bodies(world):
        world.store.delete(key)
    world.record("acme", at(1, "13:00:00"))
    world.pipeline().land()
    exports = Exports(world.pipeline())
    assert [plan.events for plan in exports.plan("files")] == [1]
    assert exports.deliver("files").events == 1
    assert exports.statement("files", PERIOD).lacks_nothing
    assert find_gap(exports, "files", PERIOD).events == 0
