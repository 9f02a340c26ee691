"""Chain verification: what counts as a break, that it counts once, and that it is no matter how tables are cut."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.chain import Break, BreakKind, ChainEnd, ChainFold, ChainState, TenantRows
from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.events import EVENT_SCHEMA, Event, to_micros
from lumi_pipeline.hashing import event_integrity_hash, event_leaf, event_payload_hash
from tests.lake.chains import (
    as_table,
    chain,
    chain_id,
    end_of,
    erased,
    extend,
    fold,
    genesis_state,
    new_head,
    places,
    rehashed,
    summaries,
)
from tests.lake.world import at, day
from transparency.merkle import tree_root

PAYLOAD, INTEGRITY, LINK, MISSING, TIME, HEAD = (
    BreakKind.PAYLOAD,
    BreakKind.INTEGRITY,
    BreakKind.LINK,
    BreakKind.MISSING,
    BreakKind.TIME,
    BreakKind.HEAD,
)
HOURS = [at(0, f"{hour:02d}:00:00") for hour in range(8, 14)]
OTHER = b"\x5a" * 32
TICK = timedelta(microseconds=1)

Edit = Callable[[list[Event]], Sequence[Event]]


def _with(seq: int, **changes: object) -> Edit:
    return lambda events: [replace(e, **changes) if e.seq == seq else e for e in events]  # type: ignore[arg-type]


def _forge(seq: int, **changes: object) -> Edit:
    return lambda events: [rehashed(event, **changes) if event.seq == seq else event for event in events]


def _without(*seqs: int) -> Edit:
    return lambda events: [event for event in events if event.seq not in seqs]


def _both(first: Edit, second: Edit) -> Edit:
    return lambda events: second(list(first(events)))


# Six events, seq 0 to 5, at the full hours from 8 to 13 of day 0. What each change breaks, by formats.md §3.
CASES: dict[str, tuple[Edit, list[tuple[BreakKind, int]]]] = {
    "nothing": (lambda events: events, []),
    "payload column": (_with(2, actor_name="other"), [(PAYLOAD, 2)]),
    "payload column to null": (_with(2, ip=None), [(PAYLOAD, 2)]),
    "payload salt": (_with(2, payload_salt=bytes(16)), [(PAYLOAD, 2)]),
    "payload salt to null": (_with(2, payload_salt=None), [(PAYLOAD, 2)]),
    "core column": (_with(2, action="OTHER"), [(INTEGRITY, 2)]),
    "nullable core column": (_with(2, auth_method=None), [(INTEGRITY, 2)]),
    "occurred_at": (_with(2, occurred_at=at(9)), [(INTEGRITY, 2)]),
    "payload hash": (_with(2, payload_hash=OTHER), [(INTEGRITY, 2), (PAYLOAD, 2)]),
    "previous hash": (_with(2, prev_hash=OTHER), [(INTEGRITY, 2), (LINK, 2)]),
    "previous hash of the first": (_with(0, prev_hash=OTHER), [(INTEGRITY, 0), (LINK, 0)]),
    "integrity hash": (_with(2, integrity_hash=OTHER), [(INTEGRITY, 2), (LINK, 3)]),
    "integrity hash of the last": (_with(5, integrity_hash=OTHER), [(HEAD, 5), (INTEGRITY, 5)]),
    "a row forged with its hash": (_forge(2, action="OTHER"), [(LINK, 3)]),
    "the last row forged with its hash": (_forge(5, action="OTHER"), [(HEAD, 5)]),
    "a payload forged with its hashes": (_forge(2, actor_name="other"), [(LINK, 3)]),
    "one row lost": (_without(2), [(LINK, 3), (MISSING, 2)]),
    "two neighbours lost": (_without(2, 3), [(LINK, 4), (MISSING, 2)]),
    "two rows lost": (_without(1, 3), [(LINK, 2), (LINK, 4), (MISSING, 1), (MISSING, 3)]),
    "the first row lost": (_without(0), [(LINK, 1), (MISSING, 0)]),
    "the last row lost": (_without(5), [(MISSING, 5)]),
    "a tail lost": (_without(3, 4, 5), [(MISSING, 3)]),
    "every row lost": (lambda _: [], [(MISSING, 0)]),
    "a time before the row before": (_forge(2, recorded_at=HOURS[1] - TICK), [(LINK, 3), (TIME, 2)]),
    "a time equal to that of the row before": (_forge(2, recorded_at=HOURS[1]), [(LINK, 3)]),
    "a time within the day, after the next row": (_forge(2, recorded_at=HOURS[4]), [(LINK, 3), (TIME, 3)]),
    "a time before the day": (_forge(0, recorded_at=at(-1, "23:59:59.999999")), [(LINK, 1), (TIME, 0)]),
    "two times before the day": (
        _both(_forge(0, recorded_at=at(-1, "10:00:00")), _forge(1, recorded_at=at(-1, "11:00:00"))),
        [(LINK, 1), (LINK, 2), (TIME, 0), (TIME, 1)],
    ),
    "a number used again": (
        lambda events: [*events[:3], rehashed(events[3], seq=1), *events[4:]],
        [(LINK, 1), (LINK, 4), (MISSING, 2)],
    ),
    "a time after the day": (_forge(5, recorded_at=at(1, "00:00:00")), [(HEAD, 5), (TIME, 5)]),
    "a far past": (_with(3, recorded_at=datetime.min.replace(tzinfo=HOURS[0].tzinfo)), [(INTEGRITY, 3), (TIME, 3)]),
    "a far future": (
        _with(3, recorded_at=datetime.max.replace(tzinfo=HOURS[0].tzinfo)),
        [(INTEGRITY, 3), (TIME, 3), (TIME, 4)],
    ),
    "two kinds in one row": (_with(2, action="OTHER", ip="other"), [(INTEGRITY, 2), (PAYLOAD, 2)]),
    "all kinds in one row": (
        _both(_without(1), _with(2, prev_hash=OTHER, ip="other", recorded_at=at(-1))),
        [(INTEGRITY, 2), (LINK, 2), (MISSING, 1), (PAYLOAD, 2), (TIME, 2)],
    ),
    "breaks in several rows": (
        _both(_with(0, ip="other"), _both(_with(3, action="OTHER"), _without(5))),
        [(INTEGRITY, 3), (MISSING, 5), (PAYLOAD, 0)],
    ),
    "an erased row": (lambda events: [erased(e, at(5)) if e.seq == 2 else e for e in events], []),
    "all rows erased": (lambda events: [erased(event, at(5)) for event in events], []),
    "erased, and another column changed": (
        lambda events: [replace(erased(e, at(5)), action="OTHER") if e.seq == 2 else e for e in events],
        [(INTEGRITY, 2)],
    ),
    "payload removed without being marked as erased": (
        lambda events: [replace(erased(e, at(5)), erased_at=None) if e.seq == 2 else e for e in events],
        [(PAYLOAD, 2)],
    ),
    "marked as erased with its payload in place": (_with(2, erased_at=at(5)), [(PAYLOAD, 2)]),
    "erased but for the salt": (
        lambda events: [replace(erased(e, at(5)), payload_salt=bytes(16)) if e.seq == 2 else e for e in events],
        [(PAYLOAD, 2)],
    ),
}  # fmt: skip


def _named(name: str) -> tuple[list[Event], list[Event]]:
    """A case's chain before and after its change; each case is a tenant of its own."""
    whole = chain(name.title().replace(" ", "-").replace(",", ""), *HOURS)
    return whole, list(CASES[name][0](whole))


