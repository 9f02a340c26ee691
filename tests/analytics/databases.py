"""Analyst databases of test worlds: building them, asking them, and what the outbox says they have to hold."""

from contextlib import closing

from lumi_pipeline.analytics import BuildReport, build_database, connect
from lumi_pipeline.analytics.schema import ACTIVITY_COLUMNS
from lumi_pipeline.events import COLUMNS
from tests.lake.world import World

Rows = list[tuple[object, ...]]


def build(world: World, *, fresh: bool = False) -> BuildReport:
    return build_database(world.config, world.pipeline().lake, fresh=fresh)


def ask(world: World, sql: str, tenant: str | None = None, **parameters: object) -> Rows:
    """Connect, ask one question, and close again."""
    with closing(connect(world.config, tenant)) as db:
        return db.sql(sql, params=parameters or None).fetchall()


def assert_complete(world: World) -> None:
    """The database holds what the outbox holds, every event once, in all three places that say so."""
    recorded = world.select("SELECT tenant_id, seq, event_id, after_state FROM audit_outbox ORDER BY tenant_id, seq")
    order = "ORDER BY tenant_id, seq"
    for source in ("events", "activity"):
        assert ask(world, f"SELECT tenant_id, seq, event_id, after_state FROM {source} {order}") == recorded
    both = ", ".join(("day", *ACTIVITY_COLUMNS, "sealed"))
    assert ask(world, f"SELECT {both} FROM events EXCEPT ALL SELECT {both} FROM activity") == []
    assert ask(world, "SELECT day, count(*) FROM activity GROUP BY day ORDER BY day") == ask(
        world, "SELECT day, events FROM days WHERE events > 0 ORDER BY day"
    )


def columns(world: World, relation: str) -> list[object]:
    return [row[0] for row in ask(world, f"DESCRIBE {relation}")]


EVENTS_COLUMNS = [*COLUMNS, "day", "sealed"]
