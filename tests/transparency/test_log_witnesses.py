"""A log that shows its checkpoints to a strict witness, overtaken at every operation by a run that does the same.

Neither may take the other for a forger, and no cosignature is lost.
"""

from collections.abc import Callable
from itertools import count, product

import pytest

from tests.crashing import crashes, writes_of
from tests.interleaving import interleave, operations_of
from tests.logs import ORIGIN, RecordingKey, entries, root_of, snapshot
from tests.transparency.fakes.witness import Refused
from tests.transparency.fakes.witness import Witness as Strict
from transparency.checkpoint import parse_signed_checkpoint
from transparency.cosignature import cosignature_time
from transparency.errors import ConcurrentAppend, LogError, WitnessError
from transparency.keys import VerifierKey
from transparency.log import Log
from transparency.logview import LogState, LogView
from transparency.memorystore import MemoryStore
from transparency.policy import Witness
from transparency.store import ObjectStore
from transparency.witness import Answer, ask, fresher

NOW = 1_800_000_000
ENOUGH = 1000


class Scene:
    """A log of two entries, and a witness that has seen it; its clock goes on by a second with each cosignature."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        clock = count(NOW)
        self.strict = Strict("witness.example.org/w1", b"w" * 32, lambda: next(clock), {ORIGIN: [KEY.vkey]})
        self.log(self.store).append(entries(2))

    def log(self, store: ObjectStore) -> Log:
        witness = Witness("w1", VerifierKey.parse(self.strict.vkey))

        def post(body: bytes) -> Answer:
            try:
                return Answer(200, "text/plain", self.strict.add_checkpoint(body))
            except Refused as refused:
                return Answer(refused.status, refused.kind, refused.body)

        def cosign(data: bytes) -> bytes:
            signed = parse_signed_checkpoint(data)
            tree = LogView(store).tiles(signed.checkpoint.size, signed.checkpoint.root)
            return fresher(signed, [ask(witness, signed, tree, known=0, post=post, now=NOW)])

        return Log(store, [RecordingKey()], cosign=cosign)

    def times(self) -> dict[str, int]:
        """When the witness signed each kept checkpoint, and the public one."""
        return {
            key: cosignature_time(parse_signed_checkpoint(data).note.signatures[1])
            for key, data in snapshot(self.store).items()
            if "/checkpoint" in key or "cosigned/" in key or "refreshed/" in key
        }


KEY = RecordingKey().verifier


def append(scene: Scene) -> Callable[[ObjectStore], object]:
    """Append what is missing up to four entries, and then up to six."""

    def run(store: ObjectStore) -> LogState:
        log = scene.log(store)
        for size in (4, 6):
            old = log.recover().committed_size
            log.append(entries(size - old, old), old_size=old)
        return log.state()

    return run


def refresh(scene: Scene) -> Callable[[ObjectStore], object]:
    return lambda store: scene.log(store).refresh()


def test_a_run_that_is_overtaken_does_not_take_the_other_for_a_forger() -> None:
    ends = set()
    for pause in range(0, operations_of(append(Scene()), Scene().store), 2):
        scene = Scene()
        outcomes = interleave(scene.store, [append(scene), append(scene)], [0] * pause + [1] * ENOUGH)
        for outcome in outcomes:
            assert isinstance(outcome, LogState | ConcurrentAppend), repr(outcome)
            ends.add(type(outcome))
        assert scene.log(scene.store).recover() == LogState(6, root_of(6), 6)
        assert len(parse_signed_checkpoint(scene.store.get("log/checkpoint")).note.signatures) == 2
        assert scene.strict.suspicious == []
    assert ends == {LogState, ConcurrentAppend}


def test_a_submission_that_is_overtaken_by_an_append_says_so_or_is_of_no_consequence() -> None:
    ends = set()
    for pause in range(operations_of(refresh(Scene()), Scene().store) + 1):
        scene = Scene()
        refreshed, appended = interleave(scene.store, [refresh(scene), append(scene)], [0] * pause + [1] * ENOUGH)
        assert isinstance(refreshed, bytes | ConcurrentAppend), repr(refreshed)
        assert appended == LogState(6, root_of(6), 6)
        assert LogView(scene.store).state() == appended
        ends.add(type(refreshed))
    assert ends == {bytes, ConcurrentAppend}


def test_of_two_submissions_at_once_the_freshest_signature_is_public() -> None:
    operations = operations_of(refresh(Scene()), Scene().store)
    for first, second in product(range(0, operations + 1, 2), range(0, operations + 1, 3)):
        scene = Scene()
        outcomes = interleave(scene.store, [refresh(scene), refresh(scene)], [0] * first + [1] * second)
        assert all(isinstance(outcome, bytes) for outcome in outcomes), outcomes
        times = scene.times()
        first_time = times.pop("log-private/cosigned/000000000002")
        assert times.pop("log/checkpoint") == max(times.values()) == NOW + 2
        assert first_time == NOW
        assert sorted(times.values()) == list(times.values()), "each kept one is fresher than the one before"


def test_killed_while_refreshing_nothing_that_was_kept_is_lost() -> None:
    scenes: list[Scene] = []

    def start() -> ObjectStore:
        scenes.append(Scene())
        return scenes[-1].store

    def run(store: ObjectStore) -> object:
        scenes[-1].strict.clock = lambda: NOW + 60
        return scenes[-1].log(store).refresh()

    assert [str(write) for write in writes_of(run, start())] == [
        "put_new log-private/refreshed/000000000002/000000000001",
        "put log/checkpoint",
    ]
    for crash in crashes(run, start):
        kept = list(crash.store.list("log-private/refreshed/"))
        Log(crash.store, [RecordingKey()]).recover()
        public = parse_signed_checkpoint(crash.store.get("log/checkpoint")).note.signatures[1]
        assert cosignature_time(public) == (NOW + 60 if kept else NOW), crash.moment


def test_a_refusal_while_refreshing_changes_nothing() -> None:
    scene = Scene()
    before = snapshot(scene.store)
    scene.strict.logs.clear()
    with pytest.raises(WitnessError, match="does not know"):
        scene.log(scene.store).refresh()
    assert snapshot(scene.store) == before


def test_refreshing_may_replace_witnesses_signatures_and_nothing_else() -> None:
    scene = Scene()
    public = scene.store.get("log/checkpoint")
    for change in (
        lambda data: data.replace(b"\n2\n", b"\n3\n"),
        lambda data: data[: data.rindex("— witness".encode())],
        lambda data: data.replace("— log.example.com/test".encode(), "— log.example.com/else".encode()),
    ):
        assert change(public) != public
        with pytest.raises(LogError, match="another checkpoint than it was given"):
            Log(scene.store, [RecordingKey()], cosign=change).refresh()
    assert scene.store.get("log/checkpoint") == public


def test_without_a_checkpoint_or_a_witness_there_is_nothing_to_refresh() -> None:
    scene = Scene()
    with pytest.raises(LogError, match="no checkpoint yet"):
        scene.log(MemoryStore()).refresh()
    with pytest.raises(LogError, match="no witness"):
        Log(scene.store, [RecordingKey()]).refresh()
