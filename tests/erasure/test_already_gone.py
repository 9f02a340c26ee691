"""Payloads that somebody blanked past us: refused by default, and put on record where nobody can bring them back."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.catalogue import OUTBOX_ERASED
from lumi_pipeline.erasure.erasing import Eraser, EraseReport
from lumi_pipeline.erasure.holds import Holds
from lumi_pipeline.erasure.orders import Order, Place, Selector, said_of_gone
from lumi_pipeline.erasure.planning import Selection
from lumi_pipeline.errors import ErasureError, RecordError
from lumi_pipeline.events import PAYLOAD_COLUMNS, to_micros
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.writer import write_bundle
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.rebasing import Kind
from lumi_pipeline.verdict import Status, Verdict
from tests.erasure.forgetting import ACTOR, assert_forgotten, erikas, secrets, status
from tests.erasure.searching import places_of
from tests.lake import places
from tests.lake.crashes import perform
from tests.lake.judging import judge
from tests.lake.world import World, at, day
from transparency.encoding import canonical_json
from transparency.errors import VerificationError

_NULLS = ", ".join(f"{column} = NULL" for column in PAYLOAD_COLUMNS)
_BLANK = f"UPDATE audit_outbox SET {_NULLS}, erased_at = ? WHERE event_id = ?"  # noqa: S608 - constants
LATER = at(3, "00:20:00")
MARK = at(3, "00:15:00")
"""Another time than that of any order."""

REASON = "blanked past us, no backup has it, INC-7"


def blank(world: World, event_id: str, moment: datetime = MARK) -> None:
    """Take a payload out of the outbox, as an administrator can."""
    assert world.tamper(_BLANK, (to_micros(moment), event_id)) == 1


def accept(pipeline: Pipeline, *event_ids: str) -> EraseReport:
    return Eraser(pipeline).erase(Selection("acme", event_ids=event_ids, already_gone=True), REASON)


def erase(pipeline: Pipeline, *event_ids: str) -> EraseReport:
    return Eraser(pipeline).erase(Selection("acme", event_ids=event_ids), REASON)


def hers(world: World) -> list[str]:
    rows = world.select(
        "SELECT event_id FROM audit_outbox WHERE tenant_id = 'acme' AND actor_id = ? ORDER BY seq", (ACTOR,)
    )
    return [str(event_id) for (event_id,) in rows]


def failed(world: World) -> dict[str, Verdict]:
    return {verdict.subject: verdict for verdict in judge(world) if verdict.status is Status.FAILED}


def said(world: World) -> str:
    return "\n".join({verdict.subject: verdict for verdict in judge(world)}["erasures"].lines)


def seal(world: World) -> None:
    world.clock.now = at(4, "00:20:00")
    world.pipeline().run()


def sealed_row(world: World, seq: int) -> dict[str, object]:
    """A row of acme's as the lake has it, once evidence of its day was made and verified."""
    asked = Asked("acme", day(3), day(3))
    bundle = write_bundle(world.pipeline(), asked, world.directory / "out", lambda p: judge_bundle(p, world.policy))
    assert judge_bundle(bundle.path, world.policy).status is Status.VERIFIED
    [file] = list(world.store.list(f"events/day={day(3)}/"))
    rows = pq.read_table(world.parquet(file)).to_pylist()
    return next(row for row in rows if row["tenant_id"] == "acme" and row["seq"] == seq)


@pytest.fixture
def gone(world: World) -> tuple[World, list[str]]:
    """Two events of hers, and another one, are blanked before they are landed; nobody has a copy."""
    ids = erikas(world, LATER, LATER)
    [other] = world.record("acme", LATER)
    for event_id in (*ids, other.event_id):
        blank(world, event_id)
    return world, [*ids, other.event_id]


@pytest.mark.everywhere
def test_what_is_gone_is_put_on_record_and_its_day_is_sealed(gone: tuple[World, list[str]]) -> None:
    world, ids = gone
    with pytest.raises(ErasureError, match=rf"seq 8 is gone.*nothing ordered that.*--already-gone \(event {ids[0]}"):
        erase(world.pipeline(), *ids)
    assert failed(world).keys() == {"landings", "outbox"}
    with pytest.raises(
        VerificationError, match=r"seq 10; restore it .*, or .*lumi erase --tenant acme .*--already-gone"
    ):
        seal(world)
    report = accept(world.pipeline(), *ids)
    assert report.order is not None
    assert report.order.gone == {place: dict.fromkeys((8, 9, 10), MARK) for place in Place}
    assert (report.parts["outbox"].objects, report.parts["lake"].objects) == (0, 0)
    seal(world)
    assert status(world) is Status.VERIFIED
    assert "gone already when it was ordered: 3 in the lake, 3 in the outbox), ordered by event" in said(world)
    assert sealed_row(world, 8)["erased_at"] == MARK
    [(state,)] = world.select("SELECT after_state FROM audit_outbox WHERE action = ?", (OUTBOX_ERASED,))
    assert json.loads(str(state))["already_gone"] == {"lake": "3", "outbox": "3"}


