"""What is kept beside the lake: batches for SIEMs, feeds, evidence. Nothing is lost of them but what is erased."""

import gzip
import json
import shutil
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.errors import ErasureError, UnfinishedErasure
from lumi_pipeline.evidence.monthly import MonthlyEvidence
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.feed import publish_feed
from lumi_pipeline.siem.feedentries import FeedBook
from lumi_pipeline.siem.feederased import erased_entries
from lumi_pipeline.siem.lease import Lease
from lumi_pipeline.siem.ledger import Do, Move
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.plans import PlanBook
from lumi_pipeline.siem.source import Source
from lumi_pipeline.siem.taking import take
from lumi_pipeline.verdict import Status
from tests.analytics.databases import build
from tests.crashing import Killed, Write
from tests.erasure.forgetting import ERIKA, assert_forgotten, forget, secrets, status
from tests.erasure.searching import places_of
from tests.lake import places
from tests.lake.crashes import kind
from tests.lake.world import World
from tests.siem.dying import DoomedStore
from transparency.store import ObjectStore

FEBRUARY = date(2024, 2, 1)
KEY = "evidence/acme/evidence-acme-2024-02-28-2024-02-29"


@pytest.fixture(scope="module")
def kept_template(lived_in_template: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    outside = tmp_path_factory.mktemp("kept")
    world = lived_in_template.copy(outside / "world")
    send(world, outside)
    exports = Exports(world.pipeline())
    for name in exports.names:
        list(exports.plan(name))
    exports.deliver("sent")
    publish_feed(source(world), "acme")
    months(world).make(FEBRUARY)
    build(world)
    return world


@pytest.fixture
def kept(kept_template: World, tmp_path: Path) -> World:
    """Everything of acme's is planned for two SIEMs and delivered to one; there is a feed, and a month's evidence."""
    shutil.copytree(kept_template.directory.parent / "sent", tmp_path / "sent")
    world = kept_template.copy(tmp_path / "world")
    shutil.copy(kept_template.config.analyst_db, world.config.analyst_db)
    send(world, tmp_path)
    return world


def send(world: World, outside: Path) -> None:
    world.send_to(
        {"name": "sent", "kind": "file", "path": str(outside / "sent"), "since": "beginning"},
        {"name": "waiting", "kind": "file", "path": str(outside / "waiting"), "since": "beginning"},
    )


def source(world: World) -> Source:
    pipeline = world.pipeline()
    return Source.open(pipeline.lake, tuple(pipeline.lake_days()))


def months(world: World) -> MonthlyEvidence:
    return MonthlyEvidence(world.pipeline(evidence_tenants=("acme",)))


def arrived(directory: Path) -> dict[int, dict[str, Any]]:
    lines = [line for file in directory.rglob("*.gz") for line in gzip.decompress(file.read_bytes()).splitlines()]
    events = [json.loads(line) for line in lines]
    return {event["seq"]: event for event in events if event["tenant_id"] == "acme"}


def test_nothing_of_hers_is_left_and_nothing_else_is_lost(kept: World) -> None:
    outside = kept.directory.parent
    values = secrets(kept)
    plan = Eraser(kept.pipeline()).plan(ERIKA)
    assert {name: part.events for name, part in plan.parts.items()} == {
        "outbox": 4,
        "lake": 4,
        "siem": 8,
        "feed": 4,
        "evidence": 2,
        "analyst": 4,
    }
    notes = " ".join(note for part in plan.parts.values() for note in part.notes)
    assert "sent was sent some of them" in notes
    assert "may have fetched" in notes
    assert "was given a bundle" in notes
    forget(kept.pipeline())
    assert_forgotten(kept, values)

    # What was waiting is delivered as it is now; what was delivered has its account, as before.
    exports = Exports(kept.pipeline())
    exports.deliver("waiting")
    before, after = arrived(outside / "sent"), arrived(outside / "waiting")
    assert before.keys() == after.keys() == set(range(8))
    for seq, event in after.items():
        assert (event["actor_name"] is None) is (seq in {1, 2, 5, 6})
        assert event["integrity_hash"] == before[seq]["integrity_hash"]
    for name in exports.names:
        statement = exports.statement(name, Period(date(2024, 2, 28), date(2024, 3, 1)))
        assert statement.is_complete
    assert_forgotten(kept, values)


def test_the_feed_goes_on(kept: World) -> None:
    lines = _feed(kept)
    forget(kept.pipeline())
    after = _feed(kept)
    assert after.keys() == lines.keys()
    assert {seq for seq in after if after[seq] != lines[seq]} == {1, 2, 5, 6}
    kept.record("acme", kept.clock.now)
    kept.pipeline().land()
    assert publish_feed(source(kept), "acme").events == 1
    assert _feed(kept).keys() == set(range(9))


def _feed(world: World) -> dict[int, dict[str, Any]]:
    """What a customer reads who follows the index, and takes what superseded an object."""
    book = FeedBook(world.pipeline().lake, "acme")
    events = {}
    for entry in book.entries():
        records = erased_entries(world.pipeline().lake, "acme", entry.number)
        path = records[-1].path if records else entry.path
        for line in gzip.decompress(world.store.get(f"{book.prefix}{path}")).splitlines():
            event = json.loads(line)
            events[event["seq"]] = event
    return events


def test_evidence_is_made_anew_and_says_what_was_erased(kept: World) -> None:
    kept.store.put("evidence-drafts/20240301T080000Z-0123456789abcdef/acme.zip", kept.store.get(f"{KEY}.zip"))
    forget(kept.pipeline())
    assert kept.contents("evidence-drafts/") == {}
    assert sorted(kept.contents("evidence/")) == [f"{KEY}.erased-000000.zip", f"{KEY}.superseded-000000.json"]
    [verdict] = months(kept).judge(FEBRUARY)
    assert (verdict.status, verdict.facts["erased"]) == (Status.VERIFIED, 2)
    [bundle] = months(kept).make(FEBRUARY).bundles
    assert (bundle.fresh, bundle.key) == (False, f"{KEY}.erased-000000.zip")
    assert months(kept).lacking(date(2024, 3, 1)) == []


def test_evidence_of_no_known_name_stops_it_before_anything_is_touched(kept: World) -> None:
    data = kept.store.get(f"{KEY}.zip")
    kept.store.put_new("evidence/acme/copy.zip", data)
    before = kept.contents("events/")
    with pytest.raises(ErasureError, match=r"evidence/acme/copy\.zip holds events"):
        forget(kept.pipeline())
    assert kept.contents("events/") == before
    kept.store.delete("evidence/acme/copy.zip")
    assert forget(kept.pipeline()).order is not None


def test_what_was_under_way_is_sent_again(kept: World) -> None:
    with Lease(kept.pipeline().lake, "waiting", kept.clock, timedelta(seconds=90)) as lease:
        book = LedgerBook(kept.pipeline().lake, "waiting")
        exports = Exports(kept.pipeline())
        taken = take(book, PlanBook(exports.lake, "waiting"), kept.clock())
        assert taken is not None
        book.write(*taken, kept.clock(), lease.holder)
        first = next(book.ledger.sendable()).key
        book.write([Move(Do.SEND, kept.clock(), first)], (), kept.clock(), lease.holder)
        with pytest.raises(UnfinishedErasure, match=r"process \d+ on .* until 2024.*'lumi erase --resume' completes"):
            forget(kept.pipeline())
        assert status(kept) is Status.INCOMPLETE
    report = Eraser(kept.pipeline()).resume()
    assert report is not None
    delivered = Exports(kept.pipeline()).deliver("waiting")
    assert (delivered.events, delivered.duplicates > 0) == (9, True)


def dying(world: World, after: int | None = None) -> list[Write]:
    """Erase what is hers, killed after so many writes; return the writes."""
    stores: list[DoomedStore] = []

    def doomed(store: ObjectStore) -> ObjectStore:
        stores.append(DoomedStore(store, after=after))
        return stores[-1]

    pipeline = world.pipeline(doomed)
    with suppress(Killed):
        forget(pipeline)
    return stores[0].writes


@pytest.mark.slow
def test_a_killed_erasure_is_completed(kept: World, tmp_path: Path) -> None:
    values = secrets(kept)

    def copied(name: str) -> World:
        world = kept.copy(tmp_path / name)
        world.config = replace(world.config, destinations=kept.config.destinations)
        return world

    expected = dying(copied("undisturbed"))
    moments = [n for n, write in enumerate(expected) if write.key.split("/")[0] in {"siem", "feeds", "evidence"}]
    assert len({kind(expected[number]) for number in moments}) > 8
    for number in moments if places.thorough else moments[::-7]:
        world = copied(str(number))
        assert len(dying(world, number)) == number + 1
        assert status(world) is Status.INCOMPLETE
        world.clock.now += timedelta(minutes=5)  # the lease of the killed run is over
        assert Eraser(world.pipeline()).resume() is not None
        assert places_of(world, values) == set(), expected[number]
        assert months(world).judge(FEBRUARY)[0].status is Status.VERIFIED
