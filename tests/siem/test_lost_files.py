"""A planned batch whose file is lost: it alone is kept back, named with what to do, and goes once the file is there."""

from datetime import timedelta
from pathlib import Path

from lumi_pipeline.siem.attending import unblock
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.status import Health
from tests.lake.world import World, at


def test_a_lost_file_blocks_its_batch_alone_and_says_so(tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", at(2))
    world.send_to({"name": "files", "kind": "file", "path": "out", "since": "beginning"})
    world.record("acme", at(0), at(1))  # two days: two batches
    world.pipeline().land()
    assert len(list(Exports(world.pipeline()).plan("files"))) == 1
    lost = next(key for key in world.store.list("siem/files/batches/") if "/batch-" in key)
    kept = world.store.get(lost)
    world.store.delete(lost)

    exports = Exports(world.pipeline())
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
