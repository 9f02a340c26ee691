"""Two deliverers at once: one sends, the other says that it does, whatever the order of their steps."""

from collections.abc import Callable
from datetime import timedelta
from random import Random
from threading import Lock

import pytest

from lumi_pipeline.errors import LeaseHeld
from lumi_pipeline.siem.deliver import LEASE_LENGTH
from lumi_pipeline.siem.lease import SKEW
from lumi_pipeline.siem.ledger import State
from tests.crashing import Killed
from tests.interleaving import Kill, Step, interleave, operations_of
from tests.lake.test_race import Serial
from tests.lake.world import Clock, at
from tests.siem.shipping import Shipping, Siem, copied, down, settings, taken
from transparency.memorystore import MemoryStore
from transparency.store import ObjectStore

ENOUGH = 1000


class Race:
    """Deliverers of one destination. Beginning and ending to send are steps, too, and no two do it at the same time."""

    def __init__(self, planned: MemoryStore, **options: object) -> None:
        self.shipping = Shipping(copied(planned), Clock(at(0, "13:00:00")), settings(**options))
        self._sending: set[int] = set()
        self._lock = Lock()

    def deliver(self, number: int) -> Callable[[ObjectStore], object]:
        """A run that works on the store it is given."""

        def run(store: ObjectStore) -> object:
            serial = Serial(store)
            siem = Siem(self.shipping.siem.script, arrived=self.shipping.siem.arrived)
            siem.moment = lambda moment: self._moment(number, moment, serial)
            siem.requests = self.shipping.siem.requests
            mine = Shipping(self.shipping.store, self.shipping.clock, self.shipping.settings, siem)
            return mine.deliverer(serial).run()

        return run

    def _moment(self, number: int, moment: str, store: ObjectStore) -> None:
        with self._lock:
            if moment == "begin":
                assert self._sending <= {number}, "two deliverers send at the same time"
                self._sending.add(number)
        list(store.list("nothing/"))  # so that this waits for the run's turn
        with self._lock:
            if moment == "end":
                self._sending.discard(number)

    def play(self, schedule: list[Step]) -> list[str]:
        outcomes = interleave(self.shipping.store, [self.deliver(0), self.deliver(1)], schedule)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, LeaseHeld | Killed):
                raise outcome
        return [type(outcome).__name__ for outcome in outcomes]


def test_a_deliverer_is_overtaken_at_every_operation(planned: MemoryStore) -> None:
    """Exactly one of them delivers, as long as nobody dies; each event arrives once."""
    alone = Race(planned, ordered=True)
    ends = set()
    for pause in range(operations_of(alone.deliver(0), alone.shipping.store) + 1):
        race = Race(planned, ordered=True)
        end, other = race.play([0] * pause + [1] * ENOUGH)
        ends.add((end, other))
        race.shipping.check_settled()
        assert set(race.shipping.siem.counts.values()) == {1}
    assert ends == {("LeaseHeld", "DeliveryReport"), ("DeliveryReport", "LeaseHeld"), ("DeliveryReport",) * 2}


@pytest.mark.parametrize("seed", range(10))
def test_deliverers_take_turns_at_random_and_one_may_be_killed(planned: MemoryStore, seed: int) -> None:
    random = Random(seed)
    race = Race(planned, concurrency=2)
    schedule: list[Step] = []
    for _ in range(random.randrange(2, 20)):
        schedule += [random.randrange(2)] * random.randrange(1, 10)
    if seed % 2 == 0:
        schedule.append(Kill(random.randrange(2)))
    race.play(schedule)
    race.shipping.clock.now += LEASE_LENGTH + SKEW
    race.shipping.run(timedelta(hours=1))
    race.shipping.check_settled()


def test_a_lease_that_runs_out_while_sending_ends_the_run_and_nothing_is_lost(shipping: Shipping) -> None:
    """The machine was asleep, say. What was sent is written down, and nothing more is begun."""
    shipping.settings = settings(ordered=True)

    def moment(name: str) -> None:
        if name == "end" and len(shipping.siem.requests) == 2:
            shipping.clock.now += timedelta(hours=1)

    shipping.siem.moment = moment
    with pytest.raises(LeaseHeld, match="run again"):
        shipping.run()
    assert len(shipping.siem.requests) == 2
    assert {d.state for d in shipping.ledger.open.values()} == {State.PLANNED}
    shipping.run()
    shipping.check_settled()
    assert set(shipping.siem.counts.values()) == {1}


def test_a_deliverer_that_was_followed_while_sending_writes_nothing(planned: MemoryStore) -> None:
    """Its clock stands still, so it goes on; the one that followed took all that was begun for possible duplicates."""
    slow = Shipping(copied(planned), Clock(at(0, "13:00:00")), settings(ordered=True))
    fast = Shipping(slow.store, Clock(at(0, "13:00:00") + LEASE_LENGTH + SKEW), slow.settings)
    fast.siem.arrived = slow.siem.arrived
    follow = [fast.run]

    def moment(name: str) -> None:
        if name == "end" and follow:
            follow.pop()()

    slow.siem.moment = moment
    with pytest.raises(LeaseHeld, match="another process delivers to it meanwhile"):
        slow.run()
    fast.check_settled()
    assert set(fast.siem.counts.values()) == {2}


def test_the_lease_is_kept_while_a_run_waits(shipping: Shipping) -> None:
    """Another process that looks in between is told, however long the destination is down."""
    shipping.siem.script = lambda _: down(429, retry_after=3600.0) if len(shipping.siem.requests) < 9 else taken()
    refused = []
    sleep = shipping.sleep

    def look(seconds: float) -> None:
        sleep(seconds)
        with pytest.raises(LeaseHeld):
            shipping.run()
        refused.append(seconds)

    shipping.deliverer().run()
    deliverer = shipping.deliverer()
    deliverer._sleep = look
    deliverer.run(timedelta(hours=6))
    assert len(refused) > 100
    shipping.check_settled()


def test_a_destination_that_is_broken_does_not_stop_another(shipping: Shipping, planned: MemoryStore) -> None:
    """Each has a ledger and a lease of its own, in one lake."""
    other = Shipping(shipping.store, shipping.clock, settings(name="other"))
    for key in planned.list("siem/siem/plans/"):
        shipping.store.put_new(key.replace("siem/siem/", "siem/other/"), planned.get(key))
    shipping.settings = settings(ordered=True)
    shipping.siem.script = lambda _: down()
    shipping.siem.moment = lambda moment: None if other.siem.arrived or moment == "end" else run_other()

    def run_other() -> None:
        """While the broken one is being sent to."""
        other.run()
        other.check_settled()

    shipping.run()
    assert len(other.siem.arrived) == 22
    assert (shipping.siem.arrived, shipping.ledger.failures) == ([], 1)
