"""The demo: believable events, the same for the same seed, and a directory that holds a whole demo or none."""

import json
import signal
import stat
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.catalogue import CATALOGUE
from lumi_pipeline.config import load_config
from lumi_pipeline.demo import DemoError, DemoReport, Story, make_demo
from lumi_pipeline.demo.scene import Timed
from lumi_pipeline.demo.simulation import BATCH_EVENTS, Plan, Simulation, apportion
from lumi_pipeline.events import NewEvent
from lumi_pipeline.hashing import tenant_key
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from transparency.keys import SigningKey

REPOSITORY = Path(__file__).parents[2]
FRIDAY = date(2026, 11, 20)
PLAN = Plan(first_day=date(2026, 11, 17), days=4, tenants=5, events=8_000, seed=3)
DOCUMENTATION = [ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]
STORIES = {
    "night-dismissals",
    "privilege-escalation",
    "leaver-active",
    "password-guessing",
    "dormant-account",
    "mass-export",
    "key-probing",
}


def simulate(plan: Plan) -> tuple[list[Timed], dict[str, Story]]:
    simulation = Simulation(plan)
    events = [timed for batch in simulation.run() for timed in batch]
    return events, {story.name: story for story in simulation.stories}


@pytest.fixture(scope="module")
def simulated() -> tuple[list[Timed], dict[str, Story]]:
    return simulate(PLAN)


@pytest.fixture(scope="module")
def events(simulated: tuple[list[Timed], dict[str, Story]]) -> list[NewEvent]:
    return [event for _, event in simulated[0]]


@pytest.fixture(scope="module")
def stories(simulated: tuple[list[Timed], dict[str, Story]]) -> dict[str, Story]:
    return simulated[1]


def after(event: NewEvent) -> dict[str, object]:
    state = json.loads(event.after_state or "{}")
    assert isinstance(state, dict)
    return state


def told(story: Story, events: Sequence[NewEvent]) -> list[NewEvent]:
    """The story's events, in its order."""
    by_id = {event.event_id: event for event in events}
    return [by_id[event_id] for event_id in story.event_ids]


# What is simulated


@settings(max_examples=40)
@given(
    total=st.integers(0, 10_000),
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=30),
)
def test_apportioning_gives_every_part_its_share_rounded_up_or_down(total: int, weights: list[float]) -> None:
    parts = apportion(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - total * weight / sum(weights)) < 1


@settings(max_examples=25)
@given(
    plan=st.builds(
        Plan,
        first_day=st.dates(date(1970, 1, 2), date(2100, 1, 1)),
        days=st.integers(1, 9),
        tenants=st.integers(1, 30),
        events=st.integers(1, 1_500),
        seed=st.integers(-(2**40), 2**40),
    )
)
def test_any_plan_makes_exactly_its_events_in_order_within_its_days(plan: Plan) -> None:
    simulation = Simulation(plan)
    last: dict[str, datetime] = {}
    ids: set[str] = set()
    for batch in simulation.run():
        assert 1 <= len(batch) <= BATCH_EVENTS
        assert len({event.tenant_id for _, event in batch}) == 1
        for recorded_at, event in batch:
            assert plan.first_day <= recorded_at.date() <= plan.last_day
            assert last.get(event.tenant_id, recorded_at) <= recorded_at
            assert event.occurred_at is not None
            assert event.occurred_at < recorded_at
            last[event.tenant_id] = recorded_at
            ids.add(event.event_id)
    assert len(ids) == plan.events
    assert set(last) <= set(simulation.tenants)


def test_the_same_plan_makes_the_same_events_and_another_seed_makes_others() -> None:
    plan = Plan(FRIDAY, days=2, tenants=3, events=600, seed=1)
    assert simulate(plan) == simulate(plan)
    other = simulate(Plan(FRIDAY, days=2, tenants=3, events=600, seed=2))
    assert {event.event_id for _, event in simulate(plan)[0]}.isdisjoint(event.event_id for _, event in other[0])


