"""A SIEM that does what a test says, and all that is needed to plan for it and to deliver to it.

``Siem`` is what stands on the other side: it reads requests with the standard library alone and keeps what arrived, so
losses are counted from there. ``ScriptedDestination`` is the way to it. ``Shipping`` is a lake in memory with plans, a
clock, and both of them.
"""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock

import pyarrow as pa

from lumi_pipeline.lake import Lake
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.siem.deliver import Deliverer, DeliveryReport
from lumi_pipeline.siem.destination import AgeRule, Assurance, Framing, Limits, Outcome, Outgoing, Result
from lumi_pipeline.siem.evidencekeys import EvidenceKeys
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.gzipping import compress
from lumi_pipeline.siem.ledger import Key, Ledger, State
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.planner import Planner, PlanReport
from lumi_pipeline.siem.plans import PlanBook
from lumi_pipeline.siem.receipts import FIRST_PREV, ReceiptBook, line_hash, note_text, parse_receipt
from lumi_pipeline.siem.settings import DestinationSettings, Route, read_destinations
from lumi_pipeline.siem.source import Source
from tests.lake.world import EVIDENCE_KEY, Clock, World
from transparency.memorystore import MemoryStore
from transparency.note import parse_note, verify_note
from transparency.store import ObjectStore

NAME = "siem"
KEYS = EvidenceKeys(lambda: [EVIDENCE_KEY])
LIMITS = Limits(1_000_000, 4, 100_000)
"""Four events a request."""


def settings(**values: object) -> DestinationSettings:
    """Settings as a configuration file would give them; what is not said is the default, ``since`` the beginning."""
    table = {"name": NAME, "kind": "https", "url": "https://siem.example.com", "since": "beginning", **values}
    return read_destinations([table], "test", Path())[0]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was received: its events' ids, and whose they are, in order. ``number`` counts requests."""

    number: int
    delivery_id: str
    events: tuple[str, ...]
    tenants: tuple[str, ...]
    seqs: tuple[int, ...]
    body_sha256: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes of a request: the outcome as the sender hears it, and which of its events are there (all: None)."""

    outcome: Outcome
    kept: int | None = None


def taken(**more: object) -> Answer:
    """All is there."""
    return Answer(Outcome(Result.DELIVERED, assurance=Assurance.RECEIVED, status=200, **more))  # type: ignore[arg-type]


def down(status: int = 503, **more: object) -> Answer:
    """Nothing is there, and it is said so."""
    return Answer(Outcome(Result.RETRY, f"answered {status}", status=status, **more), 0)  # type: ignore[arg-type]


def failing(result: Result, kept: int = 0, **more: object) -> Answer:
    """Some other outcome, of which the first events are there."""
    return Answer(Outcome(result, f"it says {result.value}", **more), kept)  # type: ignore[arg-type]


Script = Callable[[Request], Answer]


@dataclass(slots=True)
class Siem:
    """The other side. ``script`` says what becomes of each request; ``arrived`` are the records that are there."""

    script: Script = lambda _: taken()
    framing: Framing = Framing.LINES
    arrived: list[dict[str, object]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    acknowledged: dict[str, bool] = field(default_factory=dict)
    moment: Callable[[str], None] = lambda _: None
    """Called with "begin" before a request is read and with "end" before it is answered: whoever sends may die here."""
    _lock: Lock = field(default_factory=Lock)

    def receive(self, outgoing: Outgoing) -> Outcome:
        self.moment("begin")
        with self._lock:
            content = gzip.decompress(outgoing.body)
            lines = json.loads(content) if self.framing is Framing.ARRAY else map(json.loads, content.splitlines())
            records: list[dict[str, object]] = list(lines)
            assert {record["batch_id"] for record in records} == {outgoing.batch_id}
            assert [record["event_id"] for record in records] == list(outgoing.events)
            assert [record["tenant_id"] for record in records] == list(outgoing.tenants)
            request = Request(
                len(self.requests),
                outgoing.delivery_id,
                tuple(str(record["event_id"]) for record in records),
                tuple(str(record["tenant_id"]) for record in records),
                tuple(int(str(record["seq"])) for record in records),
                outgoing.body_sha256,
            )
            self.requests.append(request)
            answer = self.script(request)
            self.arrived += records if answer.kept is None else records[: answer.kept]
        self.moment("end")
        return answer.outcome

    @property
    def counts(self) -> Counter[str]:
        """How often each event is there, by its id."""
        return Counter(str(record["event_id"]) for record in self.arrived)


class ScriptedDestination:
    """A destination whose other side is a :class:`Siem`."""

    suffix = "ndjson.gz"
    mapping = "scripted/1"

    def __init__(
        self,
        settings: DestinationSettings,
        siem: Siem,
        limits: Limits = LIMITS,
        age: AgeRule | None = None,
        group: str | None = None,
    ) -> None:
        self.settings = settings
        self.siem = siem
        self.limits = limits
        self.framing = siem.framing
        self.age = age
        self._group = group

    def record(self, event: str, route: Route) -> str:  # noqa: ARG002 - every route's records look the same
        return event

    def group(self, events: pa.Table) -> pa.StringArray | None:
        """By the values of a column, if one is given."""
        if self._group is None:
            return None
        return events.column(self._group).combine_chunks()  # type: ignore[return-value]

    def body(self, content: bytes | memoryview) -> bytes:
        return compress(content)

    def restamp(self, record: bytes, now: datetime) -> bytes:
        value = json.loads(record)
        assert self.age is not None
        if datetime.fromisoformat(value["occurred_at"]) >= now - self.age.older:
            return record
        return json.dumps({**value, "restamped": True}).encode()

    def send(self, outgoing: Outgoing) -> Outcome:
        return self.siem.receive(outgoing)

    def confirm(self, acks: Sequence[str], route: Route) -> Mapping[str, bool]:  # noqa: ARG002 - one for all routes
        return {ack: self.siem.acknowledged[ack] for ack in acks if ack in self.siem.acknowledged}

    def check(self) -> Sequence[str]:
        return []

    def close(self) -> None:
        """There is no connection."""


def planner(pipeline: Pipeline, destination: ScriptedDestination) -> Planner:
    """A planner, as a new process would open it."""
    pipeline.config = replace(pipeline.config, destinations=(destination.settings,))
    name = destination.settings.name
    exports = Exports(pipeline)
    # Not the exports' own source: until Python 3.12 whoever opens that keeps all other threads from opening theirs.
    source = Source.open(pipeline.lake, tuple(pipeline.sealed_days()))
    book = PlanBook(pipeline.lake, name)
    return Planner(book, destination, source, lambda tenant_id: exports.wants(name, tenant_id), pipeline.clock)


def plan(pipeline: Pipeline, destination: ScriptedDestination, max_events: int = 250_000) -> list[PlanReport]:
    """Plan whatever is waiting."""
    return list(planner(pipeline, destination).plan(max_events))


def in_memory(world: World, prefix: str = "siem/") -> MemoryStore:
    """A copy of what lies under a prefix of a world's lake."""
    store = MemoryStore()
    for key, data in world.contents(prefix).items():
        store.put_new(key, data)
    return store


