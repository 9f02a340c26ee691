"""The whole pipeline is killed at each of its durable writes: the next run makes the same bytes, losing nothing."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from lumi_pipeline.errors import ChainBroken, SealError
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.verdict import Status
from tests.lake.crashes import Act, Unkilled, crashes, everything, kind, perform
from tests.lake.judging import judge
from tests.lake.places import LOCAL, NewPlace, sampled
from tests.lake.world import World, at, day

WRITES = {
    "commit outbox",  # closing a day, and the event of an acknowledgement
    "put_new landed/N/part-N-H.parquet",
    "put_new landed/N/tenants-H.parquet",
    "put_new landed/N/breaks-H.parquet",
    "put_new landings/N.json",
    "delete landed/N/part-N-H.parquet",
    "delete landed/N/tenants-H.parquet",
    "delete landed/N/breaks-H.parquet",
    "put_new events/day=D/part-N-H.parquet",
    "put_new seals/day=D/tenant_days-H.parquet",
    "put_new seals/day=D/manifest.json",
    "put_new seals/day=D/day.txt",
    "put_new seals/day=D/breaks-H.json",
    "delete seals/day=D/breaks-H.json",
    "put_new seals/day=D/acknowledged-H.json",
    "put_new log-private/genesis.txt",
    "put_new log-private/staging/N-H",
    "put_new log-private/commits/N",
    "put_new log-private/cosigned/N",
    "delete log-private/staging/N-H",
    "put_new log/log.vkey",
    "put_new log/tile/entries/N.p/N",
    "put_new log/tile/N/N.p/N",
    "put log/checkpoint",
    "put log/index.html",
    "put index/day=D/events.idx",
}
"""Every kind of durable write. Whoever adds one has to think what a crash before and after it leaves behind."""


def run(pipeline: Pipeline) -> object:
    return pipeline.run()


def land(pipeline: Pipeline) -> object:
    return pipeline.land()


def run_into_break(pipeline: Pipeline) -> object:
    with pytest.raises(ChainBroken) as raised:
        pipeline.run()
    return raised.value


def acknowledge(pipeline: Pipeline) -> object:
    return pipeline.acknowledge(day(8), "row 1 was edited by hand, see ticket 17")


def first_days(world: World) -> None:
    """Four days: one with events on both sides of midnight, an idle one, and a tenant that comes late."""
    world.record_all(
        [
            ("acme", at(0, "09:00:00")),
            ("globex", at(0, "10:00:00")),
            ("acme", at(0, "23:59:59.999999")),
            ("acme", at(1, "00:00:00")),
            ("globex", at(1, "00:00:00")),
            ("initech", at(3, "08:00:00")),
            ("acme", at(4, "00:05:00")),
        ]
    )
    world.clock.now = at(4, "00:20:00")


def another_day(world: World) -> None:
    world.record_all([("globex", at(4, "08:00:00")), ("umbrella", at(4, "09:00:00"))])
    world.clock.now = at(5, "00:20:00")


def idle_days(world: World) -> None:
    """Three days on which nothing happened; what is written for them is written in several threads."""
    world.clock.now = at(8, "00:20:00")


def a_broken_day(world: World) -> None:
    """One row was edited, and the head of another tenant, before anything was landed."""
    world.record_all([("acme", at(8, "08:00:00")), ("acme", at(8, "09:00:00")), ("globex", at(8, "09:00:00"))])
    assert world.tamper("UPDATE audit_outbox SET actor_id = 'nobody' WHERE tenant_id = 'acme' AND seq = 4") == 1
    assert world.tamper("UPDATE audit_chain_head SET head_hash = zeroblob(32) WHERE tenant_id = 'globex'") == 1
    world.clock.now = at(9, "00:20:00")


def the_day_after(world: World) -> None:
    """With an event after it, the head that was edited no longer ends the broken day: its report is another one."""
    world.record("globex", at(9, "00:10:00"))


def nothing(world: World) -> None:
    """Nothing happens in between."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Something that happens in the application, and what the pipeline does then."""

    name: str
    prepare: Callable[[World], None]
    act: Act