def test_large_tenants_come_first_and_weekends_are_quiet() -> None:
    volumes = Plan(FRIDAY, days=3, tenants=5, events=20_000, seed=1).volumes()
    assert all(one > two for day in volumes for one, two in pairwise(day))
    friday, saturday, sunday = map(sum, volumes)
    assert friday > 4 * saturday > 4 * sunday
    assert friday + saturday + sunday == 20_000


def test_an_event_has_about_400_bytes(events: list[NewEvent]) -> None:
    names: tuple[str, ...] = (
        "tenant_id",
        "event_id",
        "action",
        "entity_type",
        "entity_id",
        "outcome",
        "actor_type",
        "actor_id",
    )
    names += ("auth_method", "actor_name", "ip", "user_agent", "request_id", "before_state", "after_state")
    text = sum(len(str(getattr(event, name) or "").encode()) for event in events for name in names)
    fixed = 3 * 8 + 16 + 3 * 32
    assert 350 < text / len(events) + fixed < 450


def test_every_action_is_of_the_catalogue(events: list[NewEvent]) -> None:
    for event in events:
        assert event.entity_type == CATALOGUE[event.action].entity_type
    assert len({event.action for event in events}) >= 30


def test_addresses_come_from_the_documentation_ranges(events: list[NewEvent]) -> None:
    for address in {event.ip for event in events if event.ip}:
        assert any(ip_address(address) in network for network in DOCUMENTATION), address


def test_states_follow_from_each_other(events: list[NewEvent]) -> None:
    status: dict[tuple[str, str], str] = {}
    accepted: set[tuple[str, str]] = set()
    for event in events:
        if event.entity_type == "recommendation" and event.after_state:
            key = (event.tenant_id, event.entity_id)
            if event.before_state:
                assert json.loads(event.before_state)["status"] == status.get(key, "open")
            status[key] = str(after(event)["status"])
            if event.action == "RECOMMENDATION_ACCEPTED":
                accepted.add(key)
        if event.action == "TICKET_CREATED":
            assert (event.tenant_id, after(event)["recommendation"]) in accepted
    assert set(status.values()) == {"open", "accepted", "applied", "dismissed", "snoozed"}


def test_a_recommendation_belongs_to_one_tenant(events: list[NewEvent]) -> None:
    tenants: dict[str, set[str]] = defaultdict(set)
    for event in events:
        if event.entity_type == "recommendation":
            tenants[event.entity_id].add(event.tenant_id)
    assert all(len(found) == 1 for found in tenants.values())


def test_whoever_decides_has_looked_before(events: list[NewEvent]) -> None:
    viewed: set[tuple[str, str, str]] = set()
    decided = 0
    for event in events:
        key = (event.tenant_id, event.actor_id, event.entity_id)
        if event.action == "RECOMMENDATION_VIEWED":
            viewed.add(key)
        elif event.action in {"RECOMMENDATION_DISMISSED", "RECOMMENDATION_ACCEPTED"}:
            assert key in viewed
            decided += 1
    assert decided > 100


def test_people_work_by_day_and_the_directory_syncs_at_night(simulated: tuple[list[Timed], dict[str, Story]]) -> None:
    tenant = Simulation(PLAN).tenants[2]  # at UTC
    hours: dict[str, Counter[int]] = defaultdict(Counter)
    for recorded_at, event in simulated[0]:
        if event.tenant_id == tenant:
            hours[event.actor_type][recorded_at.hour] += 1
            if event.action == "SCIM_USER_UPDATED":
                assert recorded_at.hour in {2, 3}
    people = hours["user"]
    assert sum(people[hour] for hour in range(7, 20)) > 0.9 * people.total()
    assert hours["service"].total() > 0
    assert hours["system"].total() > 0


def test_the_service_provider_works_in_its_customers_tenants(events: list[NewEvent]) -> None:
    tenants: dict[str, set[str]] = defaultdict(set)
    for event in events:
        if event.actor_type == "user":
            tenants[event.actor_id].add(event.tenant_id)
    guests = [actor for actor, seen in tenants.items() if len(seen) > 1]
    assert len(guests) == 3
    msp = next(tenant for tenant in Simulation(PLAN).tenants if tenant.endswith("-msp"))
    assert any(msp in tenants[guest] for guest in guests)