def test_one_after_the_other_and_by_actor(gone: tuple[World, list[str]]) -> None:
    world, ids = gone
    accept(world.pipeline(), ids[2])
    values = secrets(world)
    report = Eraser(world.pipeline()).erase(Selection("acme", ACTOR, already_gone=True), REASON)
    assert report.order is not None
    assert sorted(report.order.events) == [8, 9]
    assert places_of(world, values)  # the others of hers
    seal(world)
    assert status(world) is Status.VERIFIED
    rest = Eraser(world.pipeline()).erase(Selection("acme", ACTOR), REASON)
    assert rest.order is not None
    assert sorted(rest.order.events) == [1, 2, 5, 6]
    assert b"erasure/v1" in rest.order.encode()
    assert_forgotten(world, values)


@pytest.mark.everywhere
def test_what_the_lake_still_has_is_erased_as_ever(world: World) -> None:
    values = secrets(world)
    first = hers(world)[0]
    blank(world, first)
    assert failed(world).keys() == {"outbox"}
    with pytest.raises(ErasureError, match="seq 1 is not gone: the lake does not have it as erased"):
        accept(world.pipeline(), first)
    report = Eraser(world.pipeline()).erase(Selection("acme", ACTOR), REASON)
    assert report.order is not None
    assert report.order.gone == {Place.LAKE: {}, Place.OUTBOX: {1: MARK}}
    assert_forgotten(world, values)
    assert "(gone already when it was ordered: 1 in the outbox)" in said(world)
    # Erased at another time in the lake than in the outbox, it is still the same row.
    assert [found.kind for found in world.pipeline().rebaser().check().tenants if found.tenant_id == "acme"] == [
        Kind.SAME
    ]
    # Nor is it another when a row before it has to be put back.
    assert world.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 0") == 1
    [mended] = world.pipeline().rebaser().accept("restored", rerecord=False).mended
    assert (mended.put_back, mended.taken_out) == (1, 0)
    assert status(world) is Status.VERIFIED


def test_what_is_only_marked_in_the_outbox_is_another_row(world: World) -> None:
    event_id = hers(world)[0]
    assert world.tamper("UPDATE audit_outbox SET erased_at = ? WHERE event_id = ?", (to_micros(MARK), event_id)) == 1
    [mended] = world.pipeline().rebaser().accept("marked by hand", rerecord=True).mended
    assert (mended.put_back, mended.taken_out, mended.known) == (1, 1, 1)
    assert status(world) is Status.VERIFIED


@pytest.mark.everywhere
def test_what_is_only_marked_in_the_outbox_is_erased_there(world: World) -> None:
    values = secrets(world)
    first, second, *_ = hers(world)
    assert world.tamper("UPDATE audit_outbox SET erased_at = ? WHERE event_id = ?", (to_micros(MARK), first)) == 1
    blank(world, second)
    assert world.tamper("UPDATE audit_outbox SET ip = '192.0.2.1' WHERE event_id = ?", (second,)) == 1
    report = Eraser(world.pipeline()).erase(Selection("acme", ACTOR), REASON)
    assert report.order is not None
    assert b"erasure/v1" in report.order.encode()
    assert_forgotten(world, [*values, b"192.0.2.1"])


def landed_blank(world: World) -> str:
    """An event that was landed without its payload, which then came back to the outbox; return its id."""
    [event_id] = erikas(world, LATER)
    columns = ", ".join(PAYLOAD_COLUMNS)
    [row] = world.select(f"SELECT {columns} FROM audit_outbox WHERE event_id = ?", (event_id,))  # noqa: S608
    blank(world, event_id)
    world.pipeline().land()
    back = ", ".join(f"{column} = ?" for column in PAYLOAD_COLUMNS)
    world.tamper(f"UPDATE audit_outbox SET {back}, erased_at = NULL WHERE event_id = ?", (*row, event_id))  # noqa: S608
    return event_id


