"""Legal holds: what is held is not erased, and what is held follows from the operator's chain alone."""

import json
from contextlib import closing

import pytest

from lumi_pipeline.catalogue import LEGAL_HOLD_PLACED, LEGAL_HOLD_RELEASED, OUTBOX_ERASED
from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.erasure.holds import Hold, Holds
from lumi_pipeline.erasure.operatorchain import Act
from lumi_pipeline.erasure.orders import Order, Outcome, Selector, keep_order, read_orders
from lumi_pipeline.errors import ErasureError, OutboxTampered
from lumi_pipeline.events import uuid7
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.recorder import AuditRecorder
from lumi_pipeline.verdict import Status
from tests.erasure.forgetting import ACTOR, ERIKA, REASON, forget, status
from tests.lake.crashes import perform
from tests.lake.judging import judge
from tests.lake.world import World, day
from transparency.encoding import Json


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
        ({"tenant_id": "acme", "reason": "r", "actor_id": " "}, "actor's id is empty"),
        ({"tenant_id": "acme", "reason": "r" * 4001}, "4,001 characters"),
        ({"tenant_id": "acme", "reason": "r\0"}, "no text"),
        ({"tenant_id": "acme", "reason": "\udcff"}, "no text"),
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


FORM: dict[str, Json] = {"actor": None, "from": None, "reason": "r", "tenant": "globex", "to": None}


@pytest.mark.parametrize(
    "state",
    [
        {},
        {**FORM, "tenant": "Acme "},
        {**FORM, "actor": {"id": "u-1"}},
        {**FORM, "actor": ""},
        {**FORM, "from": "1 March"},
        {**FORM, "from": "2024-03-02", "to": "2024-03-01"},
        {key: value for key, value in FORM.items() if key != "to"},
    ],
)
def test_a_hold_that_does_not_say_what_it_holds_holds_everything(world: World, state: dict[str, Json]) -> None:
    event_id = "019aa4f2-0000-7000-8000-000000000009"
    world.pipeline().operator.record(Act(LEGAL_HOLD_PLACED, "x", state, event_id), lambda _: None, set())
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


def test_what_says_nothing_stops_nothing(world: World) -> None:
    """Events of the operator that are no objects, or give no order, as anybody may record who records for it."""
    with closing(world.outbox.connect()) as connection:
        recorder = AuditRecorder(connection, clock=world.clock)
        for action, state in ((LEGAL_HOLD_RELEASED, "[]"), (OUTBOX_ERASED, "7"), (OUTBOX_ERASED, "{}")):
            recorder.record(
                tenant_id="lumi-operator",
                action=action,
                entity_type="event",
                entity_id="x",
                actor_type="system",
                actor_id="somebody",
                after_state=json.loads(state),
            )
        connection.commit()
    assert forget(world.pipeline()).order is not None
    assert status(world) is Status.VERIFIED


def test_overlapping_holds_are_released_one_by_one(world: World) -> None:
    placed = [holds(world).place("acme", reason, actor) for reason, actor in (("one", None), ("two", ACTOR))]
    for hold in placed:
        with pytest.raises(ErasureError, match="must not be erased"):
            forget(world.pipeline())
        holds(world).release(hold.hold_id, "closed")
        with pytest.raises(ErasureError, match="there is no hold of the id"):
            holds(world).release(hold.hold_id, "closed again")
    assert forget(world.pipeline()).order is not None


def order_against(world: World, held: Hold) -> Order:
    """Give an order by hand that a hold forbids, as somebody does who may write to outbox and lake."""
    [(event_id,)] = world.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 1")
    order = Order(0, uuid7(), "acme", Selector.EVENT, "spring cleaning", world.clock.now, {1: str(event_id)})
    keep_order(world.pipeline().lake, order)
    act = Act(OUTBOX_ERASED, "0", order.summary(), order.event_id)
    world.pipeline().operator.record(act, lambda _: None, set())
    world.pipeline().land()
    assert held.covers("acme", ACTOR, 0)
    return order


def test_an_order_against_a_hold_is_not_carried_out_and_named(world: World) -> None:
    held = holds(world).place("acme", "case 4711", ACTOR)
    order = order_against(world, held)
    with pytest.raises(ErasureError, match=f"event {order.event_id} orders erasure 0 although.*went around"):
        Eraser(world.pipeline()).resume()
    assert status(world) is Status.INCOMPLETE
    holds(world).release(held.hold_id, "closed")
    assert Eraser(world.pipeline()).resume() is not None
    found = {verdict.subject: verdict for verdict in judge(world)}["erasures"]
    assert (found.status, found.reason) == (Status.FAILED, "held")
    assert f"event {order.event_id} ordered erasure 0 of tenant acme although hold {held.hold_id}" in found.lines[0]


def test_a_hold_that_comes_after_the_order_changes_nothing(world: World) -> None:
    forget(world.pipeline())
    holds(world).place("acme", "too late")
    assert status(world) is Status.VERIFIED
    assert len(Eraser(world.pipeline()).again()) == 1
    assert status(world) is Status.VERIFIED
