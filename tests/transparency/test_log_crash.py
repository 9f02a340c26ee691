"""A log is killed at each of its durable writes, and raced against itself in every order: nothing is ever lost,
half-done for good, or signed twice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.stores.s3 import S3Store
from tests.crashing import CrashingStore, Killed, crashes, writes_of
from tests.interleaving import Kill, Step, interleave, operations_of
from tests.lake import places
from tests.logs import RecordingKey, entries, root_of, snapshot
from transparency.checkpoint import parse_signed_checkpoint
from transparency.errors import ConcurrentAppend
from transparency.filestore import FileStore
from transparency.log import Log
from transparency.logview import LogState, LogView
from transparency.memorystore import MemoryStore
from transparency.note import Note, Signature, format_note, parse_note
from transparency.store import ObjectStore

BEFORE = 254
AFTER = 258
"""The append under test fills a tile of hashes and a bundle, and begins the next ones."""


def begin(store: ObjectStore) -> None:
    """What is there before: a log with a genesis and some entries."""
    Log(store, [RecordingKey()]).append(entries(1))
    Log(store, [RecordingKey()]).append(entries(BEFORE - 1, 1))


def begun() -> ObjectStore:
    store = MemoryStore()
    begin(store)
    return store


def carry_on(store: ObjectStore, size: int = AFTER) -> LogState:
    """What a scheduled run does: look at how far the log is, and append what is missing up to ``size``."""
    log = Log(store, [RecordingKey()])
    old = log.recover().committed_size
    return log.append(entries(size - old, old), old_size=old)


def undisturbed(start: Callable[[], ObjectStore] = begun) -> dict[str, bytes]:
    store = start()
    carry_on(store)
    return snapshot(store)


@pytest.fixture(params=["memory", "file", pytest.param("s3", marks=pytest.mark.slow)])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], ObjectStore]:
    numbers = count()
    if request.param == "memory":
        return MemoryStore
    if request.param == "file":
        return lambda: FileStore(tmp_path / str(next(numbers)))
    s3 = request.getfixturevalue("s3")
    store: S3Store = s3.store()
    return lambda: replace(store, prefix=f"{next(numbers)}/")


def test_the_writes_and_their_order_are_those_that_were_thought_through() -> None:
    """A new write has to be thought through as well: what does a crash before and after it leave?"""
    staging = f"log-private/staging/{BEFORE:012}-{root_of(AFTER).hex()}"
    assert [str(write) for write in writes_of(carry_on, begun())] == [
        f"put_new {staging}",
        f"put_new log-private/commits/{BEFORE:012}",
        "put_new log/tile/entries/000",
        "put_new log/tile/entries/001.p/2",
        "put_new log/tile/0/000",
        "put_new log/tile/0/001.p/2",
        "put_new log/tile/1/000.p/1",
        f"put_new log-private/cosigned/{AFTER:012}",
        "put log/checkpoint",
        f"delete {staging}",
    ]
    assert str(writes_of(carry_on, MemoryStore())[0]) == "put_new log/log.vkey"


@pytest.mark.parametrize("first", [True, False], ids=["first-append", "later-append"])
def test_killed_at_any_write_the_next_run_makes_the_same_bytes(
    make_store: Callable[[], ObjectStore], *, first: bool
) -> None:
    def start() -> ObjectStore:
        store = make_store()
        if not first:
            begin(store)
        return store

    expected = undisturbed(start)
    for crash in crashes(carry_on, start):
        assert_public_part_is_true(crash.store)
        state = carry_on(crash.store)
        assert state == LogState(AFTER, root_of(AFTER), AFTER), crash.moment
        assert snapshot(crash.store) == expected, crash.moment


def test_killed_again_and_again_at_any_write_the_last_run_makes_the_same_bytes() -> None:
    expected = undisturbed()
    for first in crashes(carry_on, begun):
        left = snapshot(first.store)
        for second in crashes_from(left):
            assert_public_part_is_true(second)
            carry_on(second)
            assert snapshot(second) == expected, first.moment


def crashes_from(objects: dict[str, bytes]) -> Iterator[ObjectStore]:
    if writes_of(carry_on, copy_of(objects)):
        yield from (crash.store for crash in crashes(carry_on, lambda: copy_of(objects)))


def test_after_a_crash_recovering_alone_completes_what_was_committed() -> None:
    for crash in crashes(carry_on, begun):
        committed = LogView(crash.store).state().committed_size
        assert committed in {BEFORE, AFTER}
        state = Log(crash.store, [RecordingKey()]).recover()
        assert state == LogState(committed, root_of(committed), committed)
        assert_public_part_is_true(crash.store)


def test_a_killed_run_and_its_successor_sign_one_root_for_a_size() -> None:
    """Also when the successor has other entries: what was committed before the crash goes first."""
    for crash in crashes(carry_on, begun):
        key = RecordingKey()
        log = Log(crash.store, [key])
        log.append([b"other"])
        roots = {text.split("\n")[1]: text.split("\n")[2] for text in key.signed}
        kept = sizes_and_roots(crash.store)
        assert all(kept[int(size)] == root for size, root in roots.items())
        assert log.state().committed_size in {BEFORE + 1, AFTER + 1}
        assert not list(crash.store.list("log-private/staging/"))


def test_cosignatures_that_were_kept_before_a_crash_are_those_that_are_published() -> None:
    """A witness signs the time too, so a second cosigning would give other bytes."""
    clock = count()

    def run(store: ObjectStore) -> LogState:
        log = Log(store, [RecordingKey()], cosign=lambda data: with_line(data, b"at time %d" % next(clock)))
        old = log.recover().committed_size
        return log.append(entries(AFTER - old, old), old_size=old)

    for crash in crashes(run, begun):
        kept = dict(snapshot(crash.store)).get(f"log-private/cosigned/{AFTER:012}")
        run(crash.store)
        published = crash.store.get("log/checkpoint")
        assert published == crash.store.get(f"log-private/cosigned/{AFTER:012}")
        assert kept in {None, published}


def assert_public_part_is_true(store: ObjectStore) -> None:
    """At any moment readers find a whole, signed log behind whatever checkpoint is public."""
    view = LogView(store)
    public = view.checkpoint()
    if public is None:
        return
    checkpoint = parse_signed_checkpoint(public).checkpoint
    everything = list(view.tiles(checkpoint.size, checkpoint.root).read_entries(0, checkpoint.size))
    assert len(everything) == checkpoint.size
    assert store.get(f"log-private/cosigned/{checkpoint.size:012}") == public


def sizes_and_roots(store: ObjectStore) -> dict[int, str]:
    kept = [store.get(key).decode().split("\n") for key in store.list("log-private/cosigned/")]
    return {int(lines[1]): lines[2] for lines in kept}


# Two runs at once. Each appends its own entries to the log as it finds it.


class Race:
    """A log, and runs that append to it at the same time; afterwards, all that must hold whatever happened."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        Log(self.store, [RecordingKey()]).append(entries(1))
        self.keys = [RecordingKey(), RecordingKey()]

    def runs(self) -> list[Callable[[ObjectStore], object]]:
        return [
            lambda store: Log(store, [self.keys[0]]).append([b"from run 0"]),
            lambda store: Log(store, [self.keys[1]]).append([b"from run 1", b"also from run 1"]),
        ]

    def play(self, schedule: Sequence[Step]) -> list[object]:
        outcomes = interleave(self.store, self.runs(), schedule)
        for outcome in outcomes:
            assert isinstance(outcome, LogState | ConcurrentAppend | Killed), repr(outcome)
        return outcomes

    def check(self, outcomes: list[object]) -> None:
        """Nothing was signed twice; what succeeded is there, what lost is not; the newest is public; no trace is left.

        And all bytes are those of a log to which the same was appended in peace.
        """
        signed: dict[str, set[str]] = {}
        for text in (text for key in self.keys for text in key.signed):
            signed.setdefault(text.split("\n")[1], set()).add(text)
        assert all(len(texts) == 1 for texts in signed.values())

        state = LogView(self.store).state()
        assert state.published_size == state.committed_size
        assert_public_part_is_true(self.store)
        everything = list(
            LogView(self.store).tiles(state.committed_size, state.root).read_entries(1, state.committed_size)
        )
        appended = {0: [b"from run 0"], 1: [b"from run 1", b"also from run 1"]}
        order = [0, 1] if everything[:1] == appended[0] else [1, 0]
        order = [run for run in order if appended[run][0] in everything]
        for run, outcome in enumerate(outcomes):
            if isinstance(outcome, LogState):
                assert run in order
            elif isinstance(outcome, ConcurrentAppend):
                assert order == [1 - run]

        peaceful = MemoryStore()
        Log(peaceful, [RecordingKey()]).append(entries(1))
        for run in order:
            Log(peaceful, [RecordingKey()]).append(appended[run])
        found = snapshot(self.store)
        staging = [key for key in found if key.startswith("log-private/staging/")]
        for key in staging:  # only of a run that was killed before it could commit
            assert any(isinstance(outcome, Killed) for outcome in outcomes)
            assert key.startswith(f"log-private/staging/{state.committed_size:012}-")
            del found[key]
        assert found == snapshot(peaceful)


