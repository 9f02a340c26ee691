"""A world whose first days are older than its retention, and what has to be true once they were pruned."""

from dataclasses import replace
from datetime import date

from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.pruning.pruner import Pruner, PruneReport
from lumi_pipeline.verdict import Status, Verdict, worst
from tests.lake.judging import judge
from tests.lake.world import World, at, day

BEFORE = day(2)
RETENTION = 2
GONE = "Gone with day 0"


def aged(world: World) -> None:
    """Four sealed days and a fifth that has begun; the operator acts on the first, and one tenant on it alone."""
    for number in range(4):
        world.record("acme", at(number, "08:00:00"), at(number, "09:00:00"), actor_name=GONE if number == 0 else "Ann")
        world.record("globex", at(number, "10:00:00"), actor_id=f"u-{number}")
    world.record("once", at(0, "11:00:00"))
    world.record("lumi-operator", at(0, "11:30:00"), actor_type="system")
    world.clock.now = at(4, "00:20:00")
    world.pipeline().run()
    world.record("acme", at(4, "00:10:00"))
    world.pipeline().land()


def configured(world: World) -> World:
    """The world with a retention."""
    world.config = replace(world.config, retention_days=RETENTION)
    return world


def opened(world: World) -> Pipeline:
    """The pipeline with a retention."""
    return world.pipeline(retention_days=RETENTION)


def prune(pipeline: Pipeline, before: date = BEFORE) -> PruneReport:
    """Prune days 0 and 1."""
    return Pruner(pipeline).prune(before)


def prune_world(world: World, before: date = BEFORE) -> PruneReport:
    """The same, as a new process would."""
    return prune(opened(world), before)


def verdicts(world: World) -> dict[str, Verdict]:
    """What ``lumi verify --all`` says, by subject."""
    return {verdict.subject: verdict for verdict in judge(world)}


def status(world: World) -> Status:
    """The same in a word."""
    return worst([verdict.status for verdict in verdicts(world).values()])


def seqs(world: World, tenant_id: str) -> list[int]:
    """The seqs of a tenant that the outbox has."""
    found = world.select("SELECT seq FROM audit_outbox WHERE tenant_id = ? ORDER BY seq", (tenant_id,))
    return [int(str(seq)) for (seq,) in found]
