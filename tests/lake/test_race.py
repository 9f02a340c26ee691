"""Two runs over one lake and one outbox, in every order: one wins and the other says so, or both do the same.

Whatever happened, no two roots are signed for one size, what is public is true, and the next run completes the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Lock

import pytest

from lumi_pipeline.errors import ConcurrentRun
from lumi_pipeline.keyring import Keyring
from lumi_pipeline.landing import LandingReport
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.publishing import PublishReport
from lumi_pipeline.rotation import Role
from lumi_pipeline.runreport import RunReport
from lumi_pipeline.sealing import SealReport
from lumi_pipeline.verdict import Status
from tests.crashing import Killed
from tests.interleaving import Kill, Step, interleave, operations_of
from tests.lake import places
from tests.lake.crashes import everything
from tests.lake.judging import judge
from tests.lake.places import NewPlace, sampled, tries_all
from tests.lake.world import ORIGIN, Clock, World, at, day
from tests.logs import RecordingKey
from transparency.checkpoint import parse_signed_checkpoint
from transparency.errors import ObjectMissing
from transparency.keys import SigningKey, VerifierKey
from transparency.store import ObjectStore
from transparency.verify import verify_log

Act = Callable[[Pipeline], object]


def land(pipeline: Pipeline) -> LandingReport:
    return pipeline.land()


def seal(pipeline: Pipeline) -> tuple[SealReport, ...]:
    return tuple(pipeline.seal([day(0), day(1)]))


def publish(pipeline: Pipeline) -> PublishReport:
    return pipeline.publish()


def run(pipeline: Pipeline) -> RunReport:
    return pipeline.run()


ACTS: dict[str, Act] = {"land": land, "seal": seal, "publish": publish, "run": run}


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a race takes place: two days that are over, of which a part is done, and perhaps a third that is not over.

    With an event of the third day, landed files stay; without, publishing clears away what the others are reading.
    """

    world: World
    act: Act


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> dict[tuple[str, str], Scene]:
    found = {}
    for third_day in ("third-day", "two-days"):
        directory = tmp_path_factory.mktemp(third_day)
        recorded = World.create(directory / "recorded", at(2, "00:20:00"), new_place)
        recorded.record_all([("acme", at(0, "09:00:00")), ("globex", at(0, "23:59:59.999999"))])
        recorded.record_all([("globex", at(1, "00:00:00"))])
        if third_day == "third-day":
            recorded.record_all([("acme", at(2, "00:01:00"))])
        landed = recorded.copy(directory / "landed")
        land(landed.pipeline())
        sealed = landed.copy(directory / "sealed")
        seal(sealed.pipeline())
        for name, world in {"land": recorded, "seal": landed, "publish": sealed, "run": recorded}.items():
            found[name, third_day] = Scene(world, ACTS[name])
    return found


class Race:
    """Runs over one lake and one outbox at the same time; afterwards, all that must hold whatever happened.

    With ``arrival``, an event is recorded when the second run begins, which so finds more than the first one did.
    """

    def __init__(self, scene: Scene, directory: Path, *, arrival: bool = False) -> None:
        self.world = scene.world.copy(directory)
        self.keys = [RecordingKey(ORIGIN), RecordingKey(ORIGIN)]
        self._acts = (scene.act, run)
        self._arrival = arrival

    def play(self, schedule: Sequence[Step]) -> list[str]:
        """Let the runs go on in this order; return how each ended: with a report, overtaken, or killed."""
        outcomes = interleave(self.world.store, [self.perform(0), self.perform(1)], schedule)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, ConcurrentRun | Killed):
                raise outcome
        self._check_public()
        return [type(outcome).__name__ for outcome in outcomes]

    def complete(self) -> None:
        """The next run completes what is left; then everything verifies, and there is nothing more to land."""
        run(self.world.pipeline())
        assert [verdict for verdict in judge(self.world) if verdict.status is not Status.VERIFIED] == []
        assert land(self.world.pipeline()).number is None

    def perform(self, number: int) -> Callable[[ObjectStore], object]:
        """Return a run that works on the store it is given."""

        def perform(store: ObjectStore) -> object:
            store = Serial(store)
            list(store.list("nothing/"))  # so that what follows waits for this run's turn as well
            if self._arrival and number == 1:
                self.world.record("globex", at(2, "00:05:00"))
            pipeline = self.world.pipeline(lambda _: store)
            pipeline.keyring = RecordingKeyring(pipeline, self.keys[number])
            return self._acts[number](pipeline)

        return perform

    def _check_public(self) -> None:
        """No two roots were signed for one size, and behind the public checkpoint there is a whole log."""
        signed: dict[str, set[str]] = {}
        for text in (text for key in self.keys for text in key.signed):
            signed.setdefault(text.split("\n")[1], set()).add(text)
        assert all(len(texts) == 1 for texts in signed.values())
        store = self.world.store
        try:
            verdict = verify_log(lambda path: store.get(f"log/{path}"), self.world.policy)
        except ObjectMissing:
            assert not list(store.list("log/checkpoint"))
        else:
            kept = store.get(f"log-private/cosigned/{verdict.checkpoint.size:012}")
            assert parse_signed_checkpoint(kept).checkpoint == verdict.checkpoint


