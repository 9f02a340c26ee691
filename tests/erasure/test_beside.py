"""Erasures beside other runs, and after runs that died: no copy is left behind that nobody knows of.

An erasure comes in before a durable write of another run, goes through to its end, and the other run goes on. What is
said to be erased then is nowhere; or somebody says that it is not finished, and what to do.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from lumi_pipeline.cli.history import judge_history
from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.erasure.holds import Holds
from lumi_pipeline.erasure.orders import read_orders
from lumi_pipeline.errors import ConcurrentRun, ErasureError
from lumi_pipeline.evidence.monthly import MonthlyEvidence
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.pruning.pruner import Pruner
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.feed import publish_feed
from lumi_pipeline.siem.source import Source
from lumi_pipeline.verdict import Status
from tests.crashing import CrashingStore, Write
from tests.erasure.forgetting import assert_forgotten, forget, secrets, status
from tests.erasure.searching import places_of
from tests.erasure.test_kept import FEBRUARY
from tests.lake import places
from tests.lake.crashes import kind, perform
from tests.lake.world import World, at, day
from transparency.store import ObjectStore

Act = Callable[[Pipeline], object]


def seal(pipeline: Pipeline) -> object:
    return pipeline.run()


def plan(pipeline: Pipeline) -> object:
    return list(Exports(pipeline).plan("siem"))


def feed(pipeline: Pipeline) -> object:
    return publish_feed(Source.open(pipeline.lake, tuple(pipeline.lake_days())), "acme")


def evidence(pipeline: Pipeline) -> object:
    report = MonthlyEvidence(pipeline).make(FEBRUARY)
    if report.failed:
        raise ConcurrentRun(report.failed["acme"])
    return report


def prune(pipeline: Pipeline) -> object:
    return Pruner(pipeline).prune(day(4))


ACTS: dict[str, Act] = {"seal": seal, "plan": plan, "feed": feed, "evidence": evidence, "prune": prune}
MOMENTS = {
    "put_new events/day=D/part-N-H.parquet",
    "put_new seals/day=D/manifest.json",
    "put_new siem/siem/batches/N/batch-H.ndjson.gz",
    "put_new siem/siem/plans/N.json",
    "put_new feeds/acme/events/N-H.ndjson.gz",
    "put_new feeds/acme/index/N.json",
    "put_new evidence/acme/evidence-acme-N-N-N-N-N-N.zip",
    "put_new events/day=D/kept-N-H.parquet",
    "put_new seals/day=D/pruned-N.json",
}
"""The writes that bring copies of rows into being, and those that make them count."""


def ready(world: World, name: str) -> World:
    """Something is there to do. Of a pruned day, on which she acted, rows of hers stay."""
    if name == "seal":
        world.clock.now = at(4, "00:20:00")
    if name == "prune":
        world.record("globex", at(3, "01:00:00"))
        world.clock.now = at(6, "00:20:00")
        world.pipeline().run()
        Holds(world.pipeline().operator).place("acme", "case", "u-17")
        world.pipeline().land()
    return configured(world)


def configured(world: World) -> World:
    world.send_to({"name": "siem", "kind": "file", "path": str(world.directory / "siem"), "since": "beginning"})
    world.config = replace(world.config, evidence_tenants=("acme",))
    return world


def opened(world: World, act: Act, wrap: Callable[[ObjectStore], ObjectStore] = lambda store: store) -> Pipeline:
    """The pipeline; pruning asks that no destination waits."""
    return world.pipeline(wrap, **({"retention_days": 1, "destinations": ()} if act is prune else {}))


class Met(CrashingStore):
    """The store of a run that meets with something before its write of this number."""

    def __init__(self, inner: ObjectStore, number: int, meet: Callable[[], None]) -> None:
        super().__init__(inner)
        self._number, self._meet = number, meet

    def _write(self, write: Write, act: Callable[[], None]) -> None:
        if len(self.writes) == self._number:
            self._number = -1
            self._meet()
        super()._write(write, act)


def moments(world: World, act: Act) -> Iterator[tuple[int, Write]]:
    """The writes of an undisturbed run before which something may come in."""
    stores: list[Met] = []

    def wrap(store: ObjectStore) -> ObjectStore:
        stores.append(Met(store, -1, lambda: None))
        return stores[0]

    act(opened(world, act, wrap))
    seen: set[str] = set()
    for number, write in enumerate(stores[0].writes):
        if places.thorough or (kind(write) in MOMENTS and kind(write) not in seen):
            seen.add(kind(write))
            yield number, write


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTS)
def test_an_erasure_comes_in_between(world: World, tmp_path: Path, name: str) -> None:
    act = ACTS[name]
    ready(world, name)
    values = secrets(world)
    tried = 0
    for number, write in moments(configured(world.copy(tmp_path / "undisturbed")), act):
        met = configured(world.copy(tmp_path / str(number)))
        said: list[str] = []

        def erase(met: World = met, said: list[str] = said) -> None:
            try:
                forget(met.pipeline())
            except ErasureError as error:
                said.append(str(error))

        with suppress(ConcurrentRun):
            act(opened(met, act, lambda store, number=number, erase=erase: Met(store, number, erase)))  # type: ignore[misc]
        tried += 1
        moment = f"before {write}: {said}"
        if said:
            assert "'lumi erase --resume' completes it" in said[0] or "nothing was touched" in said[0], moment
            assert status(met) in {Status.INCOMPLETE, Status.VERIFIED}, moment
        else:
            assert places_of(met, values) == set(), moment
        # Whoever does what the messages say has it erased in the end.
        act(opened(met, act))
        if name != "prune":
            met.pipeline().run()
        forget(met.pipeline())
        assert_forgotten(met, values)
    assert tried >= {"evidence": 1}.get(name, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plan", "feed", "prune"])
def test_what_a_killed_run_left_is_not_forgotten(world: World, tmp_path: Path, name: str) -> None:
    """Copies that nothing lists: the erasure says whose they are, and touches nothing."""
    act = ACTS[name]
    ready(world, name)
    values = secrets(world)
    settings = {"retention_days": 1, "destinations": ()} if act is prune else {}

    def copied(directory: str) -> World:
        copy = configured(world.copy(tmp_path / directory))
        copy.config = replace(copy.config, **settings)  # type: ignore[arg-type]
        return copy

    expected = perform(copied("undisturbed"), act)
    first = next(n for n, write in enumerate(expected) if kind(write) in MOMENTS)
    commit = next(n for n, write in enumerate(expected) if write.key.endswith(".json") and kind(write) in MOMENTS)
    for number in {first, commit - 1}:
        killed = copied(str(number))
        perform(killed, act, after=number)
        before = killed.contents("erasures/")
        with pytest.raises(ErasureError, match=r"interrupted; 'lumi (prune|siem plan siem|feed --tenant acme)'"):
            forget(killed.pipeline())
        assert killed.contents("erasures/") == before
        act(opened(killed, act))
        forget(killed.pipeline())
        assert_forgotten(killed, values)


def test_two_erasures_at_once(world: World) -> None:
    """The second begins when the first has chosen: it completes, and the first finds its number taken."""
    values = secrets(world)
    first = world.pipeline()

    def clock() -> object:
        first.clock = world.clock
        forget(world.pipeline())
        return world.clock()

    first.clock = clock  # type: ignore[assignment]
    with pytest.raises(ConcurrentRun, match="another run began erasure 0"):
        forget(first)
    assert len(read_orders(world.pipeline().lake)) == 1
    assert_forgotten(world, values)


def test_another_run_completes_what_this_one_does(world: World, tmp_path: Path) -> None:
    """At each durable write of the one, the other carries out the same order."""
    values = secrets(world)
    expected = perform(world.copy(tmp_path / "undisturbed"), forget)
    numbers = [n for n, write in enumerate(expected) if "erased-" in write.key or "superseded-" in write.key]
    for number in numbers if places.thorough else numbers[:2]:
        met = world.copy(tmp_path / str(number))
        store_number = number - sum(1 for write in expected[:number] if write.operation == "commit")

        def resume(met: World = met) -> None:
            Eraser(met.pipeline()).resume()

        forget(met.pipeline(lambda store, n=store_number, act=resume: Met(store, n, act)))  # type: ignore[misc]
        assert_forgotten(met, values)


def test_a_verification_that_an_erasure_overtakes_is_true(world: World) -> None:
    """Orders were read before, files are read after: neither looks like damage."""
    pipeline = world.pipeline()
    verdicts = judge_history(pipeline, world.policy, None, None)
    found = [next(verdicts), next(verdicts)]
    assert found[1].subject == str(day(0))
    forget(world.pipeline())
    found += verdicts
    assert {verdict.subject: verdict.status for verdict in found if verdict.status is not Status.VERIFIED} == {}


def test_a_verification_that_a_pruning_overtakes_is_true(world: World) -> None:
    ready(world, "prune")
    verdicts = judge_history(world.pipeline(), world.policy, None, None)
    found = [next(verdicts), next(verdicts), next(verdicts)]
    prune(opened(world, prune))
    found += verdicts
    assert {verdict.subject: verdict.status for verdict in found if verdict.status is not Status.VERIFIED} == {}
