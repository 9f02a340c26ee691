"""Of a long history an account reads little, and says the same as if it had read everything."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

import pytest

from lumi_pipeline.days import day_start
from lumi_pipeline.siem import ledgerbook, planhistory, plans, receipts
from lumi_pipeline.siem import planner as planning
from lumi_pipeline.siem.account import Account, DayAccount, Period
from lumi_pipeline.siem.destination import Result
from lumi_pipeline.siem.ledger import Do, Move, State
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.planner import Planner
from lumi_pipeline.siem.plans import PlanBook
from lumi_pipeline.siem.receipts import ReceiptBook
from lumi_pipeline.siem.source import Source
from tests.lake.world import Clock, World, at, day
from tests.siem.shipping import (
    KEYS,
    NAME,
    Answer,
    Request,
    ScriptedDestination,
    Shipping,
    down,
    failing,
    lake_of,
    settings,
    taken,
)
from transparency.memorystore import MemoryStore
from transparency.store import ObjectStore

DAYS = 5
TENANTS = ("acme", "globex", "initech")
SINCE = day(1)
Fates = dict[tuple[str, int], tuple[date, str, bool]]
"""Tenant and seq → the day, what became of the row, and whether it may be there twice."""


def book_of(store: ObjectStore) -> PlanBook:
    return PlanBook(lake_of(store), NAME)


def wants(tenant_id: str) -> bool:
    return tenant_id != "initech"


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, list[Source]]:
    """A lake, and how it was at noon of each day, when the events of that day had been landed."""
    world = World.create(tmp_path_factory.mktemp("history") / "world", at(0))
    found = []
    for number in range(DAYS):
        world.clock.now = at(number)
        world.record_all((tenant, at(number, f"0{i}:00:00")) for i in range(3) for tenant in TENANTS[: 1 + number])
        world.pipeline().land()
        found.append(Source.open(world.pipeline().lake, ()))
    return world, found


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums, whole ledgers and new files come after a few steps, as otherwise after months."""
    monkeypatch.setattr(receipts, "_PER_FILE", 2)
    monkeypatch.setattr(ledgerbook, "WHOLE_EVERY", 4)
    monkeypatch.setattr(plans, "SUMMED_EVERY", 3)
    monkeypatch.setattr(planning, "SUMMED_EVERY", 3)
    monkeypatch.setattr(planhistory, "SUMMED_EVERY", 3)


def begun(landed: tuple[World, list[Source]], store: MemoryStore) -> tuple[Shipping, list[Source]]:
    """A destination that nothing was planned for yet, in a lake of its own."""
    world, sources = landed
    for key, data in world.contents().items():
        store.put_new(key, data)
    return Shipping(store, Clock(at(0)), settings(since=SINCE)), [
        replace(s, lake=replace(s.lake, store=store)) for s in sources
    ]


@dataclass
class History:
    """A destination's history in memory, day after day; ``random`` decides what happens."""

    shipping: Shipping
    random: Random

    def planner(self, source: Source) -> Planner:
        destination = ScriptedDestination(self.shipping.settings, self.shipping.siem)
        book = book_of(self.shipping.store)
        return Planner(book, destination, source, wants, self.shipping.clock)

    def live(self, source: Source) -> None:
        """Plan some of what waits, or all of it."""
        wanted = self.random.choice([1, 3, 99])
        for number, _ in enumerate(self.planner(source).plan(self.random.choice([2, 5, 9]))):
            if number >= wanted:
                break

    def again(self, source: Source, number: int) -> None:
        """Plan some rows of a day, or all of the days, once more."""
        tenant_id = TENANTS[self.random.randint(0, 1)]
        after = source.cursors[tenant_id].next_seq if tenant_id in source.cursors else 0
        first = self.random.randint(0, after)
        if first < after:
            book = book_of(self.shipping.store)
            days = (day(self.random.randint(0, number)), day(number))
            ranges = {tenant_id: (first, after)}
            lane = f"backfill-{number}"
            list(self.planner(source).backfill(lane, ranges, days, book.planned().next_number, 4))

    def answer(self, _request: Request) -> Answer:
        number = self.random.randint(0, 9)
        others = (down(500), failing(Result.REFUSED, index=0), failing(Result.AMBIGUOUS), failing(Result.REFUSED))
        return others[number] if number < len(others) else taken()

    def attend(self) -> None:
        """Somebody decides about what was put aside, or blocks a batch."""
        book, now = LedgerBook(lake_of(self.shipping.store), NAME), self.shipping.clock()
        moves, lines = [], []
        for found in book.ledger.of(State.QUARANTINED, State.WAITING, State.PLANNED):
            decision = self.random.randint(0, 3)
            if found.state is State.QUARANTINED and decision == 0:
                moves.append(Move(Do.DISCARD, now, found.key))
                lines.append({"key": str(found.key), "outcome": "discarded"})
            elif found.state is State.QUARANTINED and decision == 1 and not found.key.is_refusal:
                moves.append(Move(Do.RELEASE, now, found.key))
            elif found.state is not State.QUARANTINED and decision == 2:
                moves.append(Move(Do.BLOCK, now, found.key))
        book.write(moves, lines, now, "somebody")

    def go_on(self, sources: list[Source]) -> None:
        self.shipping.siem.script = self.answer
        for number, source in enumerate(sources):
            self.shipping.clock.now = max(self.shipping.clock.now, at(number))
            if self.random.random() < 0.5:
                self.live(source)
            if self.random.randint(0, 2) == 0 and LedgerBook(lake_of(self.shipping.store), NAME).segments:
                self.again(source, number)
            for _ in range(self.random.randint(0, 2)):
                self.shipping.run(timedelta(seconds=self.random.choice([0, 90])))
                self.attend()