def test_what_a_rebase_took_out_is_not_gone(world: World) -> None:
    event_id = landed_blank(world)
    [*_, salt] = secrets(world)
    assert world.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 0") == 1
    [mended] = world.pipeline().rebaser().accept("restored", rerecord=True).mended
    assert mended.taken_out == 1
    with pytest.raises(ErasureError, match="seq 8 is not gone: the lake"):
        accept(world.pipeline(), event_id)
    assert {place.partition("/")[0] for place in places_of(world, [salt])} >= {"rebases"}
    report = erase(world.pipeline(), event_id)
    assert report.order is not None
    assert report.order.gone == {place: {8: MARK} for place in Place}
    assert places_of(world, [salt]) == set()
    assert status(world) is Status.VERIFIED


def test_a_rebase_under_way_may_have_what_the_lake_has_not(world: World) -> None:
    event_id = landed_blank(world)
    assert world.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 0") == 1
    world.pipeline().rebaser().accept("restored", rerecord=True)
    [done] = [key for key in world.store.list("rebases/") if key.endswith("/done.json")]
    world.store.delete(done)
    with pytest.raises(ErasureError, match="a rebase was interrupted"):
        accept(world.pipeline(), event_id)


def test_what_came_back_to_the_outbox_alone_is_erased_as_ever(world: World) -> None:
    """What was landed without its payload can't be landed again."""
    event_id = landed_blank(world)
    values = secrets(world)
    with pytest.raises(VerificationError, match="nothing ordered that"):
        seal(world)
    with pytest.raises(ErasureError, match="seq 8 is not gone: the outbox does not have it as erased"):
        accept(world.pipeline(), event_id)
    report = erase(world.pipeline(), event_id)
    assert report.order is not None
    assert report.order.gone == {Place.LAKE: {8: MARK}, Place.OUTBOX: {}}
    assert report.parts["outbox"].events == 1
    seal(world)
    assert status(world) is Status.VERIFIED
    Eraser(world.pipeline()).erase(Selection("acme", ACTOR), REASON)
    assert_forgotten(world, values)


def test_what_is_held_is_not_accepted_until_the_hold_is_released(gone: tuple[World, list[str]]) -> None:
    world, ids = gone
    hold = Holds(world.pipeline().operator).place("acme", "case 4711", ACTOR)
    with pytest.raises(ErasureError, match="2 of these events must not be erased"):
        accept(world.pipeline(), *ids)
    only = Selection("acme", event_ids=tuple(ids), already_gone=True)
    rest = Eraser(world.pipeline()).erase(only, REASON, except_held=True)
    assert rest.order is not None
    assert rest.order.gone == {place: {10: MARK} for place in Place}
    Holds(world.pipeline().operator).release(hold.hold_id, "gone all the same")
    assert accept(world.pipeline(), *ids).order is not None
    Holds(world.pipeline().operator).place("acme", "case 4711, what is left of it", ACTOR)
    seal(world)
    assert status(world) is Status.VERIFIED


def test_what_is_broken_is_not_gone(world: World) -> None:
    """Blanked in part, or not marked as erased: 'lumi acknowledge' is for that."""
    ids = erikas(world, LATER, LATER, LATER)
    blank(world, ids[0])
    world.tamper("UPDATE audit_outbox SET ip = '192.0.2.1' WHERE event_id = ?", (ids[0],))
    blank(world, ids[1])
    world.tamper("UPDATE audit_outbox SET erased_at = NULL WHERE event_id = ?", (ids[1],))
    world.tamper("UPDATE audit_outbox SET ip = NULL WHERE event_id = ?", (ids[2],))
    for seq, event_id in enumerate(ids, start=8):
        with pytest.raises(ErasureError, match=f"seq {seq} is not gone: the"):
            accept(world.pipeline(), event_id)
        with pytest.raises(ErasureError, match=f"seq {seq} is not the row that was recorded"):
            erase(world.pipeline(), event_id)


def test_what_is_only_marked_is_neither_gone_nor_erased(world: World) -> None:
    """It would stay in outbox and lake, and the order would say that it was gone."""
    [event_id] = erikas(world, LATER)
    world.tamper("UPDATE audit_outbox SET erased_at = ? WHERE event_id = ?", (to_micros(LATER), event_id))
    with pytest.raises(ErasureError, match="seq 8 is not gone: the outbox"):
        accept(world.pipeline(), event_id)
    with pytest.raises(ErasureError, match="seq 8 is not the row that was recorded"):
        erase(world.pipeline(), event_id)
    assert world.tamper("DELETE FROM audit_outbox WHERE event_id = ?", (event_id,)) == 1
    with pytest.raises(ErasureError, match="seq 8 is not the row that was recorded"):
        accept(world.pipeline(), event_id)


