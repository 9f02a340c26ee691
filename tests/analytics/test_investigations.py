"""The saved investigations: their form, what they find among planted stories, and that values stay values."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from math import isfinite
from pathlib import Path
from random import Random

import duckdb
import pyarrow as pa
import pytest

from lumi_pipeline.analytics.investigation import Investigation, load, names, parse
from lumi_pipeline.demo import Story
from lumi_pipeline.demo.simulation import Plan
from lumi_pipeline.errors import AnalystError, QuestionError
from lumi_pipeline.events import NewEvent
from lumi_pipeline.importers.cloudtrail import read_cloudtrail
from tests.analytics.accuracy import MEANT, ask, findings, is_right
from tests.analytics.simulated import MONDAY, at_once, database, simulate

Demo = tuple[duckdb.DuckDBPyConnection, dict[str, Story], pa.Table]
REAL_RECORDS = Path(__file__).parents[3] / "shared" / "data" / "cloudtrail" / "records.ndjson.gz"
NOON = datetime(2026, 11, 16, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    table, stories = simulate(Plan(MONDAY, days=3, tenants=5, events=20_000, seed=2))
    with database(table) as db:
        yield db, stories, table


def event(action: str, at: datetime, actor: str = "u-1", **more: str) -> NewEvent:
    values = {"tenant_id": "acme", "entity_type": "thing", "entity_id": "e-1", "actor_type": "user", **more}
    return NewEvent(action=action, actor_id=actor, occurred_at=at, **values)  # type: ignore[arg-type]


def hours(number: float) -> timedelta:
    return timedelta(hours=number)


# The files


@pytest.mark.parametrize("name", names())
def test_every_investigation_runs_on_an_empty_database_and_names_events(name: str) -> None:
    investigation = load(name)
    given = {p.name: "u-1" for p in investigation.parameters if p.required}
    with database(at_once()) as db:
        answer = investigation.run(db, investigation.bind(given))
        assert "event_id" in answer.schema.names
        assert list(answer.batches) == [] or all(not batch.num_rows for batch in answer.batches)
    assert "tenant" in {p.name for p in investigation.parameters}
    assert investigation.example.startswith(f"lumi investigate {name}")
    words = investigation.example.split()
    texts = dict(word.split("=", 1) for word in words if "=" in word)
    investigation.bind(given | texts)


def test_there_are_the_nine_that_were_promised_and_one_about_refusals() -> None:
    assert names() == sorted([*MEANT, "user-timeline", "viewed-then-dismissed"])


HEADER = "-- title: T\n-- description: D\n-- param a text?: A\n-- example: lumi investigate x\nSELECT $a AS event_id\n"


def test_a_header_is_read() -> None:
    text = HEADER.replace("description: D", "description: D\n--   and more").replace(
        "-- example", "-- param n number = 2.5: N\n-- example"
    )
    investigation = parse("x", text.replace("$a", "$a, $n"))
    assert investigation.description == "D and more"
    assert [(p.name, p.type, p.required, p.default) for p in investigation.parameters] == [
        ("a", "text", False, None),
        ("n", "number", False, 2.5),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-- title: T\n", "", "one title"),
        ("-- title: T\n", "-- title: T\n-- title: U\n", "one title"),
        ("-- title: T", "-- headline: T", "line 1"),
        ("-- description", "--description", "line 2"),
        ("-- example", "-- param a text?: Again\n-- example", "twice"),
        ("text?", "money", "line 3"),
        ("text?", "text? = x", "line 3"),
        ("text?", "integer = many", "line 3"),
        ("param a", "param A", "line 3"),
        ("param a", "param b", "a, b"),
        ("$a", "1", "exactly the parameters"),
        ("$a", "$a, $b", "exactly the parameters"),
        ("-- example: lumi investigate x\n", "", "one title"),
        ("-- param a text?: A\n-- example: lumi investigate x", "-- example: x\n-- param a text?: A", "one title"),
    ],
)
def test_a_header_that_is_not_exactly_in_form_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(AnalystError, match=message):
        parse("x", HEADER.replace(old, new))
    with pytest.raises(AnalystError, match="named like"):
        parse("X y", HEADER)


def test_one_that_is_not_there_is_answered_with_those_that_are() -> None:
    for name in ("nothing", "../macros", "", "Mass-Export"):
        with pytest.raises(AnalystError, match="dormant-account, guessed-login"):
            load(name)


# Values


def typed(kind: str) -> Investigation:
    return parse("x", HEADER.replace("text?", kind))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("text", "", ""),
        ("text", "Ä '; --", "Ä '; --"),
        ("integer", "-12", -12),
        ("number", "0.5", 0.5),
        ("date", "2026-11-16", date(2026, 11, 16)),
        ("timestamp", "2026-11-16T01:02:03Z", datetime(2026, 11, 16, 1, 2, 3, tzinfo=UTC)),
        ("timestamp", "2026-11-16T01:02:03.5Z", datetime(2026, 11, 16, 1, 2, 3, 500_000, tzinfo=UTC)),
    ],
)
def test_values_have_types(kind: str, text: str, value: object) -> None:
    assert typed(kind).bind({"a": text}) == {"a": value}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("text", "a\0b"),
        ("text", "\udc80"),
        ("text", "x" * 5_000),
        *(("integer", text) for text in ("", "1.0", "1e3", "0x1", "٣", "1 OR 1=1", "9" * 19, "+1", "01")),
        *(("number", text) for text in ("", "nan", "inf", "1e9", "1;", ".5", "9" * 400)),
        *(("date", text) for text in ("", "2026-02-30", "yesterday", "2026-11-16'", "20261116")),
        *(("timestamp", text) for text in ("", "2026-11-16", "2026-11-16T01:02:03", "2026-11-16T25:00:00Z", "now()")),
    ],
)
def test_what_is_not_of_the_type_is_refused_by_name(kind: str, text: str) -> None:
    with pytest.raises(AnalystError, match="parameter a: "):
        typed(kind).bind({"a": text})


def test_unknown_and_missing_parameters_are_named() -> None:
    with pytest.raises(AnalystError, match=r"no parameter 'usr'; it has: user, tenant"):
        load("user-timeline").bind({"usr": "u-1"})
    with pytest.raises(AnalystError, match=r"--param user="):
        load("user-timeline").bind({})


@pytest.mark.parametrize(
    ("name", "first", "last", "given"),
    [
        ("mass-export", "since", "until", ("2026-11-17", "2026-11-16")),
        ("user-timeline", "from", "to", ("2026-11-16T00:00:01Z", "2026-11-16T00:00:00Z")),
    ],
)
def test_a_period_that_ends_before_it_begins_is_no_question(
    name: str, first: str, last: str, given: tuple[str, str]
) -> None:
    investigation = load(name)
    required = {p.name: "u-1" for p in investigation.parameters if p.required}
    with pytest.raises(QuestionError, match=f"would end with {last}=.* before it begins with {first}="):
        investigation.bind({**required, first: given[0], last: given[1]})
    investigation.bind({**required, first: given[1], last: given[0]})


ATTACKS = [
    "' OR '1'='1",
    "'; DROP TABLE activity; --",
    "x') UNION SELECT * FROM read_text('/etc/passwd') --",
    "$tenant",
    "$$; ATTACH ':memory:' AS other; $$",
    "\\'; COPY activity TO '/tmp/stolen.csv'; --",
    "%",
    "_",
    '"',
]


@pytest.fixture(scope="module")
def small() -> Iterator[tuple[duckdb.DuckDBPyConnection, int]]:
    table, _ = simulate(Plan(MONDAY, days=1, tenants=2, events=500, seed=2))
    with database(table) as db:
        yield db, table.num_rows


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_value_is_never_sql(small: tuple[duckdb.DuckDBPyConnection, int], attack: str) -> None:
    db, rows = small
    for name in names():
        investigation = load(name)
        for parameter in investigation.parameters:
            if parameter.type != "text":
                with pytest.raises(AnalystError):
                    investigation.bind({parameter.name: attack})
            elif parameter.name in {"tenant", "user", "recommendation"}:
                required = {p.name: "u-1" for p in investigation.parameters if p.required}
                assert ask(db, name, **{**required, parameter.name: attack}).num_rows == 0
    assert db.sql("SELECT count(*) FROM activity").fetchall() == [(rows,)]


# What they find


@pytest.mark.parametrize("name", MEANT)
def test_stories_are_found_first_and_little_else(demo: Demo, name: str) -> None:
    db, stories, _ = demo
    labelled = {event_id for story in stories.values() for event_id in story.event_ids}
    found = findings(db, name)
    right = [set(event_ids) for event_ids in found.values() if is_right(event_ids, labelled)]
    told = {story for story in MEANT[name] if any(events & set(stories[story].event_ids) for events in right)}
    assert told >= MEANT[name] - {"leaver-active", "night-dismissals"} or told == MEANT[name]
    assert told
    assert is_right(found[1], labelled)
    assert len(found) - len(right) <= 1


def test_with_shuffled_labels_precision_falls_to_chance(demo: Demo) -> None:
    """If it did not, precision would say more about how it is counted than about what is found."""
    db, stories, table = demo
    rng = Random(1)
    rows = table.select(["event_id", "actor_id", "day"]).to_pylist()
    cells: dict[tuple[str, date], list[str]] = {}
    for row in rows:
        cells.setdefault((row["actor_id"], row["day"]), []).append(row["event_id"])
    labelled = [event_id for story in stories.values() for event_id in story.event_ids]
    reported = {event_id for name in MEANT for events in findings(db, name).values() for event_id in events}
    assert len(reported & set(labelled)) / len(reported) > 0.9
    chance = len(labelled) / len(rows)
    ids = [row["event_id"] for row in rows]
    single, whole = [], []
    for _ in range(40):
        single.append(len(reported & set(rng.sample(ids, len(labelled)))) / len(reported))
        # The same with whole days of single users, as stories are.
        elsewhere = [event_id for cell in rng.sample(list(cells), 12) for event_id in cells[cell]]
        whole.append(len(reported & set(elsewhere)) / len(reported) * len(labelled) / len(elsewhere))
    for shuffled in (single, whole):
        assert sum(shuffled) / len(shuffled) < 4 * chance


def test_the_same_question_has_the_same_answer_and_no_event_twice(demo: Demo) -> None:
    db, _, _ = demo
    for name in MEANT:
        answer = ask(db, name)
        assert answer.equals(ask(db, name))
        assert answer.select(["finding", "event_id"]).group_by(["finding", "event_id"]).aggregate([]).num_rows == len(
            answer
        )


def test_days_and_tenants_narrow_what_is_reported(demo: Demo) -> None:
    db, stories, _ = demo
    last = str(MONDAY + timedelta(days=2))
    for name in MEANT:
        everything = findings(db, name)
        assert findings(db, name, since=str(MONDAY), until=last) == everything
        assert findings(db, name, until=str(MONDAY - timedelta(days=200))) == {}
        assert findings(db, name, since=str(MONDAY + timedelta(days=3))) == {}
        assert findings(db, name, tenant="nobody") == {}
    story = stories["mass-export"]
    assert list(findings(db, "mass-export", tenant=story.tenant_ids[0])) == [1]
    rows = ask(db, "viewed-then-dismissed", tenant=story.tenant_ids[0])
    assert set(rows["tenant_id"].to_pylist()) <= {story.tenant_ids[0]}


def test_a_timeline_has_every_event_of_the_user(demo: Demo) -> None:
    db, stories, table = demo
    who = stories["leaver-active"].actor_id
    rows = ask(db, "user-timeline", user=who).to_pylist()
    of_user = [r for r in table.to_pylist() if who in {r["actor_id"], r["entity_id"]}]
    assert {row["event_id"] for row in rows} == {row["event_id"] for row in of_user}
    assert {"SCIM_USER_DEPROVISIONED", "REPORT_EXPORTED"} <= {row["action"] for row in rows}
    times = [row["occurred_at"] for row in rows]
    assert times == sorted(times)
    since, until = f"{times[1]:%Y-%m-%dT%H:%M:%S.%fZ}", f"{times[-1]:%Y-%m-%dT%H:%M:%S.%fZ}"
    part = ask(db, "user-timeline", user=who, **{"from": since, "to": until})
    assert part["occurred_at"].to_pylist() == times[1:-1]


# Single cases


def test_a_dismissal_counts_with_the_view_of_the_same_user_before_it() -> None:
    state = '{"impact":"high","reason":"no"}'
    first, second, late = NOON, NOON + hours(1), NOON + hours(3)
    viewed = [event("RECOMMENDATION_VIEWED", at, entity_id="r-1") for at in (first, second)]
    dismissed = event(
        "RECOMMENDATION_DISMISSED", NOON + hours(2), entity_id="r-1", before_state=state, after_state=state
    )
    others = [
        event("RECOMMENDATION_VIEWED", late, entity_id="r-1"),
        event("RECOMMENDATION_DISMISSED", late, "u-2", entity_id="r-1", before_state=state),
        event("RECOMMENDATION_DISMISSED", late, entity_id="r-2", before_state=state),
        event("RECOMMENDATION_VIEWED", first, entity_id="r-3"),
        event("RECOMMENDATION_DISMISSED", late, entity_id="r-3", before_state="{not JSON"),
        event("RECOMMENDATION_VIEWED", first, entity_id="r-4"),
        event("RECOMMENDATION_DISMISSED", late, entity_id="r-4", before_state='["impact"]'),
        event("RECOMMENDATION_VIEWED", first, entity_id="r-5", outcome="failure"),  # refused, so nothing was seen
        event("RECOMMENDATION_DISMISSED", late, entity_id="r-5", before_state=state),
    ]
    with database(at_once(*viewed, dismissed, *others)) as db:
        (row,) = ask(db, "viewed-then-dismissed").to_pylist()
        assert (row["event_id"], row["viewed_event_id"]) == (dismissed.event_id, viewed[1].event_id)
        assert (row["viewed_at"], row["dismissed_at"], row["reason"]) == (second, NOON + hours(2), "no")
        assert ask(db, "viewed-then-dismissed", recommendation="r-3").num_rows == 1
        assert ask(db, "viewed-then-dismissed", impact="low").num_rows == 0


def test_who_was_taken_back_has_not_left() -> None:
    steps = [
        event("SCIM_USER_DEPROVISIONED", NOON, "svc", entity_id="u-1"),
        event("DASHBOARD_VIEWED", NOON + hours(0.05)),
        event("DASHBOARD_VIEWED", NOON + hours(1)),
        event("SCIM_USER_PROVISIONED", NOON + hours(2), "svc", entity_id="u-1"),
        event("DASHBOARD_VIEWED", NOON + hours(3)),
        event("USER_DISABLED", NOON + hours(4), "admin", entity_id="u-1", outcome="failure"),
        event("DASHBOARD_VIEWED", NOON + hours(5), tenant_id="other"),
    ]
    with database(at_once(*steps)) as db:
        (row,) = ask(db, "leaver-activity").to_pylist()
        assert (row["event_id"], row["departure_event_id"]) == (steps[2].event_id, steps[0].event_id)
        assert ask(db, "leaver-activity", grace="1").num_rows == 2
        assert ask(db, "leaver-activity", grace="90").num_rows == 0


def test_a_grant_to_oneself_under_another_actor_type_has_a_score() -> None:
    grant = event("API_KEY_CREATED", NOON, actor_type="service")
    exports = [event("REPORT_EXPORTED", NOON + hours(0.1 * number)) for number in range(1, 12)]
    with database(at_once(grant, *exports)) as db:
        rows = ask(db, "privilege-escalation", score="0").to_pylist()
        # Each event once, the grant too, which is also a sensitive action.
        assert [row["event_id"] for row in rows] == [one.event_id for one in (grant, *exports)]
        assert all(isfinite(row["score"]) for row in rows)


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:51234", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:0::7c85:9286", "2001:db8:1:0"),
        ("2001:db8:1::9286", "2001:db8:1:0"),
        ("2001:0DB8:0001:0000:0:0:0:1", "2001:db8:1:0"),
        ("2001:db8::a:b:c:d", "2001:db8:0:0"),
        ("2001::2:a:b:c:d", "2001:0:0:2"),
        ("::1", "0:0:0:0"),
        ("[2001:db8:1:2::3]:443", "2001:db8:1:2"),
        ("cloudformation.amazonaws.com", "cloudformation.amazonaws.com"),
        ("AWS Internal", "AWS Internal"),
        ("", ""),
        (None, None),
    ],
)
def test_a_network_is_told_however_the_address_is_written(ip: str | None, network: str | None) -> None:
    with database(at_once()) as db:
        assert db.execute("SELECT network($ip)", {"ip": ip}).fetchall() == [(network,)]


def test_an_account_is_dormant_by_its_own_measure() -> None:
    rare = [event("LOGIN", NOON + timedelta(days=40 * number), "rare") for number in range(5)]
    busy = [event("LOGIN", NOON + timedelta(days=number), "busy") for number in (0, 1, 2, 160)]
    with database(at_once(*rare, *busy)) as db:
        (row,) = ask(db, "dormant-account").to_pylist()
        assert (row["event_id"], row["days"]) == (busy[-1].event_id, 158)
        assert ask(db, "dormant-account", days="200").num_rows == 0


# Real records


def test_a_real_attack_stands_out() -> None:
    """An attack simulation in a real AWS account, 613 of 1,666 records: its tool names itself in user agents."""
    if not REAL_RECORDS.exists():
        pytest.skip(f"no {REAL_RECORDS}: the records are not part of this repository")
    events = list(read_cloudtrail(REAL_RECORDS))
    attack = {e.event_id for e in events if "stratus-red-team" in f"{e.user_agent} {e.actor_id}"}
    with database(at_once(*events)) as db:
        refused = findings(db, "refused-attempts")
        assert list(refused) == [1]
        assert set(refused[1]) <= attack
        assert set(findings(db, "new-network")[1]) <= attack
        for name in ("mass-export", "privilege-escalation"):
            found = findings(db, name)
            assert list(found) == [1]
            assert len(set(found[1]) & attack) / len(found[1]) > len(attack) / len(events) + 0.1
        for name in ("dormant-account", "guessed-login", "leaver-activity", "unusual-dismissals"):
            assert findings(db, name) == {}
