"""Planning: every row of the lake that a destination is to get is in one batch, once, whenever it was landed."""

import gzip
import json
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from lumi_pipeline import checkedrows
from lumi_pipeline.errors import LakeError, LedgerError
from lumi_pipeline.siem import planner as planning
from lumi_pipeline.siem import plans
from lumi_pipeline.siem.destination import Framing, Limits
from lumi_pipeline.siem.plans import PlanBook
from tests.lake.world import World, at, day
from tests.siem.planned import assert_planned_once, destination, planned, plans_of
from tests.siem.shipping import LIMITS, NAME, ScriptedDestination, Siem, lake_of, plan, planner, settings


def test_rows_are_found_in_sealed_days_and_in_landings(spread: World) -> None:
    [report] = plan(spread.pipeline(), destination())
    assert (report.rows, report.events, report.lane) == (9, 9, "live")
    assert dict(report.days) == {day(0): 3, day(1): 2, day(2): 4}
    assert_planned_once(spread)
    batches = plans_of(spread)[0].batches
    assert [(batch.day, batch.count) for batch in batches] == [(day(0), 3), (day(1), 2), (day(2), 4)]


def test_the_same_rows_give_the_same_batches(spread: World, tmp_path: Path) -> None:
    other = spread.copy(tmp_path / "other")
    other.clock.now = at(2, "15:00:00")
    for world in (spread, other):
        plan(world.pipeline(), destination())
    assert plans_of(spread)[0].batches == plans_of(other)[0].batches
    assert spread.contents("siem/siem/batches/") == other.contents("siem/siem/batches/")


@pytest.mark.parametrize(
    "other",
    [
        destination(name="other"),
        destination(routes=[{"name": "gold", "tenants": ["acme", "globex", "initech", "umbrella"]}]),
        destination(Limits(1_000_000, 3, 100_000)),
        ScriptedDestination(settings(), Siem(framing=Framing.ARRAY)),
    ],
    ids=["name", "route", "cut", "framing"],
)
def test_other_batches_have_other_ids(spread: World, tmp_path: Path, other: ScriptedDestination) -> None:
    world = spread.copy(tmp_path / "other")
    plan(spread.pipeline(), destination())
    plan(world.pipeline(), other)
    book = PlanBook(lake_of(world.store), other.settings.name)
    ids = {batch.batch_id for batch in plans_of(spread)[0].batches}
    assert not {batch.batch_id for batch in book.read(0).batches if batch.count > 3} & ids
    if other.limits == LIMITS:
        assert not {batch.batch_id for batch in book.read(0).batches} & ids


def test_planning_again_does_nothing(spread: World) -> None:
    plan(spread.pipeline(), destination())
    before = spread.listing()
    assert plan(spread.pipeline(), destination()) == []
    assert spread.listing() == before


def test_what_is_landed_later_is_planned_then_and_nothing_else(spread: World) -> None:
    plan(spread.pipeline(), destination())
    spread.record_all([("acme", at(2, "13:00:00")), ("newcomer", at(2, "13:00:00"))])
    spread.pipeline().land()
    [report] = plan(spread.pipeline(), destination())
    assert report.events == 2
    assert [(c.tenant_id, c.first, c.next) for c in plans_of(spread)[1].covered] == [("acme", 5, 6), ("newcomer", 0, 1)]
    assert_planned_once(spread)


def test_planning_goes_on_after_its_landings_were_sealed_and_cleared_away(spread: World) -> None:
    """Some events of the day were planned from landings, the others are found in the sealed day."""
    plan(spread.pipeline(), destination(tenants=["acme"]))
    spread.record("acme", at(2, "13:00:00"))
    spread.clock.now = at(3, "00:20:00")
    spread.pipeline().run()
    assert not list(spread.store.list("landed/"))
    plan(spread.pipeline(), destination(tenants=["acme"]))
    assert_planned_once(spread, "acme")


def test_a_tenant_that_is_named_later_gets_what_was_landed_before(spread: World) -> None:
    plan(spread.pipeline(), destination(tenants=["acme"]))
    plan(spread.pipeline(), destination(tenants=["acme", "globex", "umbrella"]))
    assert_planned_once(spread, "acme", "globex", "umbrella")


def test_a_tenant_that_was_left_out_for_a_while_gets_what_was_landed_meanwhile(spread: World) -> None:
    plan(spread.pipeline(), destination(tenants=["acme", "globex"]))
    for hour in ("13", "14"):
        spread.record_all([("acme", at(2, f"{hour}:00:00")), ("globex", at(2, f"{hour}:00:00"))])
        spread.pipeline().land()
        plan(spread.pipeline(), destination(tenants=["acme"]))
    plan(spread.pipeline(), destination(tenants=["acme", "globex"]))
    assert_planned_once(spread, "acme", "globex")