def everything(store: MemoryStore, source: Source) -> Fates:
    """What became of each row, by all plans, all receipts and the ledger."""
    book, ledger = book_of(store), LedgerBook(lake_of(store), NAME)
    lines = [line for key in store.list(f"siem/{NAME}/receipts/") for line in store.get(key).split(b"\n")]
    final = [json.loads(line) for line in lines if line.startswith(b"{")]
    final += [json.loads(line) for line in ledger.receipts_since(len(final))]
    ends = {}
    for receipt in final:
        plan, batch, first, end = map(int, receipt["key"].split("."))
        ends |= {(plan, batch, place): receipt for place in range(first, end) if receipt["outcome"] != "quarantined"}
    for key, found in ledger.ledger.open.items():
        said = "quarantined" if found.state is State.QUARANTINED else "open"
        ends |= {(key.plan, key.batch, place): {"outcome": said} for place in range(key.first, key.end)}
    sent: dict[tuple[str, int], list[dict[str, object]]] = {}
    planned = book.planned()
    for number in range(planned.next_number):
        plan = book.read(number)
        places: Counter[int] = Counter()
        for row in book.events(plan).to_pylist():
            found_end = ends.get((number, row["batch"], places[row["batch"]]), {"outcome": "open"})
            sent.setdefault((row["tenant_id"], row["seq"]), []).append(found_end)
            places[row["batch"]] += 1
    fates: Fates = {}
    for tenant_id, cursor in source.cursors.items():
        for table in source.rows({tenant_id: (0, cursor.next_seq)}):
            for row in table.to_pylist():
                seq, recorded = row["seq"], row["recorded_at"]
                said = [str(receipt["outcome"]) for receipt in sent.get((tenant_id, seq), [])]
                order = [fate for fate in ("delivered", "discarded", "quarantined", "open") if fate in said]
                due = seq >= planned.next_seq(tenant_id, {}) and recorded.timestamp() * 10**6 >= day_start(SINCE)
                left = "filtered" if not wants(tenant_id) else "open" if due else "missing"
                doubtful = any(receipt.get("possible_duplicate") for receipt in sent.get((tenant_id, seq), []))
                twice = said.count("delivered") > 1 or doubtful
                fates[tenant_id, seq] = (recorded.date(), order[0] if order else left, twice)
    return fates


def account(store: MemoryStore, source: Source, period: Period) -> Account:
    lake = lake_of(store)
    book = ReceiptBook(lake, NAME, KEYS)
    return Account(lake, NAME, source, book, period=period, wants=wants, actions=None, since=SINCE)


def summed(fates: Fates, period: Period) -> Iterator[DayAccount]:
    inside = {
        row: fate
        for row, fate in fates.items()
        if period.first <= fate[0] <= period.last and period.tenant_id in {None, row[0]}
    }
    for found_day, tenant_id in sorted({(fate[0], row[0]) for row, fate in inside.items()}):
        rows = [fate for row, fate in inside.items() if (fate[0], row[0]) == (found_day, tenant_id)]
        counts = Counter(fate for _, fate, _ in rows)
        names = ("delivered", "filtered", "quarantined", "discarded", "open", "missing")
        twice = sum(duplicate for *_, duplicate in rows)
        yield DayAccount(found_day, tenant_id, len(rows), *(counts[name] for name in names), twice)


@pytest.mark.parametrize("seed", [6, 9, 15])
def test_an_account_says_the_same_as_if_it_had_read_everything(landed: tuple[World, list[Source]], seed: int) -> None:
    store, random = MemoryStore(), Random(seed)
    shipping, sources = begun(landed, store)
    History(shipping, random).go_on(sources)
    fates = everything(store, sources[-1])
    for first, last in ((0, 4), (1, 1), (2, 3), (4, 4)):
        period = Period(day(first), day(last), random.choice([None, *TENANTS]))
        with account(store, sources[-1], period) as found:
            assert found.days() == list(summed(fates, period))
            assert sum(m.count for m in found.missing()) == sum(d.missing for d in found.days())


class Counting(MemoryStore):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: Counter[str] = Counter()

    def get(self, key: str) -> bytes:
        self.read[key.split("/")[2] if key.startswith("siem/") else ""] += 1
        return super().get(key)


def test_of_a_long_history_little_is_read(landed: tuple[World, list[Source]]) -> None:
    """What an account of an early day reads hardly grows with all that is planned and sent after it."""
    read = {}
    for repeated in (1, 4):
        store = Counting()
        shipping, sources = begun(landed, store)
        planner = History(shipping, Random(0)).planner(sources[-1])
        shipping.clock.now = at(DAYS)
        list(planner.plan(3))
        shipping.run()
        live = book_of(store).planned().next_number
        for number in range(2 * repeated):
            # Much later somebody sends another day again, and again.
            shipping.clock.now = at(DAYS + 300 + number)
            first = live + 3 * number
            list(planner.backfill(f"again-{number}", {"globex": (9, 12)}, (day(4), day(4)), first, 1))
            shipping.run()
        store.read.clear()
        with account(store, sources[-1], Period(day(1), day(1), "acme")) as found:
            assert [(d.delivered, d.duplicates) for d in found.days()] == [(3, 0)]
        read[repeated] = store.read
    assert read[4]["receipts"] <= read[1]["receipts"] + 3
    assert read[4]["ledger"] <= read[1]["ledger"] + 6