# The planted stories


def test_all_stories_are_told_once_there_is_room(stories: dict[str, Story], events: list[NewEvent]) -> None:
    assert set(stories) == STORIES
    for story in stories.values():
        found = told(story, events)
        assert {event.tenant_id for event in found} == set(story.tenant_ids)
        assert len(set(story.event_ids)) == len(found) > 7


def test_a_demo_too_small_for_stories_has_none() -> None:
    assert simulate(Plan(FRIDAY, days=1, tenants=2, events=20, seed=1))[1] == {}


@pytest.mark.parametrize(("days", "tenants"), [(1, 1), (1, 7), (2, 2), (8, 3)])
def test_stories_fit_any_number_of_days_and_tenants(days: int, tenants: int) -> None:
    timed, stories = simulate(Plan(FRIDAY, days=days, tenants=tenants, events=6_000, seed=9))
    assert set(stories) == STORIES
    order = {event.event_id: index for index, (_, event) in enumerate(timed)}
    for story in stories.values():
        if len(story.tenant_ids) == 1:
            positions = [order[event_id] for event_id in story.event_ids]
            assert positions == sorted(positions)


def test_story_of_the_night_dismissals(stories: dict[str, Story], events: list[NewEvent]) -> None:
    story = stories["night-dismissals"]
    found = told(story, events)
    assert len(story.tenant_ids) == 2
    (network,) = {event.ip for event in found}
    assert {event.event_id for event in events if event.ip == network} == set(story.event_ids)
    dismissed = [event for event in found if event.action == "RECOMMENDATION_DISMISSED"]
    assert all(after(event)["impact"] == "high" for event in dismissed)
    assert len(dismissed) == 12
    everybody = Counter(
        event.actor_id
        for event in events
        if event.action == "RECOMMENDATION_DISMISSED" and after(event)["impact"] == "high"
    )
    assert everybody.most_common(1) == [(story.actor_id, 12)]
    assert sum(event.actor_id == story.actor_id for event in events) > len(found)  # has a baseline to differ from


def test_story_of_the_privilege_escalation(stories: dict[str, Story], events: list[NewEvent]) -> None:
    found = told(stories["privilege-escalation"], events)
    actions = [event.action for event in found]
    assert actions[1:3] == ["CUSTOM_ROLE_UPDATED", "ROLE_ASSIGNED"]
    assert actions[3:-1] == ["REPORT_EXPORTED"] * 24
    assert found[2].entity_id == found[2].actor_id
    assert after(found[2])["role"] == found[1].entity_id
    others = [event for event in events if event.actor_id == found[2].actor_id and event not in found]
    assert sum(event.action == "REPORT_EXPORTED" for event in others) < 5


def test_story_of_the_mass_export(stories: dict[str, Story], events: list[NewEvent]) -> None:
    story = stories["mass-export"]
    found = told(story, events)
    assert [event.action for event in found[1:-1]] == ["REPORT_EXPORTED"] * 40
    assert len({event.ip for event in found}) == 1
    exports = Counter(event.actor_id for event in events if event.action == "REPORT_EXPORTED")
    assert exports.most_common(1)[0][0] != story.actor_id  # an auditor takes out more in all, day by day


def test_story_of_the_probed_key(stories: dict[str, Story], events: list[NewEvent]) -> None:
    found = told(stories["key-probing"], events)
    assert [event.outcome for event in found] == ["failure"] * 30 + ["success"] * 10
    (actor,) = {(event.actor_type, event.actor_id) for event in found}
    assert actor[0] == "service"
    usual = {event.ip for event in events if event.actor_id == actor[1]} - {found[0].ip}
    assert len(usual) == 1


