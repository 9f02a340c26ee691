"""A world with somebody in it who wants to be forgotten, and what has to be true once that was done."""

from datetime import datetime

from lumi_pipeline.erasure.erasing import Eraser, EraseReport
from lumi_pipeline.erasure.planning import Selection
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.verdict import Status, worst
from tests.erasure.searching import places_of
from tests.lake.judging import judge
from tests.lake.world import World, at

NAME = "Erika Mustermann"
ADDRESS = "198.51.100.99"
AGENT = "Browser of Erika's"
REQUEST = "req-erika-0815"
BEFORE = '{"note":"Erika was here"}'
AFTER = '{"note":"Erika was here again"}'
ACTOR = "u-4711"
REASON = "request PRIV-12"
ERIKA = Selection("acme", ACTOR)

_COLUMNS = {
    "actor_id": ACTOR,
    "actor_name": NAME,
    "ip": ADDRESS,
    "user_agent": AGENT,
    "request_id": REQUEST,
    "before_state": BEFORE,
    "after_state": AFTER,
}


def erikas(world: World, *moments: datetime, tenant_id: str = "acme") -> list[str]:
    """Record events of hers; return their ids."""
    return [event.event_id for event in world.record(tenant_id, *moments, **_COLUMNS)]


def lived_in(world: World) -> None:
    """Three sealed days and a fourth that has begun; Erika acts on the first, the third and the fourth, and others too.

    Events of a namesake in another tenant are none of hers.
    """
    world.record("acme", at(0, "08:00:00"))
    erikas(world, at(0, "09:00:00"), at(0, "09:30:00"))
    world.record("acme", at(0, "10:00:00"), at(1, "10:00:00"))
    world.record("globex", at(1, "10:00:00"), actor_id=ACTOR, actor_name="Another")
    erikas(world, at(2, "23:59:59"))
    world.clock.now = at(3, "00:20:00")
    world.pipeline().run()
    erikas(world, at(3, "00:10:00"))
    world.record("acme", at(3, "00:15:00"))
    world.pipeline().land()


def forget(pipeline: Pipeline) -> EraseReport:
    """Erase what is hers."""
    return Eraser(pipeline).erase(ERIKA, REASON)


def secrets(world: World, tenant_id: str = "acme") -> list[bytes]:
    """Her values, and the salts that her hashes were made with, as long as the outbox has them."""
    salts = world.select(
        "SELECT payload_salt FROM audit_outbox WHERE tenant_id = ? AND actor_id = ?", (tenant_id, ACTOR)
    )
    texts = [text.encode() for text in (NAME, ADDRESS, AGENT, REQUEST, BEFORE, AFTER)]
    return [*texts, *(bytes(salt) for (salt,) in salts if isinstance(salt, bytes | memoryview))]


def status(world: World) -> Status:
    """What ``lumi verify --all`` says of a world."""
    return worst([verdict.status for verdict in judge(world)])


def assert_forgotten(world: World, values: list[bytes]) -> None:
    """Nothing of hers is left anywhere, and everything verifies."""
    verdicts = judge(world)
    assert [verdict for verdict in verdicts if verdict.status is not Status.VERIFIED] == []
    assert places_of(world, values) == set()