def _fold_cases(tables: Iterable[pa.Table]) -> dict[str, TenantRows]:
    return fold(tables, {_named(name)[0][0].tenant_id: end_of(_named(name)[0]) for name in CASES}, 0)


@pytest.fixture(scope="module")
def folded() -> dict[str, TenantRows]:
    """Every case, all of them in one table."""
    return _fold_cases([_case_table()])


def _case_table() -> pa.Table:
    return as_table([event for name in CASES for event in _named(name)[1]])


@pytest.mark.parametrize("name", CASES)
def test_each_break_counts_once(name: str, folded: dict[str, TenantRows]) -> None:
    whole, events = _named(name)
    found = folded[whole[0].tenant_id]
    assert places(found.breaks) == sorted(CASES[name][1])
    assert found.count == len(events)
    assert found.tree.root() == tree_root(event_leaf(event.integrity_hash) for event in events)


@pytest.mark.parametrize("cut", range(1, 6))
def test_chunks_may_end_after_any_row_of_a_tenant(cut: int, folded: dict[str, TenantRows]) -> None:
    pieces = []
    for name in CASES:
        rows = as_table(_named(name)[1])
        pieces += [rows.slice(0, cut), rows.slice(cut)]
    assert summaries(_fold_cases([pa.concat_tables(pieces)])) == summaries(folded)