class RecordingKeyring(Keyring):
    """The keys of a run, of which the log's notes what it signs."""

    def __init__(self, pipeline: Pipeline, key: RecordingKey) -> None:
        super().__init__(pipeline.config, pipeline.lake)
        self._key = key

    def find(self, role: Role, key: VerifierKey) -> SigningKey:
        return self._key if key == self._key.verifier else super().find(role, key)


class Serial:
    """A store that one thread uses at a time, so that a turn is one operation also where a run writes in parallel."""

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner
        self._lock = Lock()

    def get(self, key: str) -> bytes:
        with self._lock:
            return self._inner.get(key)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        with self._lock:
            return self._inner.list(prefix, start_after=start_after)

    def put_new(self, key: str, data: bytes) -> None:
        with self._lock:
            self._inner.put_new(key, data)

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            self._inner.put(key, data)

    def delete(self, key: str) -> None:
        with self._lock:
            self._inner.delete(key)


def operations(scene: Scene, directory: Path) -> int:
    """How many operations on the store a run does alone."""
    race = Race(scene, directory)
    return operations_of(race.perform(0), race.world.store)


ENOUGH = 1000
"""More operations than any of these runs does."""


def overtake(scene: Scene, directory: Path, *, arrival: bool) -> set[str]:
    """Pause the first run before each of its operations, while another does everything there is to do.

    Returns how the first run ended. Unless an event came in between, all ends up as if there had been one run.
    """
    alone = scene.world.copy(directory / "alone")
    run(alone.pipeline())
    expected = everything(alone)
    ends = set()
    pauses = sampled(range(operations(scene, directory / "counted") + 1), scene.world.place)
    # Whether an event came in between is the same question at each, so that some of them answer it.
    for pause in pauses[::-2] if arrival and not places.thorough else pauses:
        race = Race(scene, directory / str(pause), arrival=arrival)
        end, other = race.play([0] * pause + [1] * ENOUGH)
        assert other == "RunReport"
        ends.add(end)
        if arrival:
            race.complete()
        else:
            run(race.world.pipeline())
            assert everything(race.world) == expected
    return ends


THIRD_DAYS = ("third-day", "two-days")


@pytest.mark.parametrize("third_day", THIRD_DAYS)
def test_a_landing_is_overtaken_at_every_operation(
    scenes: dict[tuple[str, str], Scene], third_day: str, tmp_path: Path
) -> None:
    assert "LandingReport" in overtake(scenes["land", third_day], tmp_path, arrival=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["seal", "publish"])
def test_a_run_is_overtaken_at_every_operation(scenes: dict[tuple[str, str], Scene], name: str, tmp_path: Path) -> None:
    ends = overtake(scenes[name, "two-days"], tmp_path, arrival=False)
    assert len(ends) == 2, "whoever is overtaken must sometimes say so, and sometimes have done the same"
    assert "ConcurrentRun" in ends


@pytest.mark.slow
@pytest.mark.parametrize("name", ["land", "seal", "publish"])
def test_a_run_is_overtaken_at_every_operation_by_one_that_finds_another_event(
    scenes: dict[tuple[str, str], Scene], name: str, tmp_path: Path
) -> None:
    scene = scenes[name, "third-day"]
    ends = overtake(scene, tmp_path, arrival=True)
    # Some moments end one way and some the other; a sample of them need not have both.
    assert len(ends) == 2 or not tries_all(scene.world.place)
    assert "ConcurrentRun" in ends or not tries_all(scene.world.place)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_runs_take_turns_at_random_and_one_may_be_killed(
    scenes: dict[tuple[str, str], Scene], seed: int, tmp_path: Path
) -> None:
    random = Random(seed)
    schedule: list[Step] = []
    for _ in range(random.randrange(2, 20)):
        schedule += [random.randrange(2)] * random.randrange(1, 15)
    if seed % 3 == 0:
        schedule.append(Kill(random.randrange(2)))
    race = Race(scenes["run", THIRD_DAYS[seed % 2]], tmp_path / "race", arrival=bool(seed // 2 % 2))
    race.play(schedule)
    race.complete()


@pytest.mark.slow
def test_runs_whose_clocks_differ_agree_on_one_sealing_time(
    scenes: dict[tuple[str, str], Scene], tmp_path: Path
) -> None:
    """The day record holds that time, so here the slower of two runs cannot have done the same."""

    def seal_later(pipeline: Pipeline) -> tuple[SealReport, ...]:
        pipeline.clock = Clock(at(2, "00:20:01"))
        return seal(pipeline)

    scene = Scene(scenes["seal", "third-day"].world, seal_later)
    ends = []
    for pause in sampled(range(0, operations(scene, tmp_path / "counted"), 5), scene.world.place):
        race = Race(scene, tmp_path / str(pause))
        ends += race.play([0] * pause + [1] * ENOUGH)[:1]
        race.complete()
    assert set(ends) == {"tuple", "ConcurrentRun"}