def test_story_of_the_leaver(stories: dict[str, Story], events: list[NewEvent]) -> None:
    story = stories["leaver-active"]
    gone: dict[tuple[str, str], int] = {}
    late: list[str] = []
    for index, event in enumerate(events):
        if event.action == "SCIM_USER_DEPROVISIONED":
            gone[event.tenant_id, event.entity_id] = index
        elif event.action == "SCIM_USER_PROVISIONED":
            gone.pop((event.tenant_id, event.entity_id), None)
        elif (event.tenant_id, event.actor_id) in gone:
            late.append(event.event_id)
    assert tuple(late) == story.event_ids[1:]
    assert len(gone) > 1  # others left too, and stayed away


def test_story_of_the_guessed_password(stories: dict[str, Story], events: list[NewEvent]) -> None:
    found = told(stories["password-guessing"], events)
    assert [event.outcome for event in found] == ["failure"] * 12 + ["success"] * 4
    failures = Counter(event.ip for event in events if event.action == "LOGIN" and event.outcome == "failure")
    (most, count), (_, second) = failures.most_common(2)
    assert (most, count) == (found[0].ip, 12)
    assert second < 12


def test_story_of_the_dormant_account(stories: dict[str, Story], events: list[NewEvent]) -> None:
    story = stories["dormant-account"]
    found = told(story, events)
    assert {event.event_id for event in events if event.actor_id == story.actor_id} == set(story.event_ids)
    first, second = found[0].occurred_at, found[1].occurred_at
    assert first is not None
    assert second is not None
    assert second - first > timedelta(days=140)
    assert after(found[1])["last_login"] == f"{first:%Y-%m-%dT%H:%M:%SZ}"


# The directory


def small_demo(root: Path, seed: int = 1) -> DemoReport:
    return make_demo(root, days=2, tenants=3, events=700, seed=seed, through=FRIDAY)


def ids_in(outbox: Path) -> set[str]:
    with SqliteOutbox.open(outbox).snapshot() as snapshot:
        cursors = [(str(tenant_id), 0) for tenant_id in snapshot.heads()["tenant_id"].to_pylist()]
        tables = list(snapshot.rows(cursors))
    return {str(event_id) for table in tables for event_id in table["event_id"].to_pylist()}


def test_a_demo_is_an_outbox_with_keys_and_a_configuration(tmp_path: Path) -> None:
    root = tmp_path / "new" / "demo"
    progress: list[tuple[int, int]] = []
    report = make_demo(
        root, days=2, tenants=3, events=700, seed=1, through=FRIDAY, progress=lambda *done: progress.append(done)
    )
    assert report.created
    assert (report.first_day, report.last_day, report.events) == (FRIDAY - timedelta(days=1), FRIDAY, 700)
    assert progress == sorted(progress)
    assert progress[-1] == (700, 700)

    timed, _ = simulate(Plan(report.first_day, days=2, tenants=3, events=700, seed=1))
    assert ids_in(report.outbox) == {event.event_id for _, event in timed}

    config = load_config(report.config, env={})
    assert config.outbox.path == report.outbox
    assert config.root_path == root / "lake"
    for path, name in ((config.log_key_file, config.origin), (config.evidence_key_file, f"{config.origin}/evidence")):
        assert SigningKey.load(path).name == name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(path.name for path in root.iterdir()) == ["demo.json", "keys", "lumi.toml", "outbox.db"]


def test_tenants_of_the_report_are_those_of_the_outbox(tmp_path: Path) -> None:
    report = small_demo(tmp_path)
    with SqliteOutbox.open(report.outbox).snapshot() as snapshot:
        heads = snapshot.heads()
    assert heads["tenant_id"].to_pylist() == sorted(report.tenants)
    assert sum(next_seq or 0 for next_seq in heads["next_seq"].to_pylist()) == report.events
    assert len({tenant_key(tenant) for tenant in report.tenants}) == 3


