"""Payloads that somebody blanked past us: refused by default, and put on record where nobody can bring them back."""

import json
from datetime import datetime

import pytest

from lumi_pipeline.catalogue import OUTBOX_ERASED
from lumi_pipeline.erasure.erasing import Eraser, EraseReport
from lumi_pipeline.erasure.orders import Place
from lumi_pipeline.erasure.planning import Selection
from lumi_pipeline.errors import ErasureError
from lumi_pipeline.events import PAYLOAD_COLUMNS, to_micros
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.writer import write_bundle
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.verdict import Status, Verdict
from tests.erasure.forgetting import ACTOR, assert_forgotten, erikas, secrets, status
from tests.erasure.searching import places_of
from tests.lake.judging import judge
from tests.lake.world import World, at, day
from transparency.errors import VerificationError

_NULLS = ", ".join(f"{column} = NULL" for column in PAYLOAD_COLUMNS)
_BLANK = f"UPDATE audit_outbox SET {_NULLS}, erased_at = ? WHERE event_id = ?"  # noqa: S608 - constants
LATER = at(3, "00:20:00")
REASON = "blanked past us, no backup has it, INC-7"


def blank(world: World, event_id: str, moment: datetime = LATER) -> None:
    """Take a payload out of the outbox, as an administrator can."""
    assert world.tamper(_BLANK, (to_micros(moment), event_id)) == 1


def accept(pipeline: Pipeline, *event_ids: str) -> EraseReport:
    return Eraser(pipeline).erase(Selection("acme", event_ids=event_ids, already_gone=True), REASON)


def erase(pipeline: Pipeline, *event_ids: str) -> EraseReport:
    return Eraser(pipeline).erase(Selection("acme", event_ids=event_ids), REASON)


def failed(world: World) -> dict[str, Verdict]:
    return {verdict.subject: verdict for verdict in judge(world) if verdict.status is Status.FAILED}


def said(world: World) -> str:
    return "\n".join({verdict.subject: verdict for verdict in judge(world)}["erasures"].lines)


def seal(world: World) -> None:
    world.clock.now = at(4, "00:20:00")
    world.pipeline().run()


def sealed_row(world: World, seq: int) -> dict[str, object]:
    asked = Asked("acme", day(3), day(3))
    bundle = write_bundle(world.pipeline(), asked, world.directory / "out", lambda p: judge_bundle(p, world.policy))
    assert judge_bundle(bundle.path, world.policy).status is Status.VERIFIED
    lake = world.pipeline().lake
    [file] = [key for key in lake.store.list(f"events/day={day(3)}/")]
    import pyarrow.parquet as pq

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
    with pytest.raises(VerificationError, match="restore it from a backup, or .*lumi erase .*--already-gone"):
        seal(world)
    report = accept(world.pipeline(), *ids)
    assert report.order is not None
    assert report.order.gone == {place: dict.fromkeys((8, 9, 10), LATER) for place in Place}
    assert (report.parts["outbox"].objects, report.parts["lake"].objects) == (0, 0)
    assert status(world) is Status.VERIFIED
    seal(world)
    assert status(world) is Status.VERIFIED
    assert (
        "0: 3 event(s) of tenant acme, erased at 2024-03-03T00:20:00.000000Z (gone already when it was ordered: 3 in the "
        f"lake, 3 in the outbox), ordered by event {report.order.event_id}: {REASON}"
    ) in said(world)
    assert sealed_row(world, 8)["erased_at"] == LATER
    [(state,)] = world.select("SELECT after_state FROM audit_outbox WHERE action = ?", (OUTBOX_ERASED,))
    assert json.loads(str(state))["already_gone"] == {"lake": "3", "outbox": "3"}
    assert accept(world.pipeline(), *ids).order is None
    assert [len(again.parts) for again in Eraser(world.pipeline()).again()] == [6]
    assert status(world) is Status.VERIFIED


def test_one_after_the_other_and_by_actor(gone: tuple[World, list[str]]) -> None:
    world, ids = gone
    accept(world.pipeline(), ids[2])
    values = secrets(world)
    report = Eraser(world.pipeline()).erase(Selection("acme", ACTOR, already_gone=True), REASON)
    assert report.order is not None
    assert sorted(report.order.events) == [8, 9]
    assert places_of(world, values)
    seal(world)
    assert status(world) is Status.VERIFIED
    rest = Eraser(world.pipeline()).erase(Selection("acme", ACTOR), REASON)
    assert rest.order is not None
    assert (sorted(rest.order.events), rest.order.gone) == ([1, 2, 5, 6], dict.fromkeys(Place, {}))
    assert_forgotten(world, values)


@pytest.mark.everywhere
def test_what_the_lake_still_has_is_erased_as_ever(world: World) -> None:
    values = secrets(world)
    ids = [
        str(i) for (i,) in world.select("SELECT event_id FROM audit_outbox WHERE actor_id = ? AND seq = 1", (ACTOR,))
    ]
    blank(world, ids[0])
    assert failed(world).keys() == {"outbox"}
    with pytest.raises(ErasureError, match="seq 1 is not gone: the lake does not have it as erased"):
        accept(world.pipeline(), *ids)
    report = Eraser(world.pipeline()).erase(Selection("acme", ACTOR), REASON)
    assert report.order is not None
    assert report.order.gone == {Place.LAKE: {}, Place.OUTBOX: {1: LATER}}
    assert_forgotten(world, values)
    assert "(gone already when it was ordered: 1 in the outbox)" in said(world)
    found = world.pipeline().rebaser().accept  # what is erased in both is no other row
    assert found is not None
