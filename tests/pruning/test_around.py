"""Pruning and what lies beside it: erasures, Object Lock, SIEMs, feeds, earlier damage, the rights in PostgreSQL."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.erasure.holds import Holds
from lumi_pipeline.erasure.orders import Order, Selector, keep_order
from lumi_pipeline.erasure.planning import Selection
from lumi_pipeline.errors import ErasureError, PruneError, SiemError
from lumi_pipeline.pruning.pruner import Pruner
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.feed import publish_feed, publish_feeds
from lumi_pipeline.siem.feedentries import FeedBook, Withheld
from lumi_pipeline.siem.source import Source
from lumi_pipeline.stores.lockedcopy import LockedCopyStore
from lumi_pipeline.stores.objectlock import ObjectLock, Retention
from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3client import S3Connection
from lumi_pipeline.verdict import Status
from tests.analytics.databases import ask, build
from tests.erasure.searching import places_of
from tests.lake.places import LOCAL
from tests.lake.world import World, day
from tests.pruning.aging import BEFORE, RETENTION, opened, prune_world, seqs, status, verdicts
from tests.s3 import S3


def test_erasures_before_and_after_it(world: World) -> None:
    """Rows that stay of a pruned day can be erased, and what was erased before can be pruned."""
    globex = Holds(opened(world).operator).place("globex", "case", "u-1")
    assert Eraser(world.pipeline()).erase(Selection("globex", "u-0"), "request").order is not None
    prune_world(world)
    assert (status(world), seqs(world, "globex")) == (Status.VERIFIED, [1, 2, 3])
    Holds(opened(world).operator).release(globex.hold_id, "closed")
    assert Eraser(world.pipeline()).erase(Selection("globex", "u-1"), "request").order is not None
    assert status(world) is Status.VERIFIED
    with pytest.raises(ErasureError, match="has no event"):
        Eraser(world.pipeline()).erase(Selection("acme", None, ("019aa4f2-0000-7000-8000-000000000001",)), "request")
    prune_world(world)
    assert (status(world), seqs(world, "globex")) == (Status.VERIFIED, [2, 3])
    assert {kept for kept in world.contents("events/") if f"day={day(1)}" in kept} == set()
    assert Eraser(world.pipeline()).again()
    assert status(world) is Status.VERIFIED


def test_an_unfinished_erasure_goes_first(world: World) -> None:
    event_id = "019aa4f2-0000-7000-8000-000000000001"
    [(erased,)] = world.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 5")
    order = Order(0, event_id, "acme", Selector.EVENT, "request", world.clock.now, {5: str(erased)})
    keep_order(world.pipeline().lake, order)
    with pytest.raises(PruneError, match="'lumi erase --resume' completes it, then prune"):
        prune_world(world)
    Eraser(world.pipeline()).resume()
    prune_world(world)
    assert status(world) is Status.VERIFIED


@pytest.mark.slow
def test_it_is_refused_until_a_lock_ends(s3: S3, world: World) -> None:
    for mode, refused in (("compliance", True), ("governance", False)):
        lock = ObjectLock(Retention(mode, 1), lambda: datetime.now(UTC), ("events/", "seals/"))
        copy = S3Store(S3Connection(), s3.bucket(locked=True), "", None, lock)
        pipeline = world.pipeline(
            lambda store, copy=copy: LockedCopyStore(store, copy),  # type: ignore[misc]
            retention_days=RETENTION,
        )
        pipeline.lake.store.catch_up()  # type: ignore[attr-defined]
        before = world.contents()
        if refused:
            until = f"until {datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
            with pytest.raises(PruneError, match=rf"Object Lock \(compliance\).*{until}.*Nothing was touched"):
                Pruner(pipeline).prune(BEFORE)
            assert world.contents() == before
        else:
            assert len(Pruner(pipeline).prune(BEFORE).days) == 2
            kept = [key for key in copy.list("events/") if key < f"events/day={BEFORE}"]
            assert kept == [key for key in world.contents("events/") if key < f"events/day={BEFORE}"]
            assert status(world) is Status.VERIFIED


def test_what_a_destination_lacks_does_not_leave(world: World, tmp_path: Path) -> None:
    world.send_to({"name": "files", "kind": "file", "path": str(tmp_path / "out"), "since": day(0)})
    with pytest.raises(PruneError, match="destination files has not got all events of tenant acme"):
        prune_world(world)


def test_what_is_gone_is_not_delivered_in_silence(world: World) -> None:
    prune_world(world)
    pipeline = world.pipeline()
    source = Source.open(pipeline.lake, tuple(pipeline.lake_days()))
    with pytest.raises(SiemError, match=rf"acme of {day(1)} were pruned under policy"):
        list(source.rows({"acme": (0, 9)}))
    assert sum(map(len, source.rows({"acme": (4, 9), "globex": (2, 4), "lumi-operator": (0, 1)}))) == 8


def test_a_day_with_declared_breaks_keeps_its_evidence(world: World) -> None:
    world.record("acme", world.clock.now)
    world.record("globex", world.clock.now)
    world.tamper("UPDATE audit_outbox SET entity_id = 'other' WHERE tenant_id = 'acme' AND seq = 9")
    world.clock.now = world.clock.now + timedelta(days=1)
    with pytest.raises(Exception, match="is not sealed: 1 break"):
        world.pipeline().run()
    world.pipeline().acknowledge(day(4), "known")
    world.pipeline().run()
    world.clock.now = world.clock.now + timedelta(days=9)
    world.pipeline().run()
    report = Pruner(opened(world)).prune(day(6))
    assert [plan.kept for plan in report.plans if plan.day == day(4)] == [("acme",)]
    found = verdicts(world)
    assert {subject for subject, verdict in found.items() if verdict.status is not Status.VERIFIED} == {
        str(day(4)),
        "outbox",
    }
    assert {found[str(day(4))].reason, found["outbox"].reason} == {"declared-break"}
    assert places_of(world, [b"other"]) != set()


@pytest.mark.slow
@pytest.mark.everywhere
def test_postgresql_lets_nobody_delete_but_by_the_function(world: World) -> None:
    if world.place.kind == LOCAL:
        pytest.skip("SQLite has no rights, and its triggers refuse every deletion")
    prune_world(world)
    [(event_id,)] = world.select("SELECT event_id FROM audit_outbox WHERE action = 'OUTBOX_PRUNED'")
    for arguments, found in (
        (("lumi-operator", 0, 9, day(0), event_id), "never removed"),
        (("acme", 4, 9, day(4), event_id), "is not closed"),
        (("acme", 4, 9, day(2), event_id), "does not say that the rows"),
    ):
        with closing(world.outbox.connect()) as connection, pytest.raises(psycopg.Error, match=found):
            connection.execute("SELECT audit_prune(%s, %s, %s, %s, %s::uuid)", arguments)  # type: ignore[attr-defined]
    with closing(world.outbox.connect()) as connection, pytest.raises(psycopg.Error, match="append-only: DELETE"):
        connection.execute("DELETE FROM audit_outbox WHERE tenant_id = 'acme'")  # type: ignore[attr-defined]
    with closing(world.outbox.connect()) as connection:
        # Rows of other days are out of its reach, whatever seqs are given.
        found_rows = connection.execute(  # type: ignore[attr-defined]
            "SELECT audit_prune('acme', 0, 99, %s, %s::uuid)", (day(1), event_id)
        ).fetchone()
        assert found_rows == (0,)


def test_the_analyst_database_drops_what_left(world: World) -> None:
    assert build(world).events == 15
    prune_world(world)
    assert build(world).events == 9  # with the event that says so
    assert ask(world, "SELECT day, tenants, events FROM days ORDER BY day LIMIT 3") == [
        (day(0), 1, 1),
        (day(1), 0, 0),
        (day(2), 2, 3),
    ]


def test_a_feed_that_begins_later_says_what_was_pruned(world: World) -> None:
    """It begins with what is there, and names the rest: a customer sees that it is policy, and not loss."""
    Holds(opened(world).operator).place("globex", "case", "u-0")
    prune_world(world)
    pipeline = world.pipeline()
    source = Source.open(pipeline.lake, tuple(pipeline.lake_days()))
    reports = {tenant: publish_feed(source, tenant) for tenant in ("acme", "globex", "once")}
    assert {tenant: report.events for tenant, report in reports.items()} == {"acme": 5, "globex": 3, "once": 0}
    withheld = {
        tenant: [part for entry in FeedBook(pipeline.lake, tenant).entries() for part in entry.withheld]
        for tenant in reports
    }
    assert withheld == {
        "acme": [Withheld(0, 3, "pruned")],
        "globex": [Withheld(1, 1, "pruned")],
        "once": [Withheld(0, 0, "pruned")],
    }
    world.record("acme", world.clock.now)
    world.pipeline().land()
    source = Source.open(world.pipeline().lake, tuple(world.pipeline().lake_days()))
    assert (publish_feed(source, "acme").events, publish_feeds(source, ("acme", "globex")).failed) == (1, {})


def test_a_destination_begins_after_what_was_pruned(world: World, tmp_path: Path) -> None:
    prune_world(world)
    siem = {"name": "files", "kind": "file", "path": str(tmp_path / "out")}
    world.send_to({**siem, "since": "beginning"})
    with pytest.raises(SiemError, match=f"begin after that day: since = {day(2)}"):
        list(Exports(world.pipeline()).plan("files"))
    world.send_to({**siem, "since": day(2)})
    exports = Exports(world.pipeline())
    assert sum(report.events for report in exports.plan("files")) == 7
    assert exports.deliver("files").events == 7
    assert exports.statement("files", Period(day(2), day(3))).is_complete