def test_tables_may_end_after_any_row(folded: dict[str, TenantRows]) -> None:
    # Most tenants have six rows here, so tables of five end after each position of one of them, again and again.
    table = _case_table()
    tables = [table.slice(row, 5) for row in range(0, len(table), 5)]
    assert summaries(_fold_cases(tables)) == summaries(folded)


def test_a_break_says_what_was_called_for_and_what_was_there() -> None:
    events = chain("acme", *HOURS)
    forged = replace(events[2], ip="other", action="OTHER")
    payload, core = fold([as_table([*events[:2], forged, *events[3:]])], {"acme": end_of(events)})["acme"].breaks
    expected = event_payload_hash(forged)
    assert expected is not None
    assert payload == Break("acme", 2, PAYLOAD, expected.hex(), events[2].payload_hash.hex())
    assert core == Break("acme", 2, INTEGRITY, event_integrity_hash(forged).hex(), events[2].integrity_hash.hex())
    assert str(core).startswith("tenant acme seq 2: integrity-hash: expected ")

    (gap, link) = fold([as_table([events[0], *events[3:]])], {"acme": end_of(events)})["acme"].breaks
    assert gap == Break("acme", 1, MISSING, "seq 1 to 2", "nothing")
    assert link == Break("acme", 3, LINK, events[0].integrity_hash.hex(), events[3].prev_hash.hex())
    (gap,) = fold([as_table(events[:5])], {"acme": end_of(events)})["acme"].breaks
    assert gap == Break("acme", 5, MISSING, "seq 5", "nothing")

    (head,) = fold([as_table(events)], {"acme": ChainEnd(6, OTHER)})["acme"].breaks
    assert head == Break("acme", 5, HEAD, events[5].integrity_hash.hex(), OTHER.hex())

    late = rehashed(events[5], recorded_at=at(1, "00:00:00"))
    (moment,) = fold([as_table([*events[:5], late])], {"acme": end_of([late])}, 0)["acme"].breaks
    assert moment.found == "2024-02-29T00:00:00.000000Z"
    assert "from 2024-02-28T00:00:00.000000Z on, before 2024-02-29T00:00:00.000000Z" in moment.expected


def test_rows_past_the_head_are_one_break_however_many() -> None:
    events = chain("acme", *HOURS)
    for next_seq in (1, 5):
        end = {"acme": ChainEnd(next_seq, events[next_seq - 1].integrity_hash)}
        found = fold([as_table(events)], end)["acme"]
        assert places(found.breaks) == [(HEAD, next_seq)]
        assert found.count == 6


def test_without_a_pinned_hash_only_the_end_counts() -> None:
    events = chain("acme", *HOURS)
    assert fold([as_table(events)], {"acme": ChainEnd(6, None)})["acme"].breaks == []
    assert places(fold([as_table(events)], {"acme": ChainEnd(7, None)})["acme"].breaks) == [(MISSING, 6)]


def test_an_idle_tenant_has_an_empty_tree_and_the_state_it_started_in() -> None:
    state = genesis_state("acme")
    found = fold([], {"acme": ChainEnd(0, state.head)})["acme"]
    assert found == TenantRows(state, state, found.tree)
    assert found.tree.root() == tree_root([])


