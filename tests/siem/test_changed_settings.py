"""Settings that change while batches wait: nothing goes to whom it was not planned for, or in a form it can't read."""

from pathlib import Path

import pytest

from lumi_pipeline.siem.attending import unblock
from lumi_pipeline.siem.exports import Exports
from tests.lake.world import World, at

FILES = {"name": "siem", "kind": "file", "path": "out", "since": "beginning"}
HTTPS = {"name": "siem", "kind": "https", "url": "https://127.0.0.1:9", "since": "beginning"}
ROUTE = {"name": "customer", "tenants": ["acme"], "path": "customer"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World.create(tmp_path / "world", at(1))
    world.record_all([("acme", at(0)), ("globex", at(0))])
    world.pipeline().land()
    return world


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ({**FILES, "tenants": ["acme"]}, {**FILES, "tenants": ["globex"]}, "planned for tenant acme"),
        ({**FILES, "routes": [ROUTE]}, {**FILES, "routes": [{**ROUTE, "tenants": ["globex"]}]}, "route customer"),
        (FILES, HTTPS, r"planned for file \(ndjson.gz\), not for https"),
        (HTTPS, {**HTTPS, "body": "array"}, r"planned for https \(ndjson.gz\), not for https \(json.gz\)"),
    ],
)
def test_what_was_planned_for_other_settings_is_blocked(
    world: World, before: dict[str, object], after: dict[str, object], why: str
) -> None:
    world.send_to(before)
    list(Exports(world.pipeline()).plan("siem"))
    world.send_to(after)
    exports = Exports(world.pipeline())
    exports.deliver("siem")
    status = exports.status("siem")
    assert status.blocked
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(status.blocked_reason)
    assert not any("acme" in path.read_text("utf-8", "replace") for path in world.directory.glob("customer/*/*"))
    assert not list(world.directory.glob("out/*/*")) or "route" in why

    # With the old settings it goes on as if nothing had been.
    if before["kind"] == "file":
        world.send_to(before)
        exports = Exports(world.pipeline())
        assert unblock(exports, "siem")
        exports.deliver("siem")
        assert exports.status("siem").open_events == exports.status("siem").blocked == 0
