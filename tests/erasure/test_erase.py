"""Erasing somebody's events: nothing of them is left, everything that was proved stays proved."""

import pyarrow.parquet as pq
import pytest

from lumi_pipeline.catalogue import OUTBOX_ERASED
from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.erasure.planning import Selection
from lumi_pipeline.errors import ErasureError, OutboxError
from lumi_pipeline.events import PAYLOAD_COLUMNS
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.proving import prove_event
from lumi_pipeline.verdict import Status
from tests.databases import OPERATOR
from tests.erasure.forgetting import ACTOR, ERIKA, REASON, assert_forgotten, erikas, forget, secrets, status
from tests.erasure.searching import places_of
from tests.lake.world import World, at, day
from transparency.proof import TlogProof

NULLS = ", ".join(f"{name} IS NULL" for name in PAYLOAD_COLUMNS).replace(",", " AND")


def hers(world: World) -> list[str]:
    rows = world.select(
        "SELECT event_id FROM audit_outbox WHERE actor_id = ? AND tenant_id = 'acme' ORDER BY seq", (ACTOR,)
    )
    return [str(event_id) for (event_id,) in rows]


def proof(world: World, event_id: str) -> bytes:
    genesis = world.pipeline().genesis()
    assert genesis is not None
    return prove_event(world.pipeline().lake, genesis, event_id)


@pytest.mark.everywhere
def test_nothing_is_left_and_everything_verifies(world: World) -> None:
    values = secrets(world)
    assert len(places_of(world, values)) >= 3
    before = world.contents("log/")
    report = forget(world.pipeline())
    assert report.order is not None
    assert sorted(report.order.events) == [1, 2, 5, 6]
    assert (report.parts["outbox"].events, report.parts["lake"].events, report.parts["lake"].objects) == (4, 4, 3)
    assert_forgotten(world, values)
    assert {key: data for key, data in world.contents("log/").items() if key in before} == before

    # What was landed and not sealed yet is sealed as it is now.
    world.clock.now = at(4, "00:20:00")
    world.pipeline().run()
    assert_forgotten(world, values)


def test_the_rows_keep_all_but_their_payload(world: World) -> None:
    kept = "tenant_id, seq, event_id, recorded_at, action, actor_id, payload_hash, prev_hash, integrity_hash"
    query = f"SELECT {kept} FROM audit_outbox WHERE tenant_id <> ? ORDER BY tenant_id, seq"  # noqa: S608 - constants
    before = world.select(query, (OPERATOR,))
    report = forget(world.pipeline())
    assert world.select(query, (OPERATOR,)) == before
    erased = world.select(f"SELECT seq, erased_at FROM audit_outbox WHERE {NULLS}")  # noqa: S608 - constants
    assert report.order is not None
    assert sorted(erased) == [(seq, int(world.clock.now.timestamp() * 1_000_000)) for seq in report.order.events]
    assert world.select("SELECT count(*) FROM audit_outbox WHERE erased_at IS NULL AND payload_salt IS NULL") == [(0,)]


def test_the_outbox_still_refuses_every_other_change(world: World) -> None:
    forget(world.pipeline())
    for statement in ("UPDATE audit_outbox SET ip = NULL", "DELETE FROM audit_outbox"):
        with pytest.raises(Exception, match="append-only"), world.outbox.explained():
            world.select(statement)


def test_old_proofs_verify_and_new_ones_come_without_payload(world: World) -> None:
    first, *_ = hers(world)
    old = proof(world, first)
    forget(world.pipeline())
    new = proof(world, first)
    for data, has_payload in ((old, True), (new, False)):
        verdict = verify_proof(data, world.policy, "proof")
        assert verdict.status is Status.VERIFIED
        assert ("withheld or erased" in verdict.lines[0]) is not has_payload
    assert b"Erika" in (TlogProof.parse(old).extra or b"")
    assert b"Erika" not in (TlogProof.parse(new).extra or b"")


