"""Lists of events: newest first, page by page, and every row held against its hashes as it is shown."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.analytics import connect
from lumi_pipeline.analytics.cursor import Cursor
from lumi_pipeline.analytics.listing import Page, Question, newest_events
from lumi_pipeline.analytics.rechecking import Check
from lumi_pipeline.errors import AnalystError
from lumi_pipeline.events import EVENT_SCHEMA, PAYLOAD_COLUMNS, from_micros
from lumi_pipeline.hashing import integrity_hash
from lumi_pipeline.lake import describe_parquet
from tests.analytics.databases import build
from tests.lake.world import World, at

ANY = Question()
Key = tuple[str, int]


def page(world: World, question: Question = ANY, limit: int = 50, after: str | None = None) -> Page:
    with closing(connect(world.config)) as db:
        return newest_events(db, world.pipeline().lake, question, limit, after)


def keys(found: Page) -> list[Key]:
    return [(str(shown.event["tenant_id"]), int(str(shown.event["seq"]))) for shown in found.events]


def checks(found: Page) -> dict[Key, str]:
    """What is wrong, by event."""
    return {key: f"{s.check.value}: {s.finding}" for key, s in zip(keys(found), found.events, strict=True) if s.finding}


@pytest.mark.everywhere
def test_the_newest_come_first_from_landed_and_sealed_files(sealed: World) -> None:
    sealed.record("globex", at(3, "00:10:00"), actor_id="u-18", action="LOGIN")
    sealed.pipeline().land()
    build(sealed)
    found = page(sealed)
    newest = [("globex", 2), ("globex", 1), ("initech", 1), ("initech", 0), ("acme", 4), ("acme", 3), ("acme", 2)]
    assert keys(found) == [*newest, ("globex", 0), ("acme", 1), ("acme", 0)]
    assert found.verified
    assert not found.more
    first = found.events[0]
    assert (first.sealed, first.event["recorded_at"], first.event["action"]) == (False, at(3, "00:10:00"), "LOGIN")
    assert set(first.event) == set(EVENT_SCHEMA.names)
    assert [shown.sealed for shown in found.events[1:]] == [True] * 9
    # Somebody edits a file while a connection is open that has read it before.
    with closing(connect(sealed.config)) as db:
        lake = sealed.pipeline().lake
        assert newest_events(db, lake, ANY, 50).verified
        rewrite(sealed, DAY, with_value(1, action="LOGIN"))
        assert ("acme", 1) in checks(newest_events(db, lake, ANY, 50))


def test_each_condition_narrows_and_all_hold_together(sealed: World) -> None:
    sealed.record("globex", at(3, "00:10:00"), actor_id="u-18", action="LOGIN", entity_type="session", entity_id="S-9")
    sealed.pipeline().land()
    build(sealed)
    for question in (
        Question(actor_id="u-18"),
        Question(action="LOGIN"),
        Question(entity_id="S-9"),
        Question(entity_type="session"),
        Question(since=at(3, "00:00:00")),
        Question(tenant_id="globex", since=at(3, "00:10:00"), until=at(3, "00:10:01")),
    ):
        assert keys(page(sealed, question)) == [("globex", 2)], question
    assert keys(page(sealed, Question(tenant_id="globex", actor_id="u-17"))) == [("globex", 1), ("globex", 0)]
    assert keys(page(sealed, Question(since=at(1, "08:00:00"), until=at(2, "00:00:00")))) == [("acme", 4), ("acme", 3)]
    for nothing in (
        Question(tenant_id="acme", action="LOGIN"),
        Question(until=at(0, "00:00:00")),
        Question(actor_id="' OR ''='"),
    ):
        found = page(sealed, nothing)
        assert (keys(found), found.verified, found.more) == ([], True, False)


def test_pages_neither_skip_nor_repeat_while_events_arrive(world: World) -> None:
    """Many events share a moment; between two pages more come in, and what was landed gets sealed."""
    moments = [at(0, f"0{number // 6}:00:00") for number in range(14)]
    for tenant in ("acme", "globex", "initech"):
        world.record(tenant, *moments)
    world.pipeline().land()
    build(world)
    there = keys(page(world, limit=100))
    assert len(there) == 42
    seen: list[Key] = []
    after = None
    for number in range(100):
        found = page(world, limit=4, after=after)
        seen += keys(found)
        if not found.more:
            break
        after = found.cursors[-1]
        if number % 5 == 0:
            world.record("globex", at(1 + number // 5))
            if number == 5:
                world.pipeline().run(at(0).date())
            else:
                world.pipeline().land()
            build(world)
    assert seen == there
    assert len(keys(page(world, limit=100))) > 42


def test_every_cursor_of_a_page_leads_on_from_its_event(built: World) -> None:
    whole = page(built)
    for index, cursor in enumerate(whole.cursors):
        assert keys(page(built, after=cursor)) == keys(whole)[index + 1 :]
    assert page(built, limit=9).more is False
    assert page(built, limit=8).more is True


def test_a_cursor_counts_for_its_question_only(built: World) -> None:
    cursor = page(built, Question(tenant_id="acme")).cursors[0]
    for other in (
        ANY,
        Question(tenant_id="globex"),
        Question(tenant_id="acme", until=at(9)),
        Question(actor_id="acme"),
    ):
        with pytest.raises(AnalystError, match="of another list"):
            page(built, other, after=cursor)
    assert page(built, Question(tenant_id="acme"), limit=1, after=cursor).events


PLACES = st.builds(
    Cursor,
    st.datetimes(timezones=st.just(UTC)),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True),
    st.integers(0, 2**63 - 1),
)


@settings(max_examples=30)
@given(PLACES, st.text(max_size=20))
def test_cursors_come_back_as_they_were(cursor: Cursor, question: str) -> None:
    assert Cursor.parse(cursor.encode(question), question) == cursor


@settings(max_examples=50)
@given(st.one_of(st.text(max_size=80), st.from_regex(r"[A-Za-z0-9_=-]{0,120}", fullmatch=True)))
def test_nothing_else_passes_for_a_cursor(text: str) -> None:
    with pytest.raises(AnalystError, match="no cursor"):
        Cursor.parse(text, "q")


@settings(max_examples=30)
@given(PLACES, st.data())
def test_a_changed_cursor_is_none(cursor: Cursor, data: st.DataObject) -> None:
    text = cursor.encode("q")
    at_ = data.draw(st.integers(0, len(text) - 1))
    sign = data.draw(st.sampled_from("ABCxyz019_-=+/ \n"))
    changed = text[:at_] + sign + text[at_ + 1 :]
    if changed != text:
        with pytest.raises(AnalystError, match="no cursor"):
            Cursor.parse(changed, "q")


Change = Callable[[pa.Table], pa.Table]


def rewrite(world: World, prefix: str, change: Change) -> str:
    """Change the rows of the last event file under ``prefix``, as somebody with access to the storage could."""
    [*_, key] = [key for key in world.store.list(prefix) if "/part-" in key]
    _, data = describe_parquet("any", change(pq.read_table(world.parquet(key))))
    world.overwrite(key, data)
    return key


def with_value(row: int, **values: object) -> Change:
    def change(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        rows[row] |= values
        return pa.Table.from_pylist(rows, table.schema)

    return change


def rehashed(row: int, **values: object) -> Change:
    """Change a row and make its hash fit, as whoever knows the format can: the hashes have no key."""

    def change(table: pa.Table) -> pa.Table:
        found = with_value(row, **values)(table).to_pylist()
        kept = {name: found[row][name] for name in EVENT_SCHEMA.names if name not in {*PAYLOAD_COLUMNS, "erased_at"}}
        kept.pop("integrity_hash")
        found[row]["integrity_hash"] = integrity_hash(**kept)
        return pa.Table.from_pylist(found, table.schema)

    return change


@pytest.fixture(scope="module")
def built_once(sealed_template: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = sealed_template.copy(tmp_path_factory.mktemp("listing") / "world")
    build(world)
    return world


@pytest.fixture
def built(built_once: World) -> Iterator[World]:
    """Days 0 to 2 sealed and built, for tests that alter event files, which are put back afterwards."""
    before = built_once.contents("events/")
    yield built_once
    for key, data in before.items():
        built_once.overwrite(key, data)


DAY = "events/day=2024-02-28"
"""Day 0: acme 0 to 2, globex 0."""


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (with_value(1, action="LOGIN"), "altered: integrity_hash not those of its columns"),
        (with_value(1, after_state=None), "altered: payload_hash not those of its columns"),
        (with_value(1, payload_hash=bytes(32)), "altered: payload_hash and integrity_hash not those of its columns"),
        (with_value(1, erased_at=at(0)), "altered: payload_hash not those of its columns"),
        (rehashed(1, actor_id="u-99"), "altered: actor_id not as when it was verified, and all hashes made to fit"),
        (with_value(1, tenant_id="other"), "missing: {key} does not hold it"),
        (with_value(1, seq=17), "missing: {key} does not hold it"),
        (lambda table: pa.concat_tables([table.slice(0, 1), table.slice(2)]), "missing: {key} does not hold it"),
    ],
)
def test_what_was_altered_is_marked(built: World, change: Change, finding: str) -> None:
    key = rewrite(built, DAY, change)
    found = page(built)
    assert checks(found) == {("acme", 1): finding.format(key=key)}
    assert not found.verified
    assert len(found.events) == 9
    assert page(built, Question(tenant_id="globex")).verified


@pytest.mark.parametrize(
    "change",
    [
        with_value(1, recorded_at=None),
        with_value(1, prev_hash=None),
        with_value(1, integrity_hash=None),
        with_value(1, recorded_at=from_micros(0) - timedelta(days=700_000)),
        lambda table: table.drop_columns(["ip"]),
        lambda table: table.set_column(1, "seq", pa.array(["x"] * len(table))),
        lambda table: table.set_column(20, "prev_hash", pa.array([b"short"] * len(table))),
    ],
)
def test_a_file_that_no_landing_writes_hides_nothing(built: World, change: Change) -> None:
    rewrite(built, DAY, change)
    found = page(built)
    assert len(found.events) == 9
    assert ("acme", 1) in checks(found)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", bytes(5000)])
def test_a_file_that_is_none_any_more_or_gone_is_told(built: World, data: bytes) -> None:
    [key] = [key for key in built.store.list(DAY) if "/part-" in key]
    built.overwrite(key, data)
    lost = {("acme", 0), ("acme", 1), ("acme", 2), ("globex", 0)}
    assert set(checks(page(built))) == lost
    built.store.delete(key)
    found = page(built)
    assert set(checks(found)) == lost
    assert {shown.check for shown in found.events if shown.finding} == {Check.MISSING}
    assert next(s for s in found.events if s.finding).event["action"] == "TICKET_CREATED"


def test_rows_that_were_moved_are_found(built: World) -> None:
    rewrite(built, DAY, lambda table: table.take(list(reversed(range(len(table))))))
    assert page(built).verified


def test_an_erased_row_still_verifies(built: World) -> None:
    erased = dict.fromkeys(PAYLOAD_COLUMNS) | {"erased_at": at(3)}
    rewrite(built, DAY, with_value(1, **erased))
    found = page(built, Question(tenant_id="acme"))
    assert found.verified
    shown = next(shown for shown in found.events if shown.event["seq"] == 1)
    assert (shown.event["after_state"], shown.event["erased_at"]) == (None, at(3))


def test_landed_rows_are_verified_too(world: World) -> None:
    world.record("acme", at(0), at(0, "13:00:00"))
    world.pipeline().land()
    build(world)
    rewrite(world, "landed/", with_value(0, outcome="failure"))
    assert checks(page(world)) == {("acme", 0): "altered: integrity_hash not those of its columns"}


def days_of(moments: int) -> Iterator[datetime]:
    yield from (at(0) + timedelta(minutes=number) for number in range(moments))


def test_a_page_takes_rows_from_anywhere_in_a_file(world: World) -> None:
    """Several users' rows alternate, so that a page of one of them has gaps."""
    for number, moment in enumerate(days_of(60)):
        world.record("acme", moment, actor_id=f"u-{number % 3}")
    world.pipeline().run(at(0).date())
    build(world)
    found = page(world, Question(actor_id="u-1"), limit=15)
    assert keys(found) == [("acme", seq) for seq in range(58, 13, -3)]
    assert found.verified
    assert replace(found, events=()).verified