ALONE = [operations_of(run, Race().store) for run in Race().runs()]
"""How many operations on the store each run does when nobody is in its way."""
ENOUGH = 2 * max(ALONE)
"""More steps than a run takes even if it first completes what the other one left."""


def test_the_races_are_long_enough_to_be_interesting() -> None:
    assert min(ALONE) > 15


@pytest.mark.parametrize("runs", [(0, 1), (1, 0)])
def test_a_run_is_overtaken_at_every_operation(runs: tuple[int, int]) -> None:
    slow, fast = runs
    for steps in range(ALONE[slow] + 1):
        race = Race()
        race.check(race.play([slow] * steps + [fast] * ENOUGH))


PAIRS = list(product(range(ALONE[0] + 1), range(ENOUGH)))
"""Every pair of operations of the two runs; one in seven of them, spread evenly, for the quick tests."""
SOME_PAIRS = [(first, second) for first, second in PAIRS if (first + second) % 7 == 0]


def many_pairs() -> list[tuple[int, int]]:
    """All of them with --thorough, else one in three."""
    return PAIRS if places.thorough else [(first, second) for first, second in PAIRS if (first + second) % 3 == 0]


def pause_both(pairs: list[tuple[int, int]]) -> None:
    """Run 0 pauses for run 1, which pauses for run 0 to end."""
    seen = set()
    for first, second in pairs:
        race = Race()
        outcomes = race.play([0] * first + [1] * second)
        race.check(outcomes)
        seen.add(tuple(type(outcome) for outcome in outcomes))
    # Both can get their entries in, one after the other, and each can lose.
    assert seen == {(LogState, LogState), (LogState, ConcurrentAppend), (ConcurrentAppend, LogState)}


