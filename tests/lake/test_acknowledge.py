"""Acknowledging breaks: exactly the report that was read is accepted, in the open, and nothing that comes later."""

import json

import pytest

from lumi_pipeline.acknowledging import waiting_reports
from lumi_pipeline.chain import Break, BreakKind
from lumi_pipeline.errors import ChainBroken, RecordError, SealError
from lumi_pipeline.events import COLUMNS
from lumi_pipeline.outboxverification import verify_outbox
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.verdict import Status
from tests.lake.judging import judge
from tests.lake.world import World, at, day
from transparency.entries import DayRecord


def _stopped(world: World) -> ChainBroken:
    with pytest.raises(ChainBroken) as caught:
        world.pipeline().run()
    return caught.value


def _broken(world: World) -> ChainBroken:
    """Two tenants on two days; two payloads of acme's day 0 were tampered with, and the seal has stopped."""
    world.record("acme", at(0, "09:00:00"), at(0, "10:00:00"), at(0, "11:00:00"), at(1))
    world.record("globex", at(0, "09:00:00"))
    world.tamper("UPDATE audit_outbox SET ip = '192.0.2.1' WHERE tenant_id = 'acme' AND seq IN (0, 2)")
    return _stopped(world)


def test_an_acknowledged_day_is_sealed_as_found_with_its_breaks_declared(world: World) -> None:
    error = _broken(world)
    assert error.day == day(0)
    assert world.pipeline().acknowledge(day(0), "a support case, see ticket 17") == error.report_sha256
    reports = world.pipeline().run().seals
    assert [(report.day, len(report.breaks), report.rows) for report in reports] == [
        (day(0), 2, 4),
        (day(1), 0, 1),
        (day(2), 0, 0),
        (day(3), 0, 0),
    ]
    assert reports[0].breaks == error.breaks
    sealed = load_sealed_day(world.pipeline().lake, day(0))
    assert (sealed.record.breaks, sealed.manifest.breaks) == (2, 2)
    assert {name: tenant.record.breaks for name, tenant in sealed.tenants.tenants.items()} == {"acme": 2, "globex": 0}
    entry = DayRecord.parse(world.store.get(f"seals/day={day(0)}/day.txt"))
    assert entry.breaks == 2
    # Sealed as found: the row is the tampered one.
    ((rows,),) = [
        [table.to_pylist() for table in world.pipeline().lake.read_events(file)]
        for file in sealed.manifest.files
        if file.path.startswith("events/")
    ]
    assert [row["ip"] for row in rows if row["tenant_id"] == "acme"] == ["192.0.2.1", "203.0.113.7", "192.0.2.1"]

    found = {verdict.subject: verdict for verdict in judge(world)}
    declared = found[str(day(0))]
    assert (declared.status, declared.reason) == (Status.FAILED, "declared-break")
    assert all(any(str(broken) in line for line in declared.lines) for broken in error.breaks)
    assert {found[str(day(number))].status for number in (1, 2, 3)} == {Status.VERIFIED}
    assert found["log"].status is Status.VERIFIED


def test_the_acknowledgement_is_an_event_of_the_operators_own_chain(world: World) -> None:
    error = _broken(world)
    world.pipeline().acknowledge(day(0), "because")
    ((event_id, action, entity, state),) = world.select(
        "SELECT event_id, action, entity_id, after_state FROM audit_outbox WHERE tenant_id = 'lumi-operator'"
    )
    assert (action, entity) == ("DAY_ACKNOWLEDGED", str(day(0)))
    assert json.loads(str(state)) == {"day": str(day(0)), "reason": "because", "report": error.report_sha256}
    key = f"seals/day={day(0)}/acknowledged-{error.report_sha256}.json"
    kept = json.loads(world.store.get(key))
    assert (kept["event_id"], kept["reason"], kept["report"]) == (event_id, "because", error.report_sha256)


def test_the_report_lists_every_break_and_is_the_same_every_time(world: World) -> None:
    error = _broken(world)
    data = world.store.get(f"seals/day={day(0)}/breaks-{error.report_sha256}.json")
    assert [(row["tenant"], row["seq"], row["kind"]) for row in json.loads(data)["breaks"]] == [
        ("acme", "0", "payload-hash"),
        ("acme", "2", "payload-hash"),
    ]
    assert _stopped(world).report_sha256 == error.report_sha256
    world.record("globex", at(4, "12:31:00"))
    assert _stopped(world).report_sha256 == error.report_sha256
    assert list(world.store.list(f"seals/day={day(0)}/")) == [f"seals/day={day(0)}/breaks-{error.report_sha256}.json"]


