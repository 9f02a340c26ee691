"""Legal holds: what is held is not erased, and what is held follows from the operator's chain alone."""

import pytest

from lumi_pipeline.catalogue import LEGAL_HOLD_PLACED
from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.erasure.holds import Holds
from lumi_pipeline.erasure.operatorchain import Act
from lumi_pipeline.erasure.orders import Outcome, read_orders
from lumi_pipeline.errors import ErasureError, OutboxTampered
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.verdict import Status
from tests.erasure.forgetting import ACTOR, ERIKA, REASON, forget, status
from tests.lake.crashes import perform
from tests.lake.world import World, day


def holds(world: World) -> Holds:
    return Holds(world.pipeline().operator)


@pytest.mark.everywhere
def test_a_hold_forbids_and_its_release_allows(world: World) -> None:
    held = holds(world).place("acme", "case 4711", first=day(2), last=day(2))
    assert [hold.hold_id for hold in holds(world).active()] == [held.hold_id]
    before = world.contents("e")
    with pytest.raises(ErasureError, match=f"hold {held.hold_id}.*case 4711.*Nothing was touched"):
        forget(world.pipeline())
    assert world.contents("e") == before
    report = Eraser(world.pipeline()).erase(ERIKA, REASON, except_held=True)
    assert report.order is not None
    assert report.chosen is not None
    assert (sorted(report.order.events), list(report.chosen.held.values())) == ([1, 2, 6], [1])
    holds(world).release(held.hold_id[:13], "closed")
    assert holds(world).active() == []
    assert list(forget(world.pipeline()).order.events) == [5]  # type: ignore[union-attr]
    assert status(world) is Status.VERIFIED


def test_what_a_hold_covers(world: World) -> None:
    for other in ({"tenant_id": "globex"}, {"actor_id": "u-1"}, {"first": day(4)}, {"last": day(-1)}):
        holds(world).place(**{"tenant_id": "acme", "reason": "another matter", **other})  # type: ignore[arg-type]
    assert Eraser(world.pipeline()).plan(ERIKA).chosen.held == {}
    holds(world).place("acme", "her case", ACTOR, day(0), day(0))
    chosen = Eraser(world.pipeline()).plan(ERIKA, except_held=True).chosen
    assert {hold.reason: count for hold, count in chosen.held.items()} == {"her case": 2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tenant_id": "../x", "reason": "r"}, "not a tenant id"),
        ({"tenant_id": "acme", "reason": " "}, "needs a reason"),
        ({"tenant_id": "acme", "reason": "r", "first": day(2), "last": day(1)}, "before it begins"),
    ],
)
def test_holds_out_of_form_are_refused(world: World, values: dict[str, object], message: str) -> None:
    with pytest.raises(ErasureError, match=message):
        holds(world).place(**values)  # type: ignore[arg-type]


def test_no_such_hold(world: World) -> None:
    placed = holds(world).place("acme", "case")
    for name in ("019aa4f2-0000", placed.hold_id[:7], ""):
        with pytest.raises(ErasureError, match="no hold of the id"):
            holds(world).release(name, "closed")


def test_a_hold_that_does_not_say_what_it_holds_holds_everything(world: World) -> None:
    event_id = "019aa4f2-0000-7000-8000-000000000009"
    world.pipeline().operator.record(Act(LEGAL_HOLD_PLACED, "x", {}, event_id), lambda _: None, set())
    with pytest.raises(ErasureError, match="everything"):
        forget(world.pipeline())
    holds(world).release(event_id, "a mistake")
    assert forget(world.pipeline()).order is not None


def test_holds_are_not_read_from_a_chain_that_was_altered(world: World) -> None:
    placed = holds(world).place("acme", "case")
    world.pipeline().land()
    assert world.tamper("UPDATE audit_outbox SET action = 'LOGIN' WHERE event_id = ?", (placed.hold_id,)) == 1
    with pytest.raises(OutboxTampered, match="can't be believed"):
        forget(world.pipeline())


def test_a_hold_that_comes_in_between_closes_the_order(world: World) -> None:
    """Killed between order and event; then somebody places a hold."""

    def erase(pipeline: Pipeline) -> object:
        return forget(pipeline)

    writes = perform(world, erase, after=0)
    assert [write.key for write in writes] == ["erasures/000000/order.json"]
    holds(world).place("acme", "case")
    with pytest.raises(ErasureError, match="Nothing was touched"):
        Eraser(world.pipeline()).resume()
    assert [known.outcome for known in read_orders(world.pipeline().lake)] == [Outcome.VOID]
    assert status(world) is Status.VERIFIED
    assert Eraser(world.pipeline()).resume() is None
