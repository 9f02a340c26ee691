"""The report: its numbers, what it says of chains and destinations, and that no name becomes markup."""

from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from lumi_pipeline.analytics import connect
from lumi_pipeline.analytics.investigation import names
from lumi_pipeline.analytics.report import make_report, newest_figures, report_page
from lumi_pipeline.analytics.report.figures import Period, count_events
from lumi_pipeline.analytics.report.leads import follow_leads
from lumi_pipeline.analytics.report.standing import look_around
from lumi_pipeline.analytics.report.volume import volume_section
from lumi_pipeline.errors import AnalystError
from lumi_pipeline.siem.exports import Exports
from tests.analytics.databases import ask, build
from tests.analytics.reports import HOSTILE, page, read, record_hostile
from tests.analytics.simulated import at_once, database
from tests.lake.world import World, at, day, new_event


@pytest.fixture(scope="module")
def built(sealed_template: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Days 0 to 2 sealed, with their database; no test changes it."""
    world = sealed_template.copy(tmp_path_factory.mktemp("report") / "world")
    build(world)
    return world


def test_its_numbers_are_those_of_the_days(sealed: World) -> None:
    sealed.record("globex", at(3, "00:10:00"))
    sealed.pipeline().land()
    build(sealed)
    figures = newest_figures(sealed.config)
    assert figures is not None
    assert figures.period == Period(day(0), day(3))
    assert [(d.events, d.sealed, d.published, d.breaks) for d in figures.days] == [
        (4, True, True, 0),
        (2, True, True, 0),
        (3, True, True, 0),
        (1, False, False, 0),
    ]
    assert (figures.events, figures.unsealed, figures.failed) == (10, 1, 0)
    assert [(rank.name, rank.events) for rank in figures.tenants.top] == [("acme", 5), ("globex", 3), ("initech", 2)]
    assert [(rank.name, rank.events) for rank in figures.actions.top] == [("TICKET_CREATED", 10)]
    assert [(a.tenant_id, a.actor_id, a.name, a.events, a.days) for a in figures.actors] == [
        ("acme", "u-17", "Zoë Ångström", 5, 2),
        ("globex", "u-17", "Zoë Ångström", 3, 3),
        ("initech", "u-17", "Zoë Ångström", 2, 1),
    ]
    assert sum(map(sum, figures.hours)) == 10
    for weekday, hour, events in ask(
        sealed, "SELECT isodow(recorded_at), hour(recorded_at), count(*) FROM activity GROUP BY ALL"
    ):
        assert figures.hours[int(str(weekday)) - 1][int(str(hour))] == events
    assert sum(figures.weekdays) == 4


def test_the_page_says_so_and_needs_nothing_else(sealed: World) -> None:
    sealed.record("globex", at(3, "00:10:00"))
    sealed.pipeline().land()
    found = read(page(sealed))
    for words in (
        "All tenants",
        "28 Feb 2024 to 2 Mar 2024, 4 days",
        "Everything due is sealed and published",
        "3 days sealed, 28 Feb 2024 to 1 Mar 2024.",
        "The sealed days of this period have no breaks in their chains.",
        "1 not sealed yet",
        "4 entries, through 1 Mar 2024",
        "Nothing is delivered: no destination is configured.",
        "not all sealed yet, may still grow",
        "struck out: not in this period (Mon, Tue, Sun)",
    ):
        assert words in found.text
    charts = [value for name, value in found.attributes if name == "aria-label" and "chart" in value.lower()]
    assert [chart.partition(" of ")[0] for chart in charts] == ["Bar chart"]
    assert found.attributes.count(("role", "img")) == 2


def test_no_name_becomes_markup(world: World) -> None:
    record_hostile(world)
    world.pipeline().run(day(0))
    html = page(world)
    found = read(html)
    assert html.count(b"<bdi>") > len(HOSTILE)
    assert "{content}{title}{styles}" in found.text
    assert "fetch('https://evil.example/')" in found.text
    assert "\\u202egnp.exe\\u2066 \\x1b[31m" in found.text
    assert not any(char in html.decode() for char in "\u202e\u2066\x1b\x00\r")
    assert found.text.count("<svg/onload=alert(1)>") < 2 * 40  # cut to what can be read


def test_a_tenant_sees_nothing_of_the_others(sealed: World) -> None:
    sealed.send_to(
        {"name": "feed-globex", "kind": "file", "path": str(sealed.directory / "out"), "tenants": ["globex"]},
        {"name": "feed-acme", "kind": "file", "path": str(sealed.directory / "out2"), "tenants": ["acme"]},
    )
    found = read(page(sealed, "globex"))
    assert "Audit report: globex" in found.text
    assert "Events by tenant" not in found.text
    assert "feed-globex" in found.text
    assert not [name for name in ("acme", "initech") if name in found.text]


def test_what_is_overdue_and_what_is_broken_is_said_first(world: World) -> None:
    world.record("acme", at(0), at(0, "13:00:00"))
    world.tamper("UPDATE audit_outbox SET action = 'LOGIN' WHERE tenant_id = 'acme' AND seq = 0")
    with pytest.raises(Exception, match="lumi acknowledge"):
        world.pipeline().run(day(0))
    text = read(page(world)).text
    assert "A broken chain keeps a day from being sealed" in text
    assert "28 Feb 2024 waits for a decision, and later days with it" in text
    assert "4 days: 28 Feb 2024 to 2 Mar 2024" in text
    assert "no breaks" not in text
    world.pipeline().acknowledge(day(0), "known")
    world.pipeline().run()
    text = read(page(world)).text
    assert "Sealed with 1 break in this period" in text
    assert "Breaks in chains were accepted when these days were sealed: 28 Feb 2024." in text
    assert "1 break, sealed and published" in text
    assert "sealed with breaks in a chain" in text


def test_a_record_that_is_not_due_yet_is_not_overdue(world: World) -> None:
    world.record("acme", at(0))
    world.pipeline().run(day(0))
    world.clock.now = at(2, "01:59:00")
    assert look_around(world.pipeline(), None).overdue == []
    world.clock.now = at(2, "02:00:00")
    assert look_around(world.pipeline(), None).overdue == [day(1)]


def test_a_lake_that_cannot_be_read_is_said_not_hidden(sealed: World) -> None:
    build(sealed)
    sealed.overwrite("log/checkpoint", b"gibberish")
    report = make_report(sealed.pipeline(), None, None)
    assert report.standing.problems
    text = read(report_page(report)).text
    assert "The lake’s records can’t be read" in text
    assert report.standing.problems[0] in text


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (date(2020, 1, 1), None, "Events by month"),
        (None, date(2020, 1, 1), "1 Jan 2020, one day"),
        (date(2023, 7, 1), None, "Events by week"),
        (date(2030, 1, 1), None, "1 Jan 2030, one day"),
        (date(1, 1, 1), date(9, 12, 31), "Events by month"),
    ],
)
def test_any_period_has_a_page(built: World, first: date | None, last: date | None, said: str) -> None:
    text = read(report_page(make_report(built.pipeline(), first, last))).text
    assert said in text
    if last is not None:
        assert text.count("No events in this period.") == 5


def test_days_of_long_periods_are_put_together_without_losing_one(built: World) -> None:
    with closing(connect(built.config)) as db:
        for first, said in (
            (date(2023, 9, 1), "The most: 28 Feb 2024, 4 events."),
            (date(2023, 7, 1), "The most: week of 26 Feb 2024, 9 events."),
            (date(2019, 7, 1), "The most: Feb 2024, 6 events."),
        ):
            assert said in volume_section(count_events(db, Period(first, day(2)))).text


def test_a_lake_of_one_day_and_an_empty_one(world: World) -> None:
    text = read(page(world)).text
    assert "Nothing is sealed yet" in text
    assert "There is no event yet, and no day." in text
    world.record("acme", at(0))
    world.pipeline().run(day(0))
    text = read(page(world)).text
    assert "28 Feb 2024, one day" in text
    assert "1 account with the most events; there are no others." in text


def test_what_there_can_be_no_report_of_is_refused(built: World) -> None:
    with pytest.raises(AnalystError, match="the period ends on 2024-02-28, before it begins on 2024-02-29"):
        make_report(built.pipeline(), day(1), day(0))
    with pytest.raises(AnalystError, match="has no event of a tenant"):
        make_report(built.pipeline(), None, None, "nobody")


def test_many_tenants_and_users_are_counted_where_they_are_not_named(world: World) -> None:
    for number in range(14):
        world.record(f"tenant-{number:02}", at(0, f"10:{number:02}:00"), actor_id=f"u-{number}")
    world.record("tenant-13", at(0, "11:00:00"), outcome="failure")
    world.pipeline().land()
    text = read(page(world)).text
    assert "2 other tenants 2 13 %" in text
    assert "12 accounts with the most events, of 15." in text
    assert "without success 1" in text


def test_destinations_say_how_far_behind_they_are(sealed: World, tmp_path: Path) -> None:
    sealed.send_to({"name": "archive", "kind": "file", "path": str(tmp_path / "out"), "since": str(day(0))})
    exports = Exports(sealed.pipeline())
    list(exports.plan("archive"))
    sealed.clock.now += timedelta(hours=3)
    assert "no receipt yet 3 h 0 min 9 0" in read(page(sealed)).text
    Exports(sealed.pipeline()).deliver("archive")
    assert "archive file all delivered last receipt 0 s ago none 0 0" in read(page(sealed)).text


def test_it_shows_what_investigations_find_and_how_to_go_on(world: World) -> None:
    account = {"entity_type": "scim_user", "entity_id": "u-9"}
    world.record("acme", at(0, "09:00:00"), action="SCIM_USER_DEPROVISIONED", actor_type="system", **account)
    late = world.record(
        "acme",
        *(at(0, f"12:0{n}:00") for n in range(3)),
        action="REPORT_EXPORTED",
        actor_id="u-9",
        actor_name=HOSTILE[0],
    )
    world.record("globex", at(1), actor_id="u-2")
    world.pipeline().run(day(1))
    build(world)
    report = make_report(world.pipeline(), None, None)
    found = {lead.name: (lead.findings, lead.events, lead.problem) for lead in report.leads}
    assert set(found) == set(names()) - {"user-timeline"}
    assert found["leaver-activity"] == (1, 3, "")
    text = read(report_page(report)).text
    assert "Activity of people who had left 1 3" in text
    assert f"lumi prove {late[0].event_id}" in text
    assert f"lumi prove {late[1].event_id}" not in text
    assert f"lumi investigate leaver-activity --param since={day(0)} --param until={day(1)} --evidence" in text
    assert "fetch('https://evil.example/')" in text

    # The other tenant has no part in it, and neither has a later period.
    for tenant, first in (("globex", None), (None, day(1))):
        report = make_report(world.pipeline(), first, None, tenant)
        assert [lead.name for lead in report.leads if lead.findings or lead.problem] == []
    own = make_report(world.pipeline(), None, None, "acme")
    [leaver] = [lead for lead in own.leads if lead.name == "leaver-activity"]
    assert (leaver.findings, leaver.events) == (1, 3)
    assert "--param tenant=acme" in leaver.command


def test_an_event_that_a_row_names_twice_is_proved_once() -> None:
    """The first row about a grant is the grant itself, which both of its columns with ids of events name."""
    others = [new_event("acme", occurred_at=at(number), actor_id=f"u-{number}") for number in range(100, 160)]
    actions = ["ROLE_ASSIGNED", *["REPORT_EXPORTED"] * 20]
    events = [new_event("acme", occurred_at=at(0, f"09:{n:02}:00"), action=action) for n, action in enumerate(actions)]
    with database(at_once(*events, *others)) as db:
        [lead] = [one for one in follow_leads(db, Period(day(0), day(0)), None) if one.name == "privilege-escalation"]
    assert [row.event_ids for row in lead.rows] == [(events[0].event_id,)]


def test_an_investigation_that_fails_says_so_and_stops_no_other(built: World) -> None:
    with closing(connect(built.config)) as db:
        db.execute("CREATE TEMP VIEW activity AS SELECT * EXCLUDE (before_state) FROM analyst.activity")
        leads = follow_leads(db, Period(day(0), day(2)), None)
    report = replace(make_report(built.pipeline(), None, None), leads=leads)
    assert [lead.name for lead in leads if lead.problem] == ["viewed-then-dismissed"]
    assert "Who viewed a recommendation and then dismissed it could not run" in read(report_page(report)).text