def kill_one(pairs: list[tuple[int, int]]) -> None:
    """Run 0 pauses for run 1, which pauses; then run 0 is killed, or it ends and run 1 is killed."""
    ends: list[list[Step]] = [[Kill(0)], [*[0] * ENOUGH, Kill(1)]]
    for (first, second), end in product(pairs, ends):
        race = Race()
        outcomes = race.play([0] * first + [1] * second + end)
        assert_public_part_is_true(race.store)
        Log(race.store, [race.keys[1]]).recover()
        race.check(outcomes)


def test_each_run_pauses_at_some_operations_of_the_other() -> None:
    pause_both(SOME_PAIRS)


def test_a_run_is_killed_at_some_operations_while_another_is_at_some() -> None:
    kill_one(SOME_PAIRS)


@pytest.mark.slow
def test_each_run_pauses_at_many_operations_of_the_other() -> None:
    pause_both(many_pairs())


@pytest.mark.slow
def test_a_run_is_killed_at_many_operations_while_another_is_at_many() -> None:
    kill_one(many_pairs())


@settings(max_examples=60)
@given(st.lists(st.integers(0, 1) | st.sampled_from([Kill(0), Kill(1)]), max_size=2 * ENOUGH))
def test_runs_in_any_order_killed_at_any_time(schedule: list[Step]) -> None:
    race = Race()
    outcomes = race.play(schedule)
    assert_public_part_is_true(race.store)
    Log(race.store, [RecordingKey()]).recover()
    race.check(outcomes)


class WatchedStore(MemoryStore):
    """Remembers everything that was ever public as the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.published: set[bytes] = set()

    def put(self, key: str, data: bytes) -> None:
        super().put(key, data)
        self.published.add(data)


def test_two_runs_that_cosign_the_same_checkpoint_publish_one_of_the_two_only() -> None:
    """Each asks the witnesses, and gets other bytes; what was public once for a size stays."""

    def recovering(name: bytes) -> Callable[[ObjectStore], object]:
        return lambda store: Log(store, [RecordingKey()], cosign=lambda data: with_line(data, name)).recover()

    runs = [recovering(b"run 0"), recovering(b"run 1")]
    unfinished = [crash for crash in crashes(carry_on, MemoryStore) if "after write 2" in crash.moment]
    left = snapshot(unfinished[0].store)
    assert LogView(unfinished[0].store).state() == LogState(AFTER, root_of(AFTER), 0)
    winners = set()
    for first, second in product(range(operations_of(runs[0], copy_of(left)) + 1), range(0, ENOUGH, 4)):
        store = WatchedStore()
        for key, data in left.items():
            store.put_new(key, data)
        outcomes = interleave(store, runs, [0] * first + [1] * second)
        assert outcomes == [LogState(AFTER, root_of(AFTER), AFTER)] * 2
        [published] = store.published
        assert store.get(f"log-private/cosigned/{AFTER:012}") == store.get("log/checkpoint") == published
        winners.add(parse_note(published).signatures[-1].signature)
    assert winners == {b"run 0", b"run 1"}


def with_line(checkpoint: bytes, signature: bytes) -> bytes:
    note = parse_note(checkpoint)
    return format_note(Note(note.text, (*note.signatures, Signature("witness", b"\x00" * 4, signature))))


def copy_of(objects: dict[str, bytes]) -> ObjectStore:
    store = MemoryStore()
    for key, data in objects.items():
        store.put_new(key, data)
    return store


def test_a_slow_run_does_not_leave_an_older_checkpoint() -> None:
    """It stands before putting its checkpoint while another run appends more and publishes that."""
    race = Race()
    checkpoint_put = next(steps for steps in count() if "put log/checkpoint" in writes_after(steps))
    outcomes = race.play([0] * (checkpoint_put - 1) + [1] * ENOUGH)
    assert all(isinstance(outcome, LogState) for outcome in outcomes)
    assert LogView(race.store).state() == LogState(4, LogView(race.store).state().root, 4)


def writes_after(steps: int) -> list[str]:
    """The writes that run 0 has done after that many operations, when it dies."""
    race = Race()
    counting = CrashingStore(race.store)
    interleave(counting, race.runs()[:1], [0] * steps + [Kill(0)])
    return [str(write) for write in counting.writes]