def test_a_chain_goes_on_from_a_state_in_its_middle() -> None:
    events = chain("acme", *HOURS)
    for cut in range(1, len(events)):
        last = events[cut - 1]
        state = ChainState(cut, last.integrity_hash, to_micros(last.recorded_at))
        folding = ChainFold(lambda _, state=state: state)  # type: ignore[misc]
        folding.add(as_table(events[cut:]))
        found = folding.finish("acme", end_of(events))
        assert (found.breaks, found.start.next_seq, found.count) == ([], cut, 6 - cut)
        folding = ChainFold(lambda _, state=state: replace(state, head=OTHER))  # type: ignore[misc]
        folding.add(as_table(events[cut:]))
        assert places(folding.finish("acme", end_of(events)).breaks) == [(LINK, cut)]


def test_without_trees_everything_else_is_the_same() -> None:
    events = chain("acme", *HOURS)
    table = as_table([*events[:2], *events[3:]])
    folds = []
    for trees in (True, False):
        folding = ChainFold(genesis_state, trees=trees)
        folding.add(table)
        folds.append(folding.finish("acme", end_of(events)))
    with_trees, without = folds
    assert (with_trees.breaks, with_trees.state, with_trees.count) == (without.breaks, without.state, without.count)
    assert with_trees.tree.root() == tree_root(event_leaf(e.integrity_hash) for e in [*events[:2], *events[3:]])
    assert without.tree.root() == tree_root([])


def test_tenants_are_kept_apart() -> None:
    tenants = [f"tenant-{number:03d}" for number in range(150)]
    tables, ends, broken = [], {}, set()
    for number, tenant_id in enumerate(tenants):
        events = chain(tenant_id, *HOURS[: 1 + number % 4])
        ends[tenant_id] = end_of(events)
        if number % 10 == 3:
            broken.add(tenant_id)
            events[-1] = replace(events[-1], action="OTHER")
        tables.append(as_table(events))
    whole = pa.concat_tables(tables)
    for cut in ([whole], [whole.combine_chunks()], [whole.slice(row, 61) for row in range(0, len(whole), 61)]):
        found = fold(cut, ends, 0)
        assert {tenant_id for tenant_id, rows in found.items() if rows.breaks} == broken
        assert all(len(rows.breaks) <= 1 for rows in found.values())
        assert [rows.count for rows in found.values()] == [1 + number % 4 for number in range(150)]


def test_another_tenants_rows_break_a_chain() -> None:
    mine, theirs = chain("acme", *HOURS[:2]), chain("globex", *HOURS[:3])
    moved = replace(theirs[2], tenant_id="acme")
    found = fold([as_table([*mine, moved])], {"acme": end_of([moved])}, 0)["acme"]
    assert places(found.breaks) == [(INTEGRITY, 2), (LINK, 2)]


def test_an_empty_table_changes_nothing() -> None:
    folding = ChainFold(genesis_state)
    folding.add(EVENT_SCHEMA.empty_table())
    assert folding.tenants == {}


def test_tables_as_the_database_or_parquet_cut_them_hold_dictionaries_of_runs() -> None:
    # The same tenant at the end of one chunk and the beginning of the next is one run of its rows.
    events = chain("acme", *HOURS)
    others = chain("globex", *HOURS[:2])
    table = pa.concat_tables([as_table(events[:3]), as_table([*events[3:], *others])])
    found = fold([table], {"acme": end_of(events), "globex": end_of(others)}, 0)
    assert [(rows.count, rows.breaks) for rows in found.values()] == [(6, []), (2, [])]


# A second reading of formats.md §3, one row after the other in plain Python, to hold the vectorised one against.