def test_tampering_after_the_acknowledgement_stops_the_day_again(world: World) -> None:
    first = _broken(world)
    world.pipeline().acknowledge(day(0), "what I have seen")
    # Day 0 is closed and landed, but an administrator can still write another row into it.
    other = {"seq": "1", "event_id": "'ffffffff-0000-0000-0000-000000000000'"}
    values = ", ".join(other.get(name, name) for name in COLUMNS)
    world.tamper(f"INSERT INTO audit_outbox SELECT {values} FROM audit_outbox WHERE tenant_id = 'globex'")  # noqa: S608
    world.tamper("UPDATE audit_chain_head SET next_seq = 2 WHERE tenant_id = 'globex'")
    second = _stopped(world)
    assert second.day == day(0)
    assert second.report_sha256 != first.report_sha256
    assert set(first.breaks) < set(second.breaks)
    assert {(found.tenant_id, found.seq) for found in set(second.breaks) - set(first.breaks)} == {("globex", 1)}
    assert world.pipeline().sealed_days() == []
    world.pipeline().acknowledge(day(0), "and this")
    assert [len(report.breaks) for report in world.pipeline().run(through=day(0)).seals] == [len(second.breaks)]
    # Both acknowledgements stay beside the day, and it verifies with them.
    assert len(list(world.store.list(f"seals/day={day(0)}/acknowledged-"))) == 2
    (verdict,) = [verdict for verdict in judge(world) if verdict.subject == str(day(0))]
    assert verdict.reason == "declared-break"


def test_a_report_that_nobody_accepted_makes_room_for_the_next(world: World) -> None:
    first = _broken(world)
    world.tamper(
        "UPDATE audit_chain_head SET next_seq = 2, head_hash = (SELECT integrity_hash FROM audit_outbox"
        " WHERE tenant_id = 'globex' AND seq = 0) WHERE tenant_id = 'globex'"
    )
    second = _stopped(world)
    assert [found.kind for found in second.breaks if found.tenant_id == "globex"] == [BreakKind.MISSING]
    reports = waiting_reports(world.pipeline().lake, day(0))
    assert [report.sha256 for report in reports] == [second.report_sha256]
    assert second.report_sha256 != first.report_sha256


def test_each_day_needs_its_own_acknowledgement(world: World) -> None:
    world.record("acme", at(0), at(1), at(2))
    world.tamper("UPDATE audit_outbox SET ip = 'x' WHERE seq < 2")
    assert _stopped(world).day == day(0)
    world.pipeline().acknowledge(day(0), "day 0")
    assert _stopped(world).day == day(1)
    assert world.pipeline().sealed_days() == [day(0)]
    with pytest.raises(SealError, match=f"{day(0)} has no report of breaks"):
        world.pipeline().acknowledge(day(0), "again")
    world.pipeline().acknowledge(day(1), "day 1")
    assert [len(report.breaks) for report in world.pipeline().run().seals] == [1, 0, 0]


def test_what_cannot_be_acknowledged(world: World) -> None:
    for wrong in (day(0), day(9)):
        with pytest.raises(SealError, match=f"{wrong} has no report of breaks to acknowledge"):
            world.pipeline().acknowledge(wrong, "nothing")
    _broken(world)
    before = world.contents()
    for reason in ("", " ", "\n\t"):
        with pytest.raises(SealError, match="needs a reason"):
            world.pipeline().acknowledge(day(0), reason)
    with pytest.raises(SealError, match=f"{day(1)} has no report"):
        world.pipeline().acknowledge(day(1), "the wrong day")
    assert world.contents() == before
    assert world.select("SELECT * FROM audit_outbox WHERE tenant_id = 'lumi-operator'") == []


def test_an_altered_report_is_not_acknowledged_and_the_next_seal_restores_it(world: World) -> None:
    error = _broken(world)
    key = f"seals/day={day(0)}/breaks-{error.report_sha256}.json"
    intact = world.store.get(key)
    world.overwrite(key, intact.replace(b'"seq":"2"', b'"seq":"1"'))
    with pytest.raises(SealError, match=f"{key} was altered"):
        world.pipeline().acknowledge(day(0), "because")
    assert _stopped(world).report_sha256 == error.report_sha256
    assert world.store.get(key) == intact
    assert world.pipeline().acknowledge(day(0), "because") == error.report_sha256


def test_an_altered_acknowledgement_lets_nothing_through(world: World) -> None:
    error = _broken(world)
    world.pipeline().acknowledge(day(0), "because")
    key = f"seals/day={day(0)}/acknowledged-{error.report_sha256}.json"
    world.overwrite(key, world.store.get(key).replace(b"because", b"why not"))
    with pytest.raises(RecordError, match=f"{key} was altered"):
        world.pipeline().run()
    assert world.pipeline().sealed_days() == []
    world.store.delete(key)
    assert _stopped(world).report_sha256 == error.report_sha256


def test_an_acknowledgement_of_another_report_lets_nothing_through(world: World) -> None:
    error = _broken(world)
    world.pipeline().acknowledge(day(0), "because")
    key = f"seals/day={day(0)}/acknowledged-{error.report_sha256}.json"
    other = world.copy(world.directory.parent / "other")
    other.tamper("UPDATE audit_chain_head SET next_seq = 2 WHERE tenant_id = 'globex'")
    second = _stopped(other)
    assert second.report_sha256 != error.report_sha256
    # Nor when it is given that report's name.
    other.store.put_new(f"seals/day={day(0)}/acknowledged-{second.report_sha256}.json", other.store.get(key))
    assert _stopped(other).report_sha256 == second.report_sha256