def copied(store: ObjectStore) -> MemoryStore:
    """Another store with the same content."""
    copy = MemoryStore()
    for key in store.list(""):
        copy.put_new(key, store.get(key))
    return copy


def lake_of(store: ObjectStore) -> Lake:
    """A lake of which nobody opens files by their path."""
    return Lake(store, str)


@dataclass(slots=True)
class Shipping:
    """A lake with plans for one destination, a clock that sleeping moves, and the other side."""

    store: ObjectStore
    clock: Clock
    settings: DestinationSettings = field(default_factory=settings)
    siem: Siem = field(default_factory=Siem)
    age: AgeRule | None = None
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.now += timedelta(seconds=seconds)

    def deliverer(self, store: ObjectStore | None = None) -> Deliverer:
        """A deliverer, as a new process would open it; ``store`` may be something around the lake's."""
        destination = ScriptedDestination(self.settings, self.siem, age=self.age)
        lake = lake_of(store or self.store)
        return Deliverer(lake, destination, KEYS, self.clock, self.sleep)

    def run(self, patience: timedelta = timedelta(0)) -> DeliveryReport:
        return self.deliverer().run(patience)

    @property
    def ledger(self) -> Ledger:
        """The ledger as it is stored."""
        return LedgerBook(lake_of(self.store), self.settings.name).ledger

    def receipts(self) -> list[dict[str, object]]:
        return list(checked_receipts(lake_of(self.store), self.settings.name))

    def planned(self) -> dict[Key, tuple[str, ...]]:
        """The events of every planned batch, and of every refusal."""
        book = PlanBook(lake_of(self.store), self.settings.name)
        found: dict[Key, tuple[str, ...]] = {}
        for number in range(book.planned().next_number):
            read = book.read(number)
            rows = book.events(read).to_pylist()
            for index, batch in enumerate(read.batches):
                events = tuple(str(row["event_id"]) for row in rows if row["batch"] == index)
                assert len(events) == batch.count
                found[Key(number, index, 0, batch.count)] = events
            for index, refused in enumerate(read.refused):
                found[Key(number, -1 - index, 0, 1)] = (refused.event_id,)
        return found

    def events(self) -> set[str]:
        """Every planned event."""
        return {event for events in self.planned().values() for event in events}

    def check_settled(self) -> None:
        """Every event is there or put aside, as the receipts say, each receipted once; and twice only where told."""
        assert {d.state for d in self.ledger.open.values()} <= {State.QUARANTINED}, "something is still open"
        batches = self.planned()
        receipted: Counter[str] = Counter()
        delivered: set[str] = set()
        doubtful: set[str] = set()
        for receipt in self.receipts():
            key = Key.parse(str(receipt["key"]))
            whole = next(k for k in batches if (k.plan, k.batch) == (key.plan, key.batch))
            events = batches[whole][key.first : key.end]
            assert receipt["events"] == str(len(events))
            receipted.update(events)
            if receipt["outcome"] == "delivered":
                delivered |= set(events)
                doubtful |= set(events) if receipt["possible_duplicate"] else set()
        assert set(receipted) == self.events()
        assert set(receipted.values()) == {1}
        there = self.siem.counts
        assert delivered <= set(there)
        assert {event for event, count in there.items() if count > 1} <= doubtful


def checked_receipts(lake: Lake, destination: str) -> Iterator[dict[str, object]]:
    """The receipts in the files of a destination, whose chain, numbers and signed notes are right."""
    book = ReceiptBook(lake, destination, KEYS)
    prev, number = FIRST_PREV, 0
    for file in range(book.end()[0]):
        read = book.read(file)
        note = parse_note(read.note)
        assert verify_note(note, [EVIDENCE_KEY.verifier]) == [EVIDENCE_KEY.verifier]
        assert note.text == note_text(destination, read.lines)
        for line in read.lines:
            receipt = parse_receipt(line)
            assert (receipt["prev"], receipt["number"]) == (prev, str(number))
            prev, number = line_hash(line), number + 1
            yield dict(receipt)
