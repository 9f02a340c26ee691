"""The lease: whatever happens to a holder, no two think that they hold it, and a dead one is followed."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from subprocess import PIPE

import pytest

from lumi_pipeline.errors import LeaseHeld
from lumi_pipeline.sealedjson import encode_sealed
from lumi_pipeline.siem.lease import LEASE_FORMAT, SKEW, Lease, current_holder
from lumi_pipeline.siem.processes import for_people, has_ended, this_process
from tests.interleaving import interleave, operations_of
from tests.lake.world import Clock, at
from tests.siem.shipping import lake_of
from transparency.encoding import Json, format_timestamp
from transparency.memorystore import MemoryStore
from transparency.store import ObjectStore

LENGTH = timedelta(seconds=90)
SECOND = timedelta(seconds=1)
REQUEST = timedelta(seconds=30)


def lease(store: ObjectStore, clock: Clock) -> Lease:
    return Lease(lake_of(store), "siem", clock, LENGTH)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> Clock:
    return Clock(at(0))


def test_nobody_gets_it_while_it_is_held(store: MemoryStore, clock: Clock) -> None:
    with lease(store, clock):
        with pytest.raises(LeaseHeld, match=r"process \d+ on .* delivers to it right now, and holds it until 2024"):
            lease(store, clock).__enter__()
        clock.now += LENGTH
        with pytest.raises(LeaseHeld):
            lease(store, clock).__enter__()


def test_whoever_comes_next_has_it_at_once_after_it_was_released(store: MemoryStore, clock: Clock) -> None:
    with lease(store, clock):
        pass
    with lease(store, clock) as held:
        found = current_holder(lake_of(store), "siem")
        assert found is not None
        assert (found.holder, found.until) == (held.holder, clock.now + LENGTH)


def test_it_is_released_when_the_run_fails(store: MemoryStore, clock: Clock) -> None:
    with pytest.raises(RuntimeError), lease(store, clock):
        raise RuntimeError
    with lease(store, clock):
        pass


def test_a_dead_holder_is_followed_once_its_time_and_the_skew_are_over(store: MemoryStore, clock: Clock) -> None:
    lease(store, clock).__enter__()  # and then it dies
    clock.now += LENGTH + SKEW - timedelta(microseconds=1)
    with pytest.raises(LeaseHeld):
        lease(store, clock).__enter__()
    clock.now += timedelta(microseconds=1)
    with lease(store, clock):
        pass


def test_it_is_renewed_as_long_as_requests_are_begun(store: MemoryStore, clock: Clock) -> None:
    with lease(store, clock) as held:
        for _ in range(50):
            held.assure(REQUEST)
            clock.now += REQUEST
            with pytest.raises(LeaseHeld):
                lease(store, clock).__enter__()
    assert len(list(store.list(""))) <= 2, "what is over is removed"


def test_it_is_long_enough_for_long_requests(store: MemoryStore, clock: Clock) -> None:
    with lease(store, clock) as held:
        held.assure(timedelta(minutes=20))
        clock.now += timedelta(minutes=20)
        with pytest.raises(LeaseHeld):
            lease(store, clock).__enter__()


def test_a_holder_that_slept_too_long_begins_nothing(store: MemoryStore, clock: Clock) -> None:
    with lease(store, clock) as held:
        clock.now += LENGTH + SECOND
        with pytest.raises(LeaseHeld, match="ran out before it was renewed; run again"):
            held.assure(REQUEST)


def test_a_holder_that_was_followed_begins_nothing_and_takes_nothing_back(store: MemoryStore, clock: Clock) -> None:
    slow = lease(store, Clock(clock.now))  # its clock stands still
    with slow:
        clock.now += LENGTH + SKEW
        with lease(store, clock) as fast:
            for renewals in range(5):
                with pytest.raises(LeaseHeld):
                    slow.assure(LENGTH)
                clock.now += LENGTH - SECOND
                fast.assure(REQUEST)
                found = current_holder(lake_of(store), "siem")
                assert found is not None
                assert found.holder == fast.holder, renewals
            slow.__exit__()
            with pytest.raises(LeaseHeld):
                lease(store, clock).__enter__()


@pytest.mark.parametrize("behind", [-SKEW, timedelta(0), SKEW])
def test_clocks_may_differ(store: MemoryStore, clock: Clock, behind: timedelta) -> None:
    """When another may take it, by its clock, the holder knows by its own that it may begin nothing."""
    other = Clock(clock.now - behind)
    with lease(store, clock) as held:
        while True:
            try:
                lease(store, other).__enter__()
            except LeaseHeld:
                clock.now += SECOND
                other.now += SECOND
            else:
                break
        with pytest.raises(LeaseHeld):
            held.assure(timedelta(0))


@pytest.mark.parametrize("deaths", [0, 3])
def test_of_two_that_take_it_at_once_one_has_it(clock: Clock, deaths: int) -> None:
    """Also after holders that died, and whichever of its operations the first is stopped before."""

    def begin() -> MemoryStore:
        store = MemoryStore()
        for death in range(deaths):
            lease(store, Clock(at(0) - timedelta(days=9 - death))).__enter__()
        return store

    for pause in range(operations_of(take(clock), begin()) + 1):
        outcomes = interleave(begin(), [take(clock), take(clock)], [0] * pause + [1] * 100)
        assert [outcome is None for outcome in outcomes].count(True) == 1
        assert all(outcome is None or isinstance(outcome, LeaseHeld) for outcome in outcomes)


@pytest.mark.parametrize("renewals", range(5))
def test_whoever_takes_it_may_be_stopped_while_another_takes_and_renews_it(clock: Clock, renewals: int) -> None:
    """Old entries are removed, and a removed one must not be taken for the next."""

    def take_and_renew(store: ObjectStore) -> None:
        held = lease(store, clock)
        held.__enter__()
        for number in range(renewals):
            held.assure(timedelta(minutes=10 * (number + 1)))

    for pause in range(operations_of(take(clock), MemoryStore()) + 1):
        outcomes = interleave(MemoryStore(), [take(clock), take_and_renew], [0] * pause + [1] * 100)
        assert [outcome is None for outcome in outcomes].count(True) == 1


def take(clock: Clock) -> Callable[[ObjectStore], None]:
    """A process that takes the lease, and then is heard of no more."""
    return lambda store: (lease(store, clock).__enter__(), None)[1]


def test_a_clock_that_is_set_back_does_not_keep_others_out_for_as_long(store: MemoryStore, clock: Clock) -> None:
    first = lease(store, clock).__enter__()
    clock.now -= timedelta(minutes=30)
    with pytest.raises(LeaseHeld):
        lease(store, clock).__enter__()
    clock.now -= timedelta(days=1)
    with lease(store, clock), pytest.raises(LeaseHeld):
        first.assure(timedelta(days=2))


def held_by(where: str, clock: Clock) -> bytes:
    """The lease as another process writes it."""
    fields: dict[str, Json] = {"holder": "1", "until": format_timestamp(clock.now + LENGTH), "where": where}
    return encode_sealed(LEASE_FORMAT, fields)


def test_who_sends_nothing_follows_a_killed_process_at_once(store: MemoryStore, clock: Clock) -> None:
    program = "from lumi_pipeline.siem.processes import this_process; print(this_process('here'), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=PIPE, stdout=PIPE, text=True) as other:
        assert other.stdout is not None
        where = other.stdout.readline().strip()
        store.put_new("siem/siem/lease/000000000000.json", held_by(where, clock))
        with pytest.raises(LeaseHeld, match=rf"siem: process {other.pid} on here delivers to it"):
            Lease(lake_of(store), "siem", clock, LENGTH, follow_ended=True).__enter__()
        other.kill()
    with pytest.raises(LeaseHeld):  # what it sent last may still arrive, before what we would send
        lease(store, clock).__enter__()
    with Lease(lake_of(store), "siem", clock, LENGTH, follow_ended=True):
        pass


@pytest.mark.parametrize("altered", ["boot", "namespace", "nothing known", "started"])
def test_whether_another_machine_or_container_has_ended_nobody_knows(altered: str) -> None:
    """A number is of this machine and container alone; and one that was used again is another process."""
    here = this_process("here")
    assert not has_ended(here)
    name, known = here.removesuffix("]").split(" [")
    boot, namespace, started = known.split()
    name = name.replace(str(os.getpid()), "999999999")
    gone = f"{name} [{boot} {namespace} {started}]"
    assert has_ended(gone)
    other = {
        "boot": gone.replace(boot[:8], "00000000"),
        "namespace": gone.replace(f" {namespace} ", " 1 "),
        "nothing known": for_people(gone),
        "started": here.replace(f" {started}]", " 1]"),
    }[altered]
    assert has_ended(other) is (altered == "started")
