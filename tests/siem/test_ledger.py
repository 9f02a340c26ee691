"""The ledger: only moves that fit are made, and what is read again is what was written, or it is noticed."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lumi_pipeline.errors import LeaseHeld, LedgerError, LumiError
from lumi_pipeline.siem.ledger import Delivery, Do, Hold, Key, Later, Ledger, Move, State
from lumi_pipeline.siem.ledgerbook import WHOLE_EVERY, LedgerBook
from lumi_pipeline.siem.ledgerjson import ledger_json, move_json, parse_ledger, parse_move
from tests.lake.world import at
from tests.siem.shipping import copied, lake_of
from transparency.encoding import canonical_json, parse_canonical_json
from transparency.memorystore import MemoryStore

NOW = at(0)
TIMES = st.timedeltas(timedelta(0), timedelta(days=40)).map(lambda later: NOW + later)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(0, 1 << 40)
KEYS = st.builds(Key, NUMBERS, st.integers(-9, 99), st.integers(0, 50), st.integers(51, 99))
MOVES = st.builds(
    Move,
    st.sampled_from([do for do in Do if do is not Do.TAKE]),
    TIMES,
    st.none() | KEYS,
    TEXTS,
    st.none() | TIMES,
    st.none() | TEXTS.filter(bool),
    st.lists(NUMBERS, max_size=3).map(tuple),
    lanes=st.lists(TEXTS, max_size=2).map(tuple),
    settings=st.booleans(),
)
TAKES = st.builds(
    Move,
    st.just(Do.TAKE),
    TIMES,
    detail=TEXTS,
    number=NUMBERS,
    sizes=st.lists(NUMBERS, max_size=3).map(tuple),
    lanes=st.lists(TEXTS, max_size=3).map(tuple),
    refused=st.integers(0, 3),
)
DELIVERIES = st.builds(
    Delivery,
    KEYS,
    TEXTS,
    TIMES,
    st.sampled_from(State),
    NUMBERS,
    st.none() | TIMES,
    TEXTS,
    st.none() | TEXTS,
    st.booleans(),
    st.none() | TIMES,
)
HOLDS = st.builds(Hold, TIMES, TIMES, TEXTS, st.booleans())
LEDGERS = st.builds(
    Ledger,
    NUMBERS,
    st.lists(DELIVERIES, max_size=4).map(lambda found: {delivery.key: delivery for delivery in found}),
    st.none() | HOLDS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.just("") | st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.dictionaries(TEXTS, HOLDS, max_size=2),
    st.lists(st.builds(Later, st.integers(0, 9), st.integers(10, 99), TEXTS), max_size=2).map(tuple),
)


DEFERS = st.builds(
    Move, st.just(Do.DEFER), TIMES, number=NUMBERS, end=NUMBERS, lanes=st.lists(TEXTS, max_size=2).map(tuple)
)


@given(MOVES | TAKES | DEFERS)
def test_a_move_survives_being_written(move: Move) -> None:
    text = canonical_json(move_json(move))
    assert parse_move(parse_canonical_json(text.encode(), 1 << 20)) == move


@settings(max_examples=50)
@given(LEDGERS)
def test_a_ledger_survives_being_written(ledger: Ledger) -> None:
    text = canonical_json(ledger_json(ledger))
    assert parse_ledger(parse_canonical_json(text.encode(), 1 << 20)) == ledger


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 1 << 60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    MOVES | TAKES, st.sampled_from(["at", "do", "key", "until", "cuts", "sizes", "lanes", "number", "refused"]), JSON
)
def test_what_is_no_move_is_refused(move: Move, name: str, value: object) -> None:
    """Never another error than ours."""
    try:
        parse_move({**move_json(move), name: value})  # type: ignore[dict-item]
    except LedgerError as error:
        assert "not in form" in str(error) or "names no batch" in str(error)  # noqa: PT017 - it may also be a move


@given(LEDGERS, st.data())
def test_what_is_no_ledger_is_refused(ledger: Ledger, data: st.DataObject) -> None:
    value = ledger_json(ledger)
    name = data.draw(st.sampled_from(sorted(value)))
    try:
        parse_ledger({**value, name: data.draw(JSON)})
    except LedgerError as error:
        assert str(error)  # noqa: PT017


def taken(*sizes: int, refused: int = 0) -> Ledger:
    ledger = Ledger()
    ledger.apply([Move(Do.TAKE, NOW, sizes=sizes, lanes=("live/default",) * len(sizes), refused=refused)])
    return ledger


FIRST = Key(0, 0, 0, 8)
ALLOWED = {
    State.PLANNED: {Do.SEND, Do.DELIVER, Do.QUARANTINE, Do.BLOCK, Do.RELEASE},
    State.SENDING: {Do.RETURN, Do.WAIT, Do.DOUBT, Do.ACCEPT, Do.DELIVER, Do.SPLIT, Do.QUARANTINE},
    State.ACCEPTED: {Do.DOUBT, Do.DELIVER},
    State.WAITING: {Do.SEND, Do.BLOCK, Do.RELEASE},
    State.AMBIGUOUS: {Do.SEND, Do.DELIVER, Do.QUARANTINE, Do.BLOCK, Do.RELEASE},
    State.QUARANTINED: {Do.RELEASE, Do.DISCARD},
    State.BLOCKED: {Do.RELEASE, Do.DISCARD},
}
WAYS = {
    State.PLANNED: [],
    State.SENDING: [Do.SEND],
    State.ACCEPTED: [Do.SEND, Do.ACCEPT],
    State.WAITING: [Do.SEND, Do.WAIT],
    State.AMBIGUOUS: [Do.SEND, Do.DOUBT],
    State.QUARANTINED: [Do.SEND, Do.QUARANTINE],
    State.BLOCKED: [Do.BLOCK],
}
STEPS = [do for do in Do if do not in {Do.TAKE, Do.DEFER, Do.HOLD, Do.RESUME}]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("do", STEPS)
def test_only_moves_that_fit_are_made(state: State, do: Do) -> None:
    ledger = taken(8)
    ledger.apply([Move(way, NOW, FIRST) for way in WAYS[state]])
    assert ledger.open[FIRST].state is state
    move = Move(do, NOW, FIRST, cuts=(4,))
    if do in ALLOWED[state]:
        ledger.apply([move])
    else:
        before = ledger.copy()
        with pytest.raises(LedgerError, match=f"{do.value}: 0.0.0.8 is {state.value}"):
            ledger.apply([move])
        assert ledger == before


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (Move(Do.SEND, NOW, Key(0, 1, 0, 8)), "send: 0.1.0.8 is not open"),
        (Move(Do.SEND, NOW, Key(0, 0, 0, 7)), "send: 0.0.0.7 is not open"),
        (Move(Do.SEND, NOW), "send: None is not open"),
        (Move(Do.TAKE, NOW, number=0), "plan 0 is taken up where 1 would be next"),
        (Move(Do.TAKE, NOW, number=2), "plan 2 is taken up where 1 would be next"),
        (Move(Do.TAKE, NOW, number=1, sizes=(3,)), "as many lanes as batches"),
        (Move(Do.DEFER, NOW, number=2, end=3, lanes=("x",)), "plans 2 to 3 can't be left for later; 1 is next"),
        (Move(Do.DEFER, NOW, number=1, end=1, lanes=("x",)), "can't be left"),
        (Move(Do.DEFER, NOW, number=1, end=2), "can't be left"),
        (Move(Do.HOLD, NOW), "a hold has no end"),
        (Move(Do.RELEASE, NOW, Key(0, -1, 0, 1)), "has no record that could be sent"),
    ],
)
def test_moves_that_fit_nothing_are_refused(move: Move, said: str) -> None:
    ledger = taken(8, refused=1)
    before = ledger.copy()
    with pytest.raises(LedgerError, match=said):
        ledger.apply([move])
    assert ledger == before


@given(st.integers(2, 40), st.lists(st.integers(-2, 42), max_size=6).map(tuple))
def test_slices_tile_what_is_split_or_nothing_is(size: int, cuts: tuple[int, ...]) -> None:
    ledger, whole = taken(size), Key(0, 0, 0, size)
    ledger.apply([Move(Do.SEND, NOW, whole)])
    right = bool(cuts) and list(cuts) == sorted(set(cuts)) and all(0 < cut < size for cut in cuts)
    if not right:
        with pytest.raises(LedgerError, match="can't be cut"):
            ledger.apply([Move(Do.SPLIT, NOW, whole, cuts=cuts)])
        assert list(ledger.open) == [whole]
        return
    ledger.apply([Move(Do.SPLIT, NOW, whole, cuts=cuts)])
    slices = sorted(ledger.open)
    assert [key.first for key in slices] == [0, *cuts]
    assert [key.end for key in slices] == [*cuts, size]
    assert {delivery.attempts for delivery in ledger.open.values()} == {1}


@pytest.mark.parametrize("later", [Do.RETURN, Do.WAIT, Do.SPLIT])
def test_what_may_have_arrived_stays_in_doubt(later: Do) -> None:
    ledger = taken(8)
    ledger.apply([Move(Do.SEND, NOW, FIRST), Move(Do.DOUBT, NOW, FIRST), Move(Do.SEND, NOW, FIRST)])
    ledger.apply([Move(later, NOW, FIRST, cuts=(4,))])
    assert all(d.duplicates and d.state is State.AMBIGUOUS for d in ledger.open.values())


def test_a_deadline_begins_anew_when_a_batch_is_released() -> None:
    ledger = taken(8)
    later = NOW + timedelta(days=8)
    ledger.apply([Move(Do.BLOCK, NOW, FIRST, detail="too late"), Move(Do.RELEASE, later, FIRST, lanes=("other/x",))])
    found = ledger.open[FIRST]
    assert (found.state, found.since, found.lane, found.detail) == (State.PLANNED, later, "other/x", "")


@pytest.mark.parametrize("do", [Do.WAIT, Do.DOUBT, Do.SPLIT])
def test_a_deadline_counts_from_the_first_failure(do: Do) -> None:
    ledger = taken(8, 8)
    hours = [NOW + timedelta(hours=number) for number in range(9)]
    ledger.apply([Move(Do.SEND, hours[1], FIRST), Move(Do.RETURN, hours[1], FIRST), Move(Do.SEND, hours[2], FIRST)])
    assert ledger.open[FIRST].failing is None
    ledger.apply([Move(do, hours[3], FIRST, until=hours[4], cuts=(4,))])
    failed = [found for found in ledger.of(*State) if found.key.batch == 0]
    ledger.apply([Move(Do.SEND, hours[5], found.key) for found in failed])
    ledger.apply([Move(Do.WAIT, hours[6], found.key, until=hours[7]) for found in failed])
    assert {found.failing for found in ledger.of(*State) if found.key.batch == 0} == {hours[3]}
    assert {found.failing for found in ledger.of(*State) if found.key.batch == 1} == {None}
    ledger.apply([Move(Do.RELEASE, hours[8], found.key) for found in failed])
    assert {(found.failing, found.since) for found in ledger.of(*State)} == {(None, hours[8]), (None, NOW)}


RECEIPT = {"key": "0.0.0.8", "outcome": "delivered"}


def written(moves: int) -> MemoryStore:
    """A ledger of so many segments."""
    store = MemoryStore()
    book = LedgerBook(lake_of(store), "siem")
    book.write([Move(Do.TAKE, NOW, sizes=(8, 8), lanes=("live/default",) * 2)], [], NOW, "me")
    for number in range(moves - 1):
        do = Do.SEND if number % 2 == 0 else Do.RETURN
        book.write([Move(do, NOW, FIRST)], [RECEIPT] if number == 0 else [], NOW, "me")
    return store


def test_every_flipped_byte_is_noticed() -> None:
    store = written(3)
    for key in store.list(""):
        data = store.get(key)
        for position in range(len(data)):
            other = copied(store)
            other.put(key, data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            with pytest.raises(LumiError, match=key):
                LedgerBook(lake_of(other), "siem")


@pytest.mark.parametrize("number", [WHOLE_EVERY, WHOLE_EVERY + 1])
def test_a_lost_segment_is_noticed_and_named(number: int) -> None:
    store = written(WHOLE_EVERY + 3)
    LedgerBook(lake_of(store), "siem")
    key = f"siem/siem/ledger/{number:012d}.json"
    store.delete(key)
    with pytest.raises(LedgerError, match=f"{key} is gone; restore it from a backup"):
        LedgerBook(lake_of(store), "siem")


def test_segments_that_changed_places_are_noticed() -> None:
    store = written(5)
    second, third = (f"siem/siem/ledger/{number:012d}.json" for number in (2, 3))
    data = store.get(second), store.get(third)
    store.put(second, data[1])
    store.put(third, data[0])
    with pytest.raises(LedgerError, match="does not follow the segment before it"):
        LedgerBook(lake_of(store), "siem")


def test_a_ledger_is_read_from_the_last_whole_one() -> None:
    store = written(2 * WHOLE_EVERY + 5)
    for number in range(2 * WHOLE_EVERY):
        store.delete(f"siem/siem/ledger/{number:012d}.json")
    book = LedgerBook(lake_of(store), "siem")
    assert book.segments == 2 * WHOLE_EVERY + 5
    assert (book.ledger.receipts, len(book.ledger.open)) == (1, 2)


def test_a_move_that_can_not_be_made_is_not_written() -> None:
    """Else nobody could read the ledger any more."""
    store = written(1)
    book = LedgerBook(lake_of(store), "siem")
    before = book.ledger.copy()
    with pytest.raises(LedgerError, match="is planned"):
        book.write([Move(Do.SEND, NOW, Key(0, 1, 0, 8)), Move(Do.WAIT, NOW, FIRST)], [], NOW, "me")
    assert (book.ledger, book.segments) == (before, 1)
    assert LedgerBook(lake_of(store), "siem").ledger == before


def test_of_two_writers_the_second_is_told_and_nothing_of_it_is_written() -> None:
    store = written(2)
    first, second = (LedgerBook(lake_of(store), "siem") for _ in range(2))
    first.write([Move(Do.DELIVER, NOW, FIRST)], [RECEIPT], NOW, "first")
    before = copied(store)
    with pytest.raises(LeaseHeld):
        second.write([Move(Do.WAIT, NOW, FIRST)], [], NOW, "second")
    assert list(store.list("")) == list(before.list(""))
    assert LedgerBook(lake_of(store), "siem").ledger == first.ledger


class LedgerMachine(RuleBasedStateMachine):
    """Any moves that fit, written in any portions; what is read from the store is always what was written."""

    @initialize()
    def begin(self) -> None:
        self.store = MemoryStore()
        self.book = LedgerBook(lake_of(self.store), "siem")
        self.events: dict[tuple[int, int], int] = {}
        self.gone: list[Key] = []
        self.plans = 0
        self.later: dict[int, str] = {}
        self.lines = 0

    def _write(self, *moves: Move, receipts: int = 0) -> None:
        self.book.write(moves, [RECEIPT] * receipts, NOW, "me")
        self.lines += receipts

    def _any(self, data: st.DataObject, *states: State) -> Delivery | None:
        found = self.book.ledger.of(*states)
        return data.draw(st.sampled_from(found)) if found else None

    @rule(sizes=st.lists(st.integers(1, 6), max_size=3), refused=st.integers(0, 2))
    def take(self, sizes: list[int], refused: int) -> None:
        lanes = tuple(f"live/{number % 2}" for number in range(len(sizes)))
        self._write(
            Move(Do.TAKE, NOW, number=self.plans, sizes=tuple(sizes), lanes=lanes, refused=refused), receipts=refused
        )
        self.events |= {(self.plans, number): size for number, size in enumerate(sizes)}
        self.events |= {(self.plans, -1 - number): 1 for number in range(refused)}
        self.plans += 1

    @rule(back=st.integers(0, 4), count=st.integers(1, 4), lane=st.sampled_from(["x", "y"]))
    def defer(self, back: int, count: int, lane: str) -> None:
        first = max(self.plans - back, 0)
        self._write(Move(Do.DEFER, NOW, number=first, end=first + count, lanes=(lane,)))
        fresh = range(self.plans, first + count)
        self.later |= {number: lane for number in range(first, first + count) if number in {*self.later, *fresh}}
        self.plans = max(self.plans, first + count)

    @precondition(lambda self: self.later)
    @rule(data=st.data(), sizes=st.lists(st.integers(1, 6), max_size=3))
    def take_later(self, data: st.DataObject, sizes: list[int]) -> None:
        number = data.draw(st.sampled_from(sorted(self.later)))
        lane = self.later.pop(number)
        self._write(Move(Do.TAKE, NOW, number=number, sizes=tuple(sizes), lanes=(f"{lane}/0",) * len(sizes)))
        self.events |= {(number, batch): size for batch, size in enumerate(sizes)}

    @rule(data=st.data(), do=st.sampled_from(STEPS), until=st.none() | TIMES, detail=TEXTS)
    def step(self, data: st.DataObject, do: Do, until: object, detail: str) -> None:
        states = [state for state, allowed in ALLOWED.items() if do in allowed]
        found = self._any(data, *states)
        if found is None or (do is Do.RELEASE and found.key.is_refusal):
            return
        move = Move(do, NOW, found.key, detail)
        if do in {Do.WAIT, Do.DOUBT, Do.ACCEPT}:
            move = replace(move, until=until or NOW, ack=detail or None if do is Do.ACCEPT else None)  # type: ignore[arg-type]
        if do is Do.SPLIT:
            if found.key.count < 2:
                return
            cuts = st.sets(st.integers(found.key.first + 1, found.key.end - 1), min_size=1)
            move = replace(move, cuts=tuple(sorted(data.draw(cuts))))
        if do in {Do.DELIVER, Do.DISCARD}:
            self.gone.append(found.key)
        self._write(move, receipts=do in {Do.DELIVER, Do.DISCARD, Do.QUARANTINE})

    @rule(until=TIMES, credentials=st.booleans(), detail=TEXTS)
    def hold(self, until: object, credentials: bool, detail: str) -> None:
        self._write(Move(Do.HOLD, NOW, detail=detail, until=until, settings=credentials))  # type: ignore[arg-type]

    @rule(lanes=st.lists(TEXTS, min_size=1, max_size=2, unique=True).map(tuple), until=TIMES)
    def hold_lanes(self, lanes: tuple[str, ...], until: object) -> None:
        hold = self.book.ledger.hold
        self._write(Move(Do.HOLD, NOW, lanes=lanes, until=until))  # type: ignore[arg-type]
        assert set(lanes) <= set(self.book.ledger.pauses)
        assert self.book.ledger.hold == hold

    @precondition(lambda self: self.book.ledger.pauses)
    @rule()
    def resume_a_lane(self) -> None:
        lane = min(self.book.ledger.pauses)
        self._write(Move(Do.RESUME, NOW, lanes=(lane,)))
        assert lane not in self.book.ledger.pauses

    @rule()
    def resume(self) -> None:
        self._write(Move(Do.RESUME, NOW))
        assert (self.book.ledger.hold, self.book.ledger.failures) == (None, 0)

    @precondition(lambda self: self.plans > 0)
    @rule()
    def write_many_segments(self) -> None:
        for _ in range(20):
            self._write(Move(Do.RESUME, NOW))

    @invariant()
    def reading_gives_what_was_written(self) -> None:
        read = LedgerBook(lake_of(self.store), "siem")
        assert read.ledger == self.book.ledger
        assert read.segments == self.book.segments
        self.book = read

    @invariant()
    def each_plan_was_taken_up_or_is_left_for_the_lane_that_was_named_last(self) -> None:
        ledger = self.book.ledger
        found = {number: part.lane for part in ledger.later for number in range(part.first, part.end)}
        assert (found, ledger.next_plan) == (self.later, self.plans)
        assert [number for number in range(self.plans + 2) if ledger.is_taken(number)] == [
            number for number in range(self.plans) if number not in self.later
        ]
        assert [key for key in ledger.open if key.plan in self.later] == []
        assert [delivery.key for delivery in ledger.of(*State)] == sorted(ledger.open)

    @invariant()
    def every_event_is_open_or_gone_once(self) -> None:
        found: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for key in [*self.book.ledger.open, *self.gone]:
            found.setdefault((key.plan, key.batch), []).append((key.first, key.end))
        assert set(found) == set(self.events)
        for batch, slices in found.items():
            edges = [first for first, _ in sorted(slices)] + [self.events[batch]]
            assert edges[0] == 0
            assert [end for _, end in sorted(slices)] == edges[1:]

    @invariant()
    def receipts_are_numbered_and_found_again(self) -> None:
        assert self.book.ledger.receipts == self.lines
        lines = list(self.book.receipts_since(0))
        assert [json.loads(line)["number"] for line in lines] == [str(number) for number in range(self.lines)]
        for start in (self.lines - 1, self.lines, self.lines + 1):
            assert list(self.book.receipts_since(max(start, 0))) == lines[max(start, 0) :]


LedgerMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestLedger = LedgerMachine.TestCase