def test_it_is_an_event_of_the_operator_without_anything_personal(world: World) -> None:
    report = forget(world.pipeline())
    assert report.order is not None
    [(event_id, entity, state)] = world.select(
        "SELECT event_id, entity_id, after_state FROM audit_outbox WHERE action = ?", (OUTBOX_ERASED,)
    )
    assert (event_id, entity) == (report.order.event_id, "0")
    assert REASON in str(state)
    assert report.order.sha256 in str(state)
    assert ACTOR not in str(state)


def test_only_the_files_that_hold_them_are_rewritten(world: World) -> None:
    before = world.listing("events/")
    forget(world.pipeline())
    after = world.listing("events/")
    assert after.keys() & before.keys() == {key for key in before if str(day(1)) in key}
    for key in after.keys() - before.keys():
        original = next(name for name in before if name.startswith(key[: key.index("-erased-")]))
        assert pq.ParquetFile(world.parquet(key)).metadata.num_rows == 4 or str(day(2)) in original


def test_events_by_their_ids_and_again(world: World) -> None:
    first, second, *_ = hers(world)
    eraser = Eraser(world.pipeline())
    assert len(eraser.erase(Selection("acme", event_ids=(first,)), REASON).order.events) == 1  # type: ignore[union-attr]
    again = Eraser(world.pipeline()).erase(Selection("acme", event_ids=(first, second)), REASON)
    assert again.order is not None
    assert again.order.number == 1
    assert list(again.order.events.values()) == [second]
    assert again.chosen is not None
    assert again.chosen.erased_before == 1
    assert Eraser(world.pipeline()).erase(Selection("acme", event_ids=(first, second)), REASON).order is None
    assert forget(world.pipeline()).order is not None
    assert status(world) is Status.VERIFIED


def test_what_is_recorded_later_is_another_erasure(world: World) -> None:
    forget(world.pipeline())
    erikas(world, world.clock.now)
    values = secrets(world)
    assert status(world) is Status.VERIFIED
    report = forget(world.pipeline())
    assert report.order is not None
    assert (report.order.number, list(report.order.events)) == (1, [8])
    assert_forgotten(world, values)


def test_a_dry_run_changes_nothing(world: World) -> None:
    before = world.listing()
    plan = Eraser(world.pipeline()).plan(ERIKA)
    assert sorted(plan.chosen.events) == [1, 2, 5, 6]
    assert plan.chosen.days == (day(0), day(2), day(3))
    assert (plan.parts["lake"].objects, plan.parts["outbox"].events) == (3, 4)
    assert world.listing() == before


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection("acme"), "one actor, or about events"),
        (Selection("acme", "u-1", ("019aa4f2-0000-7000-8000-000000000001",)), "one actor, or about events"),
        (Selection("acme", ""), "actor's id is empty"),
        (Selection("../etc", "u-1"), "not a tenant id"),
        (Selection(OPERATOR, "lumi-pipeline"), "operator's own tenant"),
        (Selection("acme", event_ids=("019AA4F2",)), "not an event id"),
        (Selection("acme", event_ids=("019aa4f2-0000-7000-8000-000000000001",)), "has no event 019aa4f2"),
    ],
)
def test_what_is_refused_touches_nothing(world: World, selection: Selection, message: str) -> None:
    before = world.contents()
    with pytest.raises(ErasureError, match=message):
        Eraser(world.pipeline()).erase(selection, REASON)
    assert world.contents() == before
    with pytest.raises(ErasureError, match="needs a reason"):
        Eraser(world.pipeline()).erase(ERIKA, " ")


def test_a_row_that_was_tampered_with_is_refused(world: World) -> None:
    erikas(world, world.clock.now)
    assert world.tamper("UPDATE audit_outbox SET ip = 'other' WHERE tenant_id = 'acme' AND seq = 8") == 1
    with pytest.raises(ErasureError, match="seq 8 is not the row that was recorded"):
        forget(world.pipeline())
    assert not any("erasures/" in key for key in world.contents())


def test_the_database_erases_only_what_an_event_orders(world: World) -> None:
    if not hasattr(world.outbox, "url"):
        pytest.skip("in SQLite there is nobody to keep from it")
    with pytest.raises(OutboxError, match="does not order an erasure"), world.outbox.explained():
        world.select("SELECT audit_erase('acme', ARRAY[1]::bigint[], now(), ?)", (hers(world)[0],))
