"""Lanes: routes and backfills wait for nobody but themselves, and one destination for no other."""

from datetime import timedelta
from pathlib import Path

import pytest

from lumi_pipeline.siem.destination import Result
from lumi_pipeline.siem.ledger import State
from tests.lake.world import World, at, day
from tests.siem.shipping import (
    ScriptedDestination,
    Shipping,
    Siem,
    down,
    failing,
    in_memory,
    plan,
    planner,
    settings,
    taken,
)

MINUTE = timedelta(minutes=1)


@pytest.fixture
def shipping(tmp_path: Path) -> Shipping:
    """Eight events of acme on a route of their own, eight of globex on the default one; acme's once more as a backfill.

    In order, so that in each lane one waits for the other.
    """
    world = World.create(tmp_path / "world", at(0, "13:00:00"))
    world.record_all([("acme", at(0))] * 8 + [("globex", at(0))] * 8)
    world.pipeline().land()
    options: dict[str, object] = {"ordered": True, "routes": [{"name": "gold", "tenants": ["acme"]}]}
    destination = ScriptedDestination(settings(**options), Siem())
    plan(world.pipeline(), destination)
    list(planner(world.pipeline(), destination).backfill("backfill-1", {"acme": (0, 8)}, (day(0), day(0)), 1))
    return Shipping(in_memory(world), world.clock, settings(**options))


def test_each_route_and_each_backfill_is_a_lane(shipping: Shipping) -> None:
    shipping.run()
    lanes = [(receipt["lane"], receipt["events"]) for receipt in shipping.receipts()]
    assert sorted(lanes) == [(f"{lane}", "4") for lane in sorted(["backfill-1/gold", "live/default", "live/gold"] * 2)]


@pytest.mark.parametrize("failing", ["acme", "globex"])
def test_a_lane_that_gets_nowhere_stops_no_other(shipping: Shipping, failing: str) -> None:
    shipping.siem.script = lambda request: down() if failing in request.tenants else taken()
    shipping.run(5 * MINUTE)
    left = [delivery.lane for delivery in shipping.ledger.open.values()]
    assert set(left) == ({"live/gold", "backfill-1/gold"} if failing == "acme" else {"live/default"})
    assert {d.state for d in shipping.ledger.open.values()} <= {State.WAITING, State.PLANNED}
    shipping.siem.script = lambda _: taken()
    shipping.run(5 * MINUTE)
    assert shipping.ledger.open == {}
    assert set(shipping.siem.counts.values()) == {1, 2}


@pytest.mark.parametrize("refused", ["acme", "globex"])
def test_credentials_of_one_route_that_are_refused_hold_that_route_alone(shipping: Shipping, refused: str) -> None:
    blocked = failing(Result.BLOCKED, status=401)
    shipping.siem.script = lambda request: blocked if refused in request.tenants else taken()
    report = shipping.run()
    left = {delivery.lane for delivery in shipping.ledger.open.values()}
    assert left == ({"live/gold", "backfill-1/gold"} if refused == "acme" else {"live/default"})
    assert shipping.ledger.hold is None
    assert set(shipping.ledger.pauses) == left
    assert report.hold is not None
    assert report.hold.settings
    tried = len(shipping.siem.requests)
    shipping.run(timedelta(minutes=61))
    assert len(shipping.siem.requests) == tried + 4 * len(left), "one batch of each is tried each quarter of an hour"
    shipping.siem.script = lambda _: taken()
    assert shipping.run().events == 0
    shipping.run(16 * MINUTE)
    assert (shipping.ledger.open, shipping.ledger.pauses) == ({}, {})


def test_routes_that_work_go_on_though_all_were_held(shipping: Shipping) -> None:
    """First all credentials are refused, then only those of one route."""
    shipping.siem.script = lambda _: failing(Result.BLOCKED, status=401)
    shipping.run()
    assert shipping.ledger.hold is not None
    shipping.siem.script = lambda request: failing(Result.BLOCKED) if "acme" in request.tenants else taken()
    shipping.clock.now += 15 * MINUTE
    shipping.run()
    assert "live/default" not in {delivery.lane for delivery in shipping.ledger.open.values()}
    assert shipping.ledger.hold is None


def test_a_route_that_is_no_longer_set_goes_where_everything_goes(shipping: Shipping) -> None:
    shipping.settings = settings(ordered=True)
    assert shipping.run().events == 24