def test_only_the_mark_that_was_found_is_accepted(gone: tuple[World, list[str]]) -> None:
    world, ids = gone
    accept(world.pipeline(), *ids)
    assert accept(world.pipeline(), *ids).order is None
    assert [again.resumed for again in Eraser(world.pipeline()).again()] == [True]
    assert status(world) is Status.VERIFIED
    blank(world, ids[0], at(2))
    assert failed(world).keys() == {"outbox"}
    blank(world, ids[0])
    [also] = world.record("acme", world.clock.now)
    blank(world, also.event_id)
    assert world.pipeline().land().rows
    assert failed(world).keys() == {"landings", "outbox"}


def test_a_dry_run_says_what_is_gone_and_changes_nothing(gone: tuple[World, list[str]]) -> None:
    world, ids = gone
    world.pipeline().land()
    before = world.listing()
    plan = Eraser(world.pipeline()).plan(Selection("acme", event_ids=tuple(ids), already_gone=True))
    assert sorted(plan.chosen.events) == [8, 9, 10]
    assert said_of_gone(plan.chosen.gone) == "3 in the lake, 3 in the outbox"
    assert world.listing() == before


@pytest.mark.slow
def test_killed_at_any_step_it_is_completed(gone: tuple[World, list[str]], tmp_path: Path) -> None:
    world, ids = gone

    def act(pipeline: Pipeline) -> EraseReport:
        return accept(pipeline, *ids)

    expected = perform(world.copy(tmp_path / "undisturbed"), act)
    begun = next(n for n, write in enumerate(expected) if write.key.endswith("order.json"))
    moments = list(enumerate(expected))[begun:-1]
    for number, write in moments if places.thorough else moments[:2] + moments[-2:]:
        killed = world.copy(tmp_path / str(number))
        perform(killed, act, after=number)
        assert status(killed) in {Status.FAILED, Status.INCOMPLETE}, write
        assert Eraser(killed.pipeline()).resume() is not None, write
        assert status(killed) is Status.VERIFIED, write
        seal(killed)
        assert status(killed) is Status.VERIFIED, write


moments = st.datetimes(timezones=st.just(UTC))
marked = st.dictionaries(st.integers(0, 9), moments)


@given(marked, marked)
@settings(max_examples=30, deadline=None)
def test_an_order_is_read_back(lake: dict[int, datetime], outbox: dict[int, datetime]) -> None:
    events = {seq: f"event-{seq}" for seq in range(10)}
    gone = {Place.LAKE: lake, Place.OUTBOX: outbox}
    order = Order(7, "given", "acme", Selector.EVENT, REASON, LATER, events, gone)
    data = order.encode()
    assert (b"lumi/erasure/v2" in data) is bool(lake or outbox)
    assert Order.parse(data, order.key) == (order if lake or outbox else replace(order, gone={}))


@pytest.mark.slow
def test_a_long_order_is_read_back() -> None:
    # Of more parts than are read of any other object.
    events = {seq: f"event-{seq}" for seq in range(112_000)}
    gone = {place: dict.fromkeys(events, MARK) for place in Place}
    order = Order(7, "given", "acme", Selector.ACTOR, REASON, LATER, events, gone)
    assert Order.parse(order.encode(), order.key) == order


@pytest.mark.parametrize(
    "edit",
    [
        lambda value: value["gone"].pop("outbox"),
        lambda value: value["gone"].update(elsewhere=[]),
        lambda value: value["gone"].update(outbox=None),
        lambda value: value["gone"].update(outbox=[["8", "yesterday"]]),
        lambda value: value["gone"].update(outbox=[["8"]]),
        lambda value: value["gone"].update(outbox=[["9", "2024-03-03T00:20:00.000000Z"]]),
        lambda value: value["gone"].update(lake=[], outbox=[]),
        lambda value: value["gone"]["outbox"].append(value["gone"]["outbox"][0]),
        lambda value: value.update(gone=[]),
        lambda value: value.pop("gone"),
        lambda value: value.update(format="lumi/erasure/v1"),
        lambda value: value.update(format=["lumi/erasure/v2"]),
    ],
)
def test_an_order_out_of_form_is_refused(edit: Callable[[dict[str, Any]], object]) -> None:
    marks = {Place.LAKE: {8: LATER}, Place.OUTBOX: {8: LATER}}
    value = json.loads(Order(7, "given", "acme", Selector.EVENT, REASON, LATER, {8: "x"}, marks).encode())
    del value["digest"]
    edit(value)
    digest = hashlib.sha256(canonical_json(value).encode()).hexdigest()
    with pytest.raises(RecordError, match="was altered"):
        Order.parse(canonical_json({**value, "digest": digest}).encode() + b"\n", "erasures/000007/order.json")
