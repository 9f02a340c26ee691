"""Three days without a destination: nothing is dropped, what is missing is sent and nothing else, and it is stated."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.backfill import BackfillReport, backfill, find_gap
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.rounds import deliver_all, plan_all
from lumi_pipeline.siem.settings import read_destinations
from tests.lake.world import EVIDENCE_KEY, World, at, day
from tests.siem.fakes.datadog import FakeDatadog
from tests.siem.fakes.http import answer
from tests.siem.fakes.https import FakeReceiver
from tests.siem.fakes.sentinel import FakeSentinel
from tests.siem.soak.targets import COLUMNS, STREAM
from transparency.note import parse_note, verify_note

pytestmark = pytest.mark.slow

HOURLY: Final = "SIEM_SOAK_EVENTS" in os.environ
STEP: Final = timedelta(hours=1 if HOURLY else 8)
OPERATOR: Final = "lumi-operator"
TENANTS: Final = ("acme", "globex")
DOWN: Final = ("datadog", "sentinel", "ordered")
NOTHING: Final = timedelta(0)
HOUR: Final = timedelta(hours=1)


@dataclass(slots=True)
class Site:
    """A pipeline that sends to four destinations, of which two can be down, and what each of them has."""

    world: World
    datadog: FakeDatadog
    sentinel: FakeSentinel
    ordered: FakeReceiver
    healthy: FakeReceiver
    recorded: dict[str, datetime] = field(default_factory=dict)
    """The events of the product, and when they were recorded."""

    @property
    def exports(self) -> Exports:
        """The destinations, as a new process would open them."""
        return Exports(self.world.pipeline())

    def arrived(self, name: str) -> list[str]:
        """The ids of what a destination keeps, in the order in which it came."""
        match name:
            case "datadog":
                return self.datadog.event_ids()
            case "sentinel":
                return [row["EventId"] for row in self.sentinel.stored[STREAM]]
            case _:
                fake = self.ordered if name == "ordered" else self.healthy
                return [event["event_id"] for event in fake.stored if event["tenant_id"] != OPERATOR]

    def go_down(self) -> None:
        """Answer 503 from now on."""
        for fake in (self.datadog, self.sentinel, self.ordered):
            fake.chooser = lambda: answer(503)

    def come_back(self) -> None:
        for fake in (self.datadog, self.sentinel, self.ordered):
            fake.chooser = lambda: None

    def pass_time(self, length: timedelta = STEP, *, events: bool = True, deliver: bool = True) -> None:
        """Let time pass, record, land, plan and deliver."""
        self.world.clock.now += length
        if events:
            now = self.world.clock.now
            recorded = self.world.record_all((tenant, now - timedelta(minutes=1)) for tenant in TENANTS)
            self.recorded |= {event.event_id: event.recorded_at for event in recorded}
        self.world.pipeline().land()
        assert not [done.error for done in plan_all(self.exports) if done.error]
        if deliver:
            assert not [done.error for done in deliver_all(self.exports, NOTHING) if done.error]

    def digests(self, name: str) -> list[int]:
        """When digests of a destination were recorded in the operator's chain: microseconds."""
        query = "SELECT recorded_at FROM audit_outbox WHERE tenant_id = ? AND entity_id = ? ORDER BY seq"
        return [int(str(moment)) for (moment,) in self.world.select(query, (OPERATOR, name))]

    def written(self) -> dict[str, object]:
        """All that a system which has nothing to do must not add to."""
        kept = ("landings/", "plans/", "batches/", "ledger/", "receipts/", "digests/", "digested/", "statements/")
        keys = [key for key in self.world.store.list("") if any(f"{part}" in key for part in kept)]
        return {"objects": keys, "events": self.world.select("SELECT count(*) FROM audit_outbox")}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """All went well so far."""
    world = World.create(tmp_path / "world", at(0, "00:00:00"))
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("hunter2")
    key = f"file:{secret}"
    with ExitStack() as stack:
        site = Site(
            world,
            stack.enter_context(FakeDatadog("hunter2", now=world.clock)),
            stack.enter_context(FakeSentinel({STREAM: COLUMNS}, client=("app", "hunter2"), now=world.clock)),
            stack.enter_context(FakeReceiver()),
            stack.enter_context(FakeReceiver()),
        )
        sentinel = {
            "endpoint": site.sentinel.url,
            "login": site.sentinel.url,
            "dcr": site.sentinel.dcr,
            "stream": STREAM,
            "directory": site.sentinel.directory,
            "client_id": "app",
            "client_secret": key,
        }
        world.send_to(
            {"name": "datadog", "kind": "datadog", "url": site.datadog.intake, "api_key": key, "allow_private": True},
            {"name": "sentinel", "kind": "sentinel", "allow_private": True, **sentinel},
            {"name": "ordered", "kind": "https", "url": site.ordered.endpoint, "allow_private": True, "ordered": True},
            {
                "name": "healthy",
                "kind": "https",
                "url": site.healthy.endpoint,
                "allow_private": True,
                "tenants": [*TENANTS, OPERATOR],
            },
        )
        yield site