@pytest.mark.parametrize("what", ["breaks", "acknowledged"])
def test_reports_and_acknowledgements_beside_a_sealed_day_are_verified_too(world: World, what: str) -> None:
    error = _broken(world)
    world.pipeline().acknowledge(day(0), "because")
    world.pipeline().run(through=day(0))
    key = f"seals/day={day(0)}/{what}-{error.report_sha256}.json"
    world.overwrite(key, world.store.get(key).replace(b'"format"', b'"Format"'))
    (verdict,) = [verdict for verdict in judge(world) if verdict.subject == str(day(0))]
    assert (verdict.status, verdict.reason) == (Status.FAILED, "altered")
    assert key in verdict.lines[0]


def test_the_breaks_that_can_be_acknowledged_are_of_every_kind(world: World) -> None:
    for name in ("payload", "integrity", "link", "missing", "time", "head"):
        world.record(f"t.{name}", at(0, "09:00:00"), at(0, "10:00:00"), at(0, "11:00:00"))
    world.tamper("UPDATE audit_outbox SET ip = 'x' WHERE tenant_id = 't.payload' AND seq = 1")
    world.tamper("UPDATE audit_outbox SET action = 'X' WHERE tenant_id = 't.integrity' AND seq = 1")
    world.tamper("UPDATE audit_outbox SET prev_hash = zeroblob(32) WHERE tenant_id = 't.link' AND seq = 1")
    world.tamper("DELETE FROM audit_outbox WHERE tenant_id = 't.missing' AND seq = 1")
    world.tamper("UPDATE audit_outbox SET recorded_at = 0 WHERE tenant_id = 't.time' AND seq = 1")
    world.tamper("UPDATE audit_chain_head SET head_hash = zeroblob(32) WHERE tenant_id = 't.head'")
    error = _stopped(world)
    by_tenant: dict[str, set[BreakKind]] = {}
    for found in error.breaks:
        assert isinstance(found, Break)
        by_tenant.setdefault(found.tenant_id, set()).add(found.kind)
    assert by_tenant == {
        "t.payload": {BreakKind.PAYLOAD},
        "t.integrity": {BreakKind.INTEGRITY},
        "t.link": {BreakKind.LINK, BreakKind.INTEGRITY},
        "t.missing": {BreakKind.LINK, BreakKind.MISSING},
        "t.time": {BreakKind.TIME, BreakKind.INTEGRITY},
        "t.head": {BreakKind.HEAD},
    }
    world.pipeline().acknowledge(day(0), "all of it")
    reports = world.pipeline().run().seals
    assert [len(report.breaks) for report in reports] == [len(error.breaks), 0, 0, 0]
    # The chain with the other head goes on from the head that was declared, and so do all others.
    world.clock.now = at(5, "00:30:00")
    for name in ("payload", "integrity", "link", "missing", "time"):
        world.record(f"t.{name}", at(4, "13:00:00"))
    assert [len(report.breaks) for report in world.pipeline().run().seals] == [0]


def test_the_last_event_of_a_day_lost_before_a_following_day(world: World) -> None:
    # What the lost row's hash was is told by the row after it: the next day's chain starts from there, unbroken.
    events = world.record("acme", at(0, "09:00:00"), at(0, "10:00:00"), at(1))
    world.tamper("DELETE FROM audit_outbox WHERE seq = 1")
    error = _stopped(world)
    assert error.breaks == (Break("acme", 1, BreakKind.MISSING, "seq 1", "nothing"),)
    world.pipeline().acknowledge(day(0), "lost")
    assert [len(report.breaks) for report in world.pipeline().run().seals] == [1, 0, 0, 0]
    records = [load_sealed_day(world.pipeline().lake, day(n)).tenants.tenants["acme"].record for n in (0, 1)]
    assert records[0].head_after == records[1].head_before == events[1].integrity_hash
    assert [(record.first, record.count, record.next) for record in records] == [(0, 1, 2), (2, 1, 3)]


def test_the_outbox_shows_acknowledged_breaks_as_declared_and_any_other_as_broken(world: World) -> None:
    _broken(world)
    world.pipeline().acknowledge(day(0), "a support case, see ticket 17")
    world.pipeline().run()
    assert _outbox_verdict(world) == (Status.FAILED, "declared-break")
    world.tamper("UPDATE audit_outbox SET ip = '192.0.2.9' WHERE tenant_id = 'acme' AND seq = 1")
    assert _outbox_verdict(world) == (Status.FAILED, "chain-broken")


def _outbox_verdict(world: World) -> tuple[Status, str]:
    pipeline = world.pipeline()
    sealed = load_sealed_day(pipeline.lake, pipeline.sealed_days()[-1]).tenants
    verdict = verify_outbox(pipeline.outbox, pipeline.lake, sealed, pipeline.erasures())
    return verdict.status, verdict.reason