def test_rows_that_the_lake_has_lost_count_for_nothing_and_hold_nothing_up(spread: World) -> None:
    """A run of missing seqs is a break, and is reported as one; planning goes on behind it."""
    plan(spread.pipeline(), destination())
    spread.record("acme", at(2, "13:00:00"), at(2, "13:00:00"), at(2, "13:00:00"))
    assert spread.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 6") == 1
    spread.pipeline().land()
    [report] = plan(spread.pipeline(), destination())
    assert report.rows == 2
    assert_planned_once(spread)


def test_plans_hold_so_many_rows_and_no_more(spread: World) -> None:
    reports = plan(spread.pipeline(), destination(), max_events=2)
    assert [report.rows for report in reports] == [2, 2, 2, 2, 1]
    assert_planned_once(spread)
    spread.record("acme", at(2, "13:00:00"))
    spread.pipeline().land()
    assert [report.rows for report in plan(spread.pipeline(), destination(), max_events=2)] == [1]
    assert_planned_once(spread)


def test_rows_are_encoded_in_chunks(spread: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkedrows, "ROW_GROUP_ROWS", 2)
    monkeypatch.setattr(planning, "_CHUNK_BYTES", 1)
    plan(spread.pipeline(), destination())
    assert_planned_once(spread)
    assert sum(batch.count for batch in plans_of(spread)[0].batches) == 9


