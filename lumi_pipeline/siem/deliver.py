"""Delivery: send what is planned, in order, and write down each step before and after it is taken.

One process delivers to a destination at a time (lease.py). What was being sent when one died may have arrived: it is
sent again, and the ledger, and with it the receipt, says that it may be there twice. Nothing is ever given up: what
can't be delivered waits, is put aside by name, or is blocked until somebody decides.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice, zip_longest
from typing import Final

from lumi_pipeline.errors import LeaseHeld, LumiError
from lumi_pipeline.lake import Lake
from lumi_pipeline.siem.destination import Destination, Outcome
from lumi_pipeline.siem.evidencekeys import EvidenceKeys
from lumi_pipeline.siem.lease import Lease
from lumi_pipeline.siem.ledger import Delivery, Do, Hold, Move, State
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.loading import Loaded, Loader
from lumi_pipeline.siem.plans import LIVE, PlanBook
from lumi_pipeline.siem.receipts import ReceiptBook
from lumi_pipeline.siem.settling import Settled, Settler
from lumi_pipeline.siem.taking import Taken, take, take_later
from transparency.encoding import Json

LEASE_LENGTH: Final = timedelta(seconds=90)
_READY: Final = 256
"""Batches that are taken up ahead of sending; the rest waits in its plans, so the ledger stays small."""

_PER_WORKER: Final = 4
_GROUP_BYTES: Final = 64 << 20
_IN_ORDER: Final = 8
"""Batches of an ordered lane that are sent one after the other between two writes of the ledger."""

_PASSED_AFTER: Final = 12
"""Attempts after which one event alone no longer keeps the others of its ordered lane waiting."""

_POLL: Final = timedelta(seconds=1)
_ACK_WAIT: Final = timedelta(minutes=2)
"""How long a run waits for acknowledgements at least. Splunk indexes within seconds, as a rule."""

_SLICE: Final = 20.0


@dataclass(slots=True)
class DeliveryReport:
    """What one run did, and what is left: batches and events still to be sent, and why they are not."""

    destination: str
    batches: int = 0
    events: int = 0
    duplicates: int = 0
    quarantined: int = 0
    open_batches: int = 0
    open_events: int = 0
    blocked: int = 0
    hold: Hold | None = None
    receipts: int = 0
    seconds: float = 0.0
    days: Counter[date] = field(default_factory=Counter)


class Deliverer:
    """Delivers to one destination. ``clock`` and ``sleep`` belong together."""

    def __init__(
        self,
        lake: Lake,
        destination: Destination,
        keys: EvidenceKeys,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._lake = lake
        self._destination = destination
        self._name = destination.settings.name
        self._keys = keys
        self._clock = clock
        self._sleep = sleep

    def run(self, patience: timedelta = timedelta(0)) -> DeliveryReport:
        """Send whatever can be sent; wait up to ``patience`` for what can be sent again later.

        An acknowledgement that was promised in this run is waited for longer, as later nobody may be able to ask for
        it: behind a balancer only who was promised it knows which indexer to ask, and all others send again.

        Raises :class:`~lumi_pipeline.errors.LeaseHeld` while another process delivers to this destination, and what
        loading the evidence key raises, before anything is sent that no receipt could be signed for.
        """
        started = time.monotonic()
        self._keys.signing()
        with Lease(self._lake, self._name, self._clock, LEASE_LENGTH) as lease:
            run = _Run(self._lake, self._destination, lease, self._clock)
            run.recover()
            end = self._clock() + patience
            # A wall clock that is set back must not make this wait for ever.
            latest = started + patience.total_seconds() + _SLICE
            while True:
                while run.step():
                    pass
                wake = run.wakes_at()
                if wake is None or wake > run.waits_until(end) or time.monotonic() > max(latest, run.latest):
                    break
                self._wait(lease, wake, max(latest, run.latest))
            run.report.receipts = ReceiptBook(self._lake, self._name, self._keys).write(run.book)
            report = run.closed()
        report.seconds = time.monotonic() - started
        return report

    def _wait(self, lease: Lease, wake: datetime, latest: float) -> None:
        while (left := (wake - self._clock()).total_seconds()) > 0 and time.monotonic() < latest:
            lease.assure(timedelta(seconds=_SLICE))
            self._sleep(min(left, _SLICE))


class _Run:
    """One run under the lease."""

    def __init__(self, lake: Lake, destination: Destination, lease: Lease, clock: Callable[[], datetime]) -> None:
        self._destination = destination
        self._settings = destination.settings
        self._lease = lease
        self._clock = clock
        self._plans = PlanBook(lake, destination.settings.name)
        self._loader = Loader(lake, self._plans, destination)
        self._settler = Settler(destination.settings.name, self._loader)
        self._polled = datetime.min.replace(tzinfo=clock().tzinfo)
        self._lost: LeaseHeld | None = None
        self._promised = clock()
        self.latest = time.monotonic()
        """When acknowledgements are not waited for any more, by the clock that nobody sets."""
        self.book = LedgerBook(lake, destination.settings.name)
        self.report = DeliveryReport(destination.settings.name)

    def recover(self) -> None:
        """What was being sent when a process died may have arrived."""
        now = self._clock()
        detail = "the process that was sending it died"
        self._write([Move(Do.DOUBT, now, d.key, detail=detail) for d in self.book.ledger.of(State.SENDING)])

    def step(self) -> bool:
        """Do the next thing; whether there was one."""
        now = self._clock()
        self._take(now)
        self._expire(now)
        asked = self._ask(now)
        hold = self.book.ledger.hold
        if hold is not None and hold.until > now:
            return asked
        chosen = self._choose(now)
        group = self._load(chosen, now)
        if not group:
            return asked or bool(chosen)
        # Durable before a byte leaves. A crash from here on leaves batches that may have arrived.
        self._write([Move(Do.SEND, now, delivery.key) for delivery, _ in group])
        sent = self._send(group)
        now = self._clock()
        # A crash before this write makes the batches ambiguous; they are sent again.
        self._settle(self._settler.settle(sent, self.book.ledger, now))
        if self._lost is not None:
            raise self._lost
        return True

    def wakes_at(self) -> datetime | None:
        """When there may be something to do again; None when nothing is left that time alone will change."""
        ledger, now = self.book.ledger, self._clock()
        times = [self._due(delivery, now) for delivery in self._heads(now, set())]
        if times and ledger.hold is not None:
            times = [max(min(times), ledger.hold.until)]
        if ledger.of(State.ACCEPTED):
            times.append(max(self._polled + _POLL, now))
        return min(times, default=None)

    def waits_until(self, end: datetime) -> datetime:
        """How long the run goes on that would end at ``end``: acknowledgements promised in it may come later."""
        return max(end, self._promised) if self.book.ledger.of(State.ACCEPTED) else end

    def closed(self) -> DeliveryReport:
        """The report of the run."""
        ledger = self.book.ledger
        open_ = [*ledger.sendable(), *ledger.of(State.ACCEPTED, State.BLOCKED)]
        self.report.open_batches = len(open_)
        self.report.open_events = sum(delivery.key.count for delivery in open_)
        self.report.blocked = sum(delivery.key.count for delivery in ledger.of(State.BLOCKED))
        self.report.hold = ledger.hold or next(iter(ledger.pauses.values()), None)
        return self.report

    def _take(self, now: datetime) -> None:
        """Take up the next plans while few batches are ready: of live ones, and of each backfill."""
        self._refill(LIVE, lambda: take(self.book, self._plans, now))
        for lane in dict.fromkeys(part.lane for part in self.book.ledger.later if part.lane != LIVE):
            self._refill(lane, partial(take_later, self.book, self._plans, lane, now))

    def _refill(self, lane: str, take_next: Callable[[], Taken | None]) -> None:
        while sum(1 for d in self.book.ledger.sendable() if d.lane.startswith(f"{lane}/")) < _READY:
            taken = take_next()
            if taken is None:
                return
            self._write(*taken)
            self.report.quarantined += len(taken[1])

    def _expire(self, now: datetime) -> None:
        """Block what failed for as long as its deadline allows: it is not dropped, somebody has to look."""
        deadline = self._settings.deadline
        late = [d for d in self.book.ledger.sendable() if d.failing is not None and now - d.failing > deadline]
        days = self._settings.deadline.days
        self._write(
            [Move(Do.BLOCK, now, d.key, detail=f"not delivered in {days} days; last: {d.detail}"[:500]) for d in late]
        )

    def _ask(self, now: datetime) -> bool:
        """Ask for acknowledgements; whether any batch was settled by the answers."""
        waiting = self.book.ledger.of(State.ACCEPTED)
        if not waiting or now < self._polled + _POLL:
            return False
        self._polled = now
        settled = Settled()
        by_route: dict[str, list[Delivery]] = {}
        for delivery in waiting:
            by_route.setdefault(delivery.lane.rpartition("/")[2], []).append(delivery)
        for deliveries in by_route.values():
            route = self._loader.route(self._loader.batch(deliveries[0].key))
            self._lease.assure(timedelta(seconds=self._settings.timeout))
            answers = self._destination.confirm([d.ack for d in deliveries if d.ack is not None], route)
            for delivery in deliveries:
                answer = answers.get(delivery.ack or "")
                if answer:
                    self._settler.confirmed(settled, delivery, now)
                elif answer is None or (delivery.until is not None and delivery.until <= now):
                    detail = "its acknowledgement did not come"
                    settled.moves.append(Move(Do.DOUBT, now, delivery.key, detail=detail))
        self._settle(settled)
        return bool(settled.moves)

    def _choose(self, now: datetime) -> list[Delivery]:
        """What is sent next: of each lane as much as may be under way at a time; one where the last one failed."""
        ledger = self.book.ledger
        stopped: set[str] = set()
        due = (delivery for delivery in self._heads(now, stopped) if self._due(delivery, now) <= now)
        held = ledger.hold is not None
        # Routes have credentials of their own, so each of them is tried before it is said that none works.
        by_lane = ledger.hold is not None and ledger.hold.settings
        if (held or ledger.failures) and not by_lane:
            return list(islice(due, 1))
        most = _IN_ORDER if self._settings.ordered else self._settings.concurrency * _PER_WORKER
        lanes: dict[str, list[Delivery]] = {}
        for delivery in due:
            chosen = lanes.setdefault(delivery.lane, [])
            chosen.append(delivery)
            if len(chosen) >= (1 if held or delivery.lane in ledger.pauses else most):
                stopped.add(delivery.lane)
        # By turns, live events first, so that a backfill that fills whole groups keeps none of them waiting.
        turns = zip_longest(*(lanes[lane] for lane in sorted(lanes, key=_is_backfill)))
        return [delivery for turn in turns for delivery in turn if delivery is not None]

    def _heads(self, now: datetime, stopped: set[str]) -> Iterator[Delivery]:
        """Yield what waits for nothing but its own time: of an ordered lane, nothing behind what has to wait.

        Nothing more comes of a lane that is ``stopped``, by this or by whoever has enough of it.
        """
        for delivery in self.book.ledger.sendable():
            if delivery.lane in stopped:
                continue
            yield delivery
            alone = delivery.key.count == 1 and delivery.attempts >= _PASSED_AFTER
            if self._settings.ordered and self._due(delivery, now) > now and not alone:
                stopped.add(delivery.lane)

    def _due(self, delivery: Delivery, now: datetime) -> datetime:
        """When a batch may be sent, whatever is with the destination as a whole."""
        pause = self.book.ledger.pauses.get(delivery.lane)
        return max(now, delivery.until or now, pause.until if pause else now)

    def _load(self, chosen: Sequence[Delivery], now: datetime) -> list[tuple[Delivery, Loaded]]:
        """Make the requests, as many as fit into memory; what can't be made is blocked, and the others go on."""
        group: list[tuple[Delivery, Loaded]] = []
        lost: list[Move] = []
        size = 0
        for delivery in chosen:
            try:
                loaded = self._loader.load(delivery, now)
            except LumiError as error:
                lost.append(Move(Do.BLOCK, now, delivery.key, detail=str(error)[:500]))
                continue
            group.append((delivery, loaded))
            size += len(loaded.outgoing.body)
            if size > _GROUP_BYTES:
                break
        self._write(lost)
        return group

    def _send(self, group: Sequence[tuple[Delivery, Loaded]]) -> list[tuple[Delivery, Loaded, Outcome | None]]:
        """Send a group; of an ordered lane one after the other, and nothing behind what did not arrive."""
        failed: set[str] = set()

        def send(item: tuple[Delivery, Loaded]) -> Outcome | None:
            delivery, loaded = item
            if delivery.lane in failed:
                return None
            try:
                self._lease.assure(timedelta(seconds=2 * self._settings.timeout))
            except LeaseHeld as held:
                # What was sent under the lease is still written down before the run ends.
                self._lost = held
                return None
            outcome = self._destination.send(loaded.outgoing)
            if self._settings.ordered and outcome.result is not outcome.result.DELIVERED:
                failed.add(delivery.lane)
            return outcome

        workers = 1 if self._settings.ordered else self._settings.concurrency
        with ThreadPoolExecutor(workers) as pool:
            outcomes = list(pool.map(send, group))
        return [(delivery, loaded, outcome) for (delivery, loaded), outcome in zip(group, outcomes, strict=True)]

    def _settle(self, settled: Settled) -> None:
        self._write(settled.moves, settled.receipts)
        if any(move.do is Do.ACCEPT for move in settled.moves):
            self._promised = self._clock() + _ACK_WAIT
            self.latest = time.monotonic() + _ACK_WAIT.total_seconds() + _SLICE
        for loaded, duplicates in settled.delivered:
            self.report.batches += 1
            self.report.events += loaded.outgoing.count
            self.report.duplicates += loaded.outgoing.count if duplicates else 0
            self.report.days[loaded.outgoing.day] += loaded.outgoing.count
        self.report.quarantined += settled.quarantined

    def _write(self, moves: Sequence[Move], written: Sequence[dict[str, Json]] = ()) -> None:
        self.book.write(moves, written, self._clock(), self._lease.holder)


def _is_backfill(lane: str) -> bool:
    return not lane.startswith(f"{LIVE}/")