def statement(site: Site, report: BackfillReport, name: str) -> dict[str, Any]:
    """The statement that closed a backfill, whose signature and link to the receipts are right."""
    line, _, rest = site.world.store.get(report.stored).partition(b"\n")
    assert verify_note(parse_note(rest), [EVIDENCE_KEY.verifier]) == [EVIDENCE_KEY.verifier]
    assert hashlib.sha256(line).hexdigest() in rest.decode()
    stated: dict[str, Any] = json.loads(line)
    lines = receipts(site, name)
    assert stated["prev"] == hashlib.sha256(lines[-1]).hexdigest()
    assert stated["receipts"] == str(len(lines))
    return stated


def receipts(site: Site, name: str) -> list[bytes]:
    """The lines of a destination's receipts."""
    contents = site.world.contents(f"siem/{name}/receipts/")
    return [line for _, data in sorted(contents.items()) for line in data.split(b"\n") if line.startswith(b"{")]


def restamped(site: Site, name: str) -> int:
    """How many events were sent with another time, or are listed under another, as the receipts say."""
    found = [json.loads(line) for line in receipts(site, name)]
    return sum(int(receipt["events"]) for receipt in found if receipt["restamped"])


def test_three_days_without_destinations(site: Site) -> None:
    site.pass_time()
    before = list(site.recorded)
    site.go_down()
    for _ in range(int(timedelta(days=3) / STEP)):
        site.pass_time()
    assert site.arrived("healthy") == list(site.recorded), "those that are up are kept waiting by those that are down"
    site.come_back()
    site.pass_time(timedelta(minutes=30), deliver=False)
    now = site.world.clock.now
    # Today's events are no matter of a backfill.
    missing = [event_id for event_id, moment in site.recorded.items() if moment < at(3, "00:00:00")][len(before) :]
    live = set(site.recorded) - set(before) - set(missing)
    limits = {"datadog": timedelta(hours=17), "sentinel": timedelta(days=2), "ordered": timedelta(days=99)}
    for name in DOWN:
        assert site.arrived(name) == before
        gap = find_gap(site.exports, name, Period(day(0), day(2)))
        assert (gap.missing, gap.open_events) == ((), len(missing))
        assert gap.aged == sum(site.recorded[event_id] < now - limits[name] for event_id in missing)
        assert gap.aged > 0 or name == "ordered"

        report = backfill(site.exports, name, gap, HOUR)
        arrived = site.arrived(name)[len(before) :]
        assert sorted(arrived) == sorted([*missing, *live]), name
        places = [place for place, event_id in enumerate(arrived) if event_id in live]
        assert min(places) < 10, f"{name}: what is live waits behind what is old"
        assert restamped(site, name) == gap.aged
        stated = statement(site, report, name)
        assert (stated["open"], stated["possible_duplicates"], stated["missing"]) == ("0", "0", [])
        assert stated["delivered"] == str(len(before) + len(missing))
        assert int(stated["rows"]) - int(stated["filtered"]) == int(stated["delivered"])

        assert find_gap(site.exports, name, Period(day(0), day(3))).events == 0

    # Nothing was dropped for its time, and the true time is in every event.
    assert site.datadog.dropped == []
    assert {log.log["lumi"]["event_id"]: log.log["lumi"]["recorded_at"] for log in site.datadog.stored} == {
        event_id: f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}" for event_id, moment in site.recorded.items()
    }
    assert site.sentinel.times_replaced == restamped(site, "sentinel")
    assert {row["EventId"]: row["EventTime"] for row in site.sentinel.stored[STREAM]} == site.recorded

    for name in (*DOWN, "healthy"):
        moments = site.digests(name)
        assert moments
        assert all(later - earlier >= 3_600_000_000 for earlier, later in pairwise(moments)), name


def test_a_destination_that_is_new_gets_what_was_before_it_when_asked_for(site: Site, tmp_path: Path) -> None:
    for _ in range(3):
        site.pass_time(timedelta(hours=20))
    with FakeReceiver() as fake:
        late = {"name": "late", "kind": "https", "url": fake.endpoint, "allow_private": True}
        site.world.config = replace(site.world.config, destinations=read_destinations([late], "test", tmp_path))
        site.pass_time(HOUR)
        before = [event_id for event_id, moment in site.recorded.items() if moment < at(2, "00:00:00")]
        today = [event_id for event_id in site.recorded if event_id not in before]
        assert sorted(event["event_id"] for event in fake.stored) == sorted(today)
        gap = find_gap(site.exports, "late", Period(day(0), day(1)))
        assert sum(found.count for found in gap.missing) == gap.events >= len(before)
        report = backfill(site.exports, "late", gap, NOTHING)
        sent = [event["event_id"] for event in fake.stored if event["tenant_id"] != OPERATOR][len(today) :]
        assert sorted(sent) == sorted(before)
        assert statement(site, report, "late")["unaccounted"] == statement(site, report, "late")["open"] == "0"


def test_an_idle_system_is_silent(site: Site) -> None:
    """Also where a destination gets the operator's own events, which are about deliveries to it, among others."""
    for minute in range(5):
        site.pass_time(timedelta(minutes=20), events=minute < 4)
    for _ in range(2):
        site.pass_time(HOUR, events=False)
    assert len(site.digests("healthy")) in {2, 3}
    assert any(event["tenant_id"] == OPERATOR for event in site.healthy.stored)
    before = site.written()
    for _ in range(72 if HOURLY else 6):
        site.pass_time(HOUR if HOURLY else timedelta(hours=12), events=False)
    assert site.written() == before