def test_many_plans_are_summed_up(spread: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every so many of them, so that no more have to be read to know how far each tenant was planned."""
    for module in (plans, planning):
        monkeypatch.setattr(module, "SUMMED_EVERY", 4)
    assert len(plan(spread.pipeline(), destination(), max_events=1)) == 9
    assert [number for number, read in enumerate(plans_of(spread)) if read.cursors] == [0, 4, 8]
    spread.record_all([("acme", at(2, "13:00:00")), ("initech", at(2, "13:00:00")), ("late", at(2, "13:00:00"))])
    spread.pipeline().land()
    for key in list(spread.store.list("siem/siem/plans/"))[:8]:
        spread.store.delete(key)
    [report] = plan(spread.pipeline(), destination())
    assert report.rows == 3
    assert plan(spread.pipeline(), destination()) == []


def test_only_named_tenants_and_actions_are_planned(spread: World) -> None:
    spread.record("acme", at(2, "13:00:00"), action="LOGIN")
    spread.record("globex", at(2, "13:00:00"), action="LOGIN")
    spread.pipeline().land()
    plan(spread.pipeline(), destination(tenants=["acme"], actions=["LOGIN"]))
    assert planned(spread) == [("acme", 5)]
    [covered] = plans_of(spread)[0].covered
    assert (covered.first, covered.next, covered.filtered) == (0, 6, 5)


def test_the_operators_own_tenant_is_planned_only_when_it_is_named(spread: World) -> None:
    operator = spread.config.operator_tenant
    spread.record(operator, at(2, "13:00:00"))
    spread.pipeline().land()
    plan(spread.pipeline(), destination())
    assert_planned_once(spread, "acme", "globex", "initech", "umbrella")
    plan(spread.pipeline(), destination(tenants=["acme", operator]))
    assert_planned_once(spread, "acme", "globex", "initech", "umbrella", operator)


@pytest.mark.parametrize(("since", "events"), [(day(1), 6), (day(2), 4), (day(3), 0)])
def test_events_from_before_the_first_day_go_nowhere(spread: World, since: date, events: int) -> None:
    reports = plan(spread.pipeline(), destination(since=since))
    assert sum(report.events for report in reports) == events
    filtered = sum(covered.filtered for read in plans_of(spread) for covered in read.covered)
    assert sum(report.rows for report in reports) == events + filtered
    if events:
        assert plans_of(spread)[0].since == since


def test_without_a_first_day_it_is_the_day_of_the_first_plan_and_stays_so(spread: World) -> None:
    today = destination()
    today.settings = replace(today.settings, since=None)
    [report] = plan(spread.pipeline(), today)
    assert report.events == 4
    spread.clock.now = at(3, "00:05:00")
    spread.record("latecomer", at(2, "23:00:00"), at(3, "00:01:00"))
    spread.pipeline().land()
    [report] = plan(spread.pipeline(), today)
    assert report.events == 2


def test_each_event_takes_the_first_route_that_matches(spread: World) -> None:
    spread.record("acme", at(2, "13:00:00"), action="LOGIN")
    spread.pipeline().land()
    routes = [
        {"name": "logins", "actions": ["LOGIN"]},
        {"name": "acme", "tenants": ["acme"]},
        {"name": "others", "tenants": ["acme", "globex"]},
    ]
    plan(spread.pipeline(), destination(routes=routes))
    found: Counter[tuple[str, str]] = Counter()
    for batch in plans_of(spread)[0].batches:
        found.update({(batch.route, share.tenant_id): share.count for share in batch.tenants})
    assert found == {
        ("logins", "acme"): 1,
        ("acme", "acme"): 5,
        ("others", "globex"): 2,
        ("default", "initech"): 1,
        ("default", "umbrella"): 1,
    }
    assert_planned_once(spread)


def test_isolated_tenants_share_no_request(spread: World) -> None:
    plan(spread.pipeline(), destination(isolate=True))
    assert all(len(batch.tenants) == 1 for batch in plans_of(spread)[0].batches)
    assert_planned_once(spread)


def test_a_request_holds_events_of_one_group(spread: World) -> None:
    spread.record("acme", at(2, "13:00:00"), entity_type="user")
    spread.record("acme", at(2, "13:00:00"))
    spread.pipeline().land()
    plan(spread.pipeline(), destination(group="entity_type"))
    groups = [(batch.group, batch.count) for batch in plans_of(spread)[0].batches if batch.day == day(2)]
    assert groups == [("ticket", 4), ("ticket", 1), ("user", 1)]
    seqs = [seq for tenant_id, seq in planned(spread) if tenant_id == "acme"]
    assert seqs == [0, 1, 2, 3, 4, 6, 5], "in order within a group"


def test_a_day_holds_the_events_of_all_tenants_in_full_batches(tmp_path: Path) -> None:
    """Also where a plan is about several days: else there would be a small batch for each tenant and day."""
    world = World.create(tmp_path / "world", at(2, "13:00:00"))
    world.record_all((f"t{tenant}", at(number)) for number in range(3) for tenant in range(8))
    world.pipeline().land()
    plan(world.pipeline(), destination())
    assert [batch.count for batch in plans_of(world)[0].batches] == [4] * 6
    assert_planned_once(world)


def test_a_landing_that_was_altered_is_refused_and_nothing_is_planned(spread: World) -> None:
    [key] = [key for key in spread.store.list("landed/") if "/part-" in key][-1:]
    data = spread.store.get(key)
    spread.overwrite(key, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(LakeError, match=r"landed/.* was altered"):
        plan(spread.pipeline(), destination())
    assert plans_of(spread) == []


def test_a_plan_that_was_altered_is_noticed(spread: World) -> None:
    plan(spread.pipeline(), destination())
    spread.record("acme", at(2, "13:00:00"))
    spread.pipeline().land()
    plan(spread.pipeline(), destination())
    book = PlanBook(lake_of(spread.store), NAME)
    other = replace(book.read(0), landing=7)
    spread.overwrite(book.journal.key(0), other.encode())
    with pytest.raises(LedgerError, match="does not follow the plan before it"):
        book.planned()
    spread.overwrite(book.journal.key(1), other.encode())
    with pytest.raises(LedgerError, match="was altered"):
        book.read(1)


def test_a_record_names_the_batch_that_brought_it(spread: World) -> None:
    plan(spread.pipeline(), destination())
    for batch in plans_of(spread)[0].batches:
        content = gzip.decompress(spread.store.get(batch.body.path))
        assert {json.loads(line)["batch_id"] for line in content.splitlines()} == {batch.batch_id}


def test_the_mapping_is_part_of_a_batchs_identity(spread: World, tmp_path: Path) -> None:
    other, changed = spread.copy(tmp_path / "other"), destination()
    changed.mapping = "scripted/2"
    plan(spread.pipeline(), destination())
    plan(other.pipeline(), changed)
    before, after = plans_of(spread)[0], plans_of(other)[0]
    assert (before.mapping, after.mapping) == ("native/1 scripted/1", "native/1 scripted/2")
    assert not {batch.batch_id for batch in before.batches} & {batch.batch_id for batch in after.batches}


def test_a_backfill_has_a_lane_of_its_own_and_live_planning_goes_on_where_it_was(spread: World) -> None:
    plan(spread.pipeline(), destination())
    before = PlanBook(lake_of(spread.store), NAME).planned().cursors
    ranges = {"acme": (0, 4), "globex": (1, 2)}
    [report] = planner(spread.pipeline(), destination()).backfill("backfill-1", ranges, (day(0), day(1)), 1)
    assert (report.lane, report.rows, report.events) == ("backfill-1", 5, 3)
    assert PlanBook(lake_of(spread.store), NAME).planned().cursors == before
    spread.record("acme", at(2, "13:00:00"))
    spread.pipeline().land()
    [report] = plan(spread.pipeline(), destination())
    assert report.events == 1


def test_an_empty_lake_has_nothing_to_plan(tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", at(0))
    assert plan(world.pipeline(), destination()) == []
    first = PlanBook(world.pipeline().lake, "siem").planned().last
    assert first is not None
    assert (first.covered, first.batches) == ((), ())
    stored = list(world.store.list(""))
    assert plan(world.pipeline(), destination()) == []
    assert list(world.store.list("")) == stored


def test_a_clock_that_is_set_back_puts_no_plan_before_another(spread: World) -> None:
    plan(spread.pipeline(), destination())
    spread.record("acme", at(2, "11:30:00"))
    spread.pipeline().land()
    spread.clock.now -= timedelta(days=3)
    plan(spread.pipeline(), destination())
    first, second = plans_of(spread)
    assert first.at <= second.at