def test_making_it_again_adds_nothing_and_says_so(tmp_path: Path) -> None:
    report = small_demo(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = small_demo(tmp_path, seed=2)
    assert not again.created
    assert (again.events, again.seed, again.tenants) == (report.events, report.seed, report.tenants)
    assert (again.stories, again.first_day, again.last_day) == (report.stories, report.first_day, report.last_day)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


KILLED = """
import os, signal, sys
from datetime import date
from pathlib import Path
from lumi_pipeline.demo import make_demo
def die(done, total):
    if done > 300:
        os.kill(os.getpid(), signal.SIGKILL)
make_demo(Path(sys.argv[1]), days=2, tenants=3, events=700, seed=1, through=date(2026, 11, 20), progress=die)
"""


def test_a_run_that_was_killed_is_completed_by_the_next(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False, cwd=REPOSITORY)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "outbox.db.partial").exists()
    key = (tmp_path / "keys" / "log.key").read_bytes()

    report = small_demo(tmp_path)
    assert report.created
    assert len(ids_in(report.outbox)) == 700
    assert (tmp_path / "keys" / "log.key").read_bytes() == key
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.json", "keys", "lumi.toml", "outbox.db"]


def test_a_run_that_fails_leaves_no_outbox(tmp_path: Path) -> None:
    def fail(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_demo(tmp_path, events=100, through=FRIDAY, progress=fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys", "lumi.toml"]


def test_by_default_it_ends_yesterday(tmp_path: Path) -> None:
    before = datetime.now(UTC).date()
    report = make_demo(tmp_path, events=50)
    assert before - timedelta(days=1) <= report.last_day < datetime.now(UTC).date()
    assert report.last_day - report.first_day == timedelta(days=2)


def test_only_one_run_works_in_a_directory(tmp_path: Path) -> None:
    refused: list[str] = []

    def meanwhile(*_: int) -> None:
        with pytest.raises(DemoError, match="at work") as caught:
            small_demo(tmp_path)
        refused.append(str(caught.value))

    make_demo(tmp_path, events=50, tenants=1, days=1, through=FRIDAY, progress=meanwhile)
    assert refused


@pytest.mark.parametrize("summary", [None, b"", b"{}", b'{"stories":[1]}', b"\xff", b"[]" * 600_000])
def test_an_outbox_that_is_no_demo_is_left_alone(tmp_path: Path, summary: bytes | None) -> None:
    (tmp_path / "outbox.db").write_bytes(b"precious")
    if summary is not None:
        (tmp_path / "demo.json").write_bytes(summary)
    with pytest.raises(DemoError, match=r"demo\.json"):
        small_demo(tmp_path)
    assert (tmp_path / "outbox.db").read_bytes() == b"precious"
    assert not (tmp_path / "keys").exists()


def test_the_configuration_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lumi.toml").write_text('root = "elsewhere"\n')
    with pytest.raises(DemoError, match=r"lumi\.toml"):
        small_demo(tmp_path)
    assert (tmp_path / "lumi.toml").read_text() == 'root = "elsewhere"\n'


def test_the_key_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    SigningKey.generate("audit.example.com/lumi").save_new(tmp_path / "keys" / "log.key")
    with pytest.raises(DemoError, match=r"audit\.example\.com"):
        small_demo(tmp_path)
    assert not (tmp_path / "outbox.db").exists()


def test_a_file_in_the_place_of_the_directory_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DemoError, match="directory"):
        small_demo(tmp_path / "file")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"days": 0}, "0 days"),
        ({"days": 3_661}, "3661 days"),
        ({"tenants": 0}, "0 tenants"),
        ({"tenants": 1_001}, "1001 tenants"),
        ({"events": 0}, "0 events"),
        ({"seed": 10**15}, "seed"),
    ],
)
def test_numbers_without_sense_are_refused(tmp_path: Path, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(DemoError, match=message):
        make_demo(tmp_path / "demo", through=FRIDAY, **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(("through", "message"), [(date(9999, 1, 1), "is not over"), (date(1970, 1, 2), "1970")])
def test_days_that_cannot_be_recorded_are_refused(tmp_path: Path, through: date, message: str) -> None:
    with pytest.raises(DemoError, match=message):
        make_demo(tmp_path / "demo", through=through)