PHASES = (
    Phase("first-days", first_days, run),
    Phase("another-day", another_day, run),
    Phase("idle-days", idle_days, run),
    Phase("broken-day", a_broken_day, run_into_break),
    Phase("other-breaks", the_day_after, run_into_break),
    Phase("acknowledging", nothing, acknowledge),
    Phase("acknowledged", nothing, run),
)
DETERMINISTIC = [phase.name for phase in PHASES if phase.act is not acknowledge]
"""An acknowledgement draws an event id, and so makes other bytes each time."""
LONG = {"first-days", "another-day", "idle-days", "acknowledged"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A phase, in a world that is about to go through it."""

    phase: Phase
    world: World


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> dict[str, Stage]:
    """The world before each phase, all phases before it having gone through undisturbed."""
    directory = tmp_path_factory.mktemp("phases")
    world = World.create(directory / "begin", at(0), new_place)
    stages = {}
    for phase in PHASES:
        phase.prepare(world)
        stages[phase.name] = Stage(phase, world)
        world = world.copy(directory / phase.name)
        phase.act(world.pipeline())
    return stages


def test_every_durable_write_is_of_a_kind_that_was_thought_through(stages: dict[str, Stage], tmp_path: Path) -> None:
    seen = set()
    for name, stage in stages.items():
        seen |= {kind(write) for write in perform(stage.world.copy(tmp_path / name), stage.phase.act)}
    assert seen == WRITES


def test_days_are_fixed_in_this_order(stages: dict[str, Stage], tmp_path: Path) -> None:
    """The order is the safety: content, then what lists it; manifest before record; record before log."""
    world = stages["another-day"].world.copy(tmp_path / "world")
    # PostgreSQL closes a day in steps: the bar for new chains, the heads, and then that it is closed.
    closing = 1 if world.place.kind == LOCAL else 3
    writes = [kind(write) for write in perform(world, run)]
    assert writes == [
        "put_new landed/N/part-N-H.parquet",
        "put_new landed/N/tenants-H.parquet",
        "put_new landings/N.json",
        *["commit outbox"] * closing,
        "put_new events/day=D/part-N-H.parquet",
        "put_new seals/day=D/tenant_days-H.parquet",
        "put_new seals/day=D/manifest.json",
        "put_new seals/day=D/day.txt",
        "put_new log-private/staging/N-H",
        "put_new log-private/commits/N",
        "put_new log/tile/entries/N.p/N",
        "put_new log/tile/N/N.p/N",
        "put_new log-private/cosigned/N",
        "put log/checkpoint",
        "delete log-private/staging/N-H",
        "delete landed/N/part-N-H.parquet",
        "delete landed/N/tenants-H.parquet",
        "delete landed/N/part-N-H.parquet",
        "delete landed/N/tenants-H.parquet",
        "put index/day=D/events.idx",
    ]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in DETERMINISTIC]
)
def test_killed_at_any_write_the_next_run_makes_the_same_bytes(
    stages: dict[str, Stage], name: str, tmp_path: Path
) -> None:
    stage = stages[name]
    expected = undisturbed(stage, tmp_path)
    for crash in crashes(stage.world, stage.phase.act, tmp_path):
        stage.phase.act(crash.world.pipeline())
        assert everything(crash.world) == expected, crash.moment


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_the_last_run_makes_the_same_bytes(
    stages: dict[str, Stage], seed: int, tmp_path: Path
) -> None:
    """Each run is killed a few writes after it began; also those writes count that find their object there already."""
    stage = stages["another-day"]
    random = Random(seed)
    world = stage.world.copy(tmp_path / "world")
    kills = 0
    with suppress(Unkilled):
        while True:
            perform(world, run, after=random.randrange(6))
            kills += 1
    assert kills > 3
    assert everything(world) == undisturbed(stage, tmp_path)


@pytest.mark.slow
def test_killed_at_any_write_events_recorded_before_the_next_run_are_not_lost(
    stages: dict[str, Stage], tmp_path: Path
) -> None:
    """Then the next run does not find what the killed one found, and may not take over what that left."""
    for crash in crashes(stages["another-day"].world, run, tmp_path):
        crash.world.record("globex", at(5, "00:15:00"))
        run(crash.world.pipeline())
        assert failures(crash.world) == [], crash.moment


def test_killed_while_landing_files_that_count_for_nothing_are_gone_after_the_next_landing(
    stages: dict[str, Stage], tmp_path: Path
) -> None:
    for crash in crashes(stages["another-day"].world, land, tmp_path):
        crash.world.record("globex", at(5, "00:15:00"))
        land(crash.world.pipeline())
        assert failures(crash.world) == [], crash.moment


@pytest.mark.slow
def test_killed_while_acknowledging_the_operator_can_do_it_again(stages: dict[str, Stage], tmp_path: Path) -> None:
    """The report is accepted once, by an event of the operator's own chain; the day then seals as it would have."""
    whole = stages["acknowledging"].world.copy(tmp_path / "whole")
    acknowledge(whole.pipeline())
    run(whole.pipeline())
    told = []
    for crash in crashes(stages["acknowledging"].world, acknowledge, tmp_path):
        world = crash.world
        if crash.write.operation == "put_new":
            with pytest.raises(SealError, match="no report of breaks"):
                acknowledge(world.pipeline())
        else:
            acknowledge(world.pipeline())
        [key] = [key for key in world.contents() if "/acknowledged-" in key]
        events = world.select("SELECT event_id FROM audit_outbox WHERE action = 'DAY_ACKNOWLEDGED'")
        assert (json.loads(world.store.get(key))["event_id"],) in events
        told.append(len(events))
        run(world.pipeline())
        assert sealed_bytes(world) == sealed_bytes(whole), crash.moment
        assert (str(day(8)), "declared-break") in failures(world)
        assert failures(world) == failures(whole)
    # A crash between event and acknowledgement leaves an event for nothing.
    assert told == sampled([1, 2, 1], whole.place)


def undisturbed(stage: Stage, directory: Path) -> dict[str, object]:
    """Everything there is after the phase has gone through."""
    world = stage.world.copy(directory / "whole")
    stage.phase.act(world.pipeline())
    return everything(world)


def failures(world: World) -> list[tuple[str, str]]:
    """What does not verify, as (subject, reason)."""
    return [(verdict.subject, verdict.reason) for verdict in judge(world) if verdict.status is not Status.VERIFIED]


def sealed_bytes(world: World) -> dict[str, bytes]:
    """What is sealed and public. The acknowledgement itself names its event, which is another one each time."""
    prefixes = ("events/", "seals/", "log/", "log-private/")
    contents = {key: data for prefix in prefixes for key, data in world.contents(prefix).items()}
    return {key: b"" if "/acknowledged-" in key else data for key, data in contents.items()}