def _breaks_by_the_book(rows: Sequence[Event], end: ChainEnd, number: int | None) -> list[tuple[BreakKind, int]]:
    state = genesis_state("acme", number)
    next_seq, head, previous = state.next_seq, state.head, state.not_before
    found = []
    for row in rows:
        moment = to_micros(row.recorded_at)
        if row.seq != next_seq:
            found.append((MISSING, next_seq))
        gone = [
            row.actor_name,
            row.ip,
            row.user_agent,
            row.request_id,
            row.before_state,
            row.after_state,
            row.payload_salt,
        ]
        if row.erased_at is not None:
            if any(value is not None for value in gone):
                found.append((PAYLOAD, row.seq))
        elif event_payload_hash(row) != row.payload_hash:
            found.append((PAYLOAD, row.seq))
        if event_integrity_hash(row) != row.integrity_hash:
            found.append((INTEGRITY, row.seq))
        if row.prev_hash != head:
            found.append((LINK, row.seq))
        outside = number is not None and not day_start(day(number)) <= moment < day_end(day(number))
        if moment < previous or outside:
            found.append((TIME, row.seq))
        next_seq, head, previous = row.seq + 1, row.integrity_hash, moment
    if next_seq < end.next_seq:
        found.append((MISSING, next_seq))
    elif next_seq > end.next_seq:
        found.append((HEAD, end.next_seq))
    elif head != end.head:
        found.append((HEAD, next_seq - 1))
    return sorted(found)


@dataclass(frozen=True)
class _Damage:
    seq: int
    changes: dict[str, object]
    forged: bool
    lost: bool
    erased: bool


damages = st.builds(
    _Damage,
    seq=st.integers(0, 9),
    changes=st.fixed_dictionaries(
        {},
        optional={
            "actor_name": st.sampled_from([None, "", "other"]),
            "payload_salt": st.sampled_from([None, bytes(16)]),
            "auth_method": st.sampled_from([None, "", "other"]),
            "recorded_at": st.integers(-30, 40).map(lambda hours: HOURS[0] + timedelta(hours=hours)),
            "payload_hash": st.just(OTHER),
            "prev_hash": st.just(OTHER),
            "integrity_hash": st.just(OTHER),
            "erased_at": st.just(at(5)),
        },
    ),
    forged=st.booleans(),
    lost=st.booleans(),
    erased=st.booleans(),
)


def _damaged(event: Event, damage: _Damage) -> Event:
    event = erased(event, at(5)) if damage.erased else event
    return rehashed(event, **damage.changes) if damage.forged else replace(event, **damage.changes)  # type: ignore[arg-type]


@settings(max_examples=40)
@given(
    gaps=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    spoil=st.lists(damages, max_size=4),
    end=st.sampled_from(["honest", "short", "long", "other"]),
    one_day=st.booleans(),
    cuts=st.sets(st.integers(1, 8), max_size=3),
)
def test_breaks_are_those_of_the_specification(
    gaps: list[int], spoil: list[_Damage], end: str, one_day: bool, cuts: set[int]
) -> None:
    times = [HOURS[0] + timedelta(hours=sum(gaps[: count + 1])) for count in range(len(gaps))]
    whole = chain("acme", *times)
    rows = {event.seq: event for event in whole}
    for damage in spoil:
        if damage.seq in rows:
            rows[damage.seq] = _damaged(rows[damage.seq], damage)
            if damage.lost:
                del rows[damage.seq]
    head = {
        "honest": end_of(whole),
        "short": ChainEnd(len(whole) - 1, OTHER),
        "long": ChainEnd(len(whole) + 2, OTHER),
        "other": ChainEnd(len(whole), OTHER),
    }[end]
    number = 0 if one_day else None
    events = list(rows.values())
    table = as_table(events)
    edges = [0, *sorted(cut for cut in cuts if cut < len(table)), len(table)]
    tables = [table.slice(begin, after - begin) for begin, after in pairwise(edges)]
    found = fold(tables, {"acme": head}, number)["acme"]
    assert places(found.breaks) == _breaks_by_the_book(events, head, number)
    assert found.tree.root() == tree_root(event_leaf(event.integrity_hash) for event in events)
    assert found.count == len(events)


def test_ends_of_the_calendar() -> None:
    moments = [datetime.min.replace(tzinfo=HOURS[0].tzinfo), datetime.max.replace(tzinfo=HOURS[0].tzinfo)]
    events, _ = extend(replace(new_head("acme"), last_recorded_at=moments[0]), moments)
    assert events[0].recorded_at == moments[0]
    assert fold([as_table(events)], {"acme": end_of(events)})["acme"].breaks == []
    assert chain_id("acme") != chain_id("globex")
