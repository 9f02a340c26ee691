"""A demo's events as the table that investigations read, without an outbox or a lake in between, and their truth."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date

import duckdb
import pyarrow as pa

from lumi_pipeline.analytics.schema import ACTIVITY_COLUMNS, create_tables
from lumi_pipeline.demo import Story
from lumi_pipeline.demo.scene import Timed
from lumi_pipeline.demo.simulation import Plan, Simulation
from lumi_pipeline.events import EVENT_SCHEMA, NewEvent

MONDAY = date(2026, 11, 16)
SCHEMA = pa.schema(
    [
        ("day", pa.date32()),
        *(EVENT_SCHEMA.field(name) for name in ACTIVITY_COLUMNS),
        ("sealed", pa.bool_()),
        ("file", pa.int32()),
        ("file_row", pa.int64()),
    ]
)


def activity(timed: Iterable[Timed]) -> pa.Table:
    """Events in the columns of the table `activity`, every tenant's numbered in their order."""
    seqs: dict[str, int] = defaultdict(int)
    rows: list[dict[str, object]] = []
    for recorded_at, event in timed:
        more = {"day": recorded_at.date(), "seq": seqs[event.tenant_id], "recorded_at": recorded_at, "sealed": True}
        rows.append({**asdict(event), **more, "file": 0, "file_row": len(rows)})
        seqs[event.tenant_id] += 1
    return pa.Table.from_pylist(rows, SCHEMA)


def at_once(*events: NewEvent) -> pa.Table:
    """Events that were recorded when they occurred."""
    return activity((event.occurred_at, event) for event in events if event.occurred_at is not None)


def database(table: pa.Table) -> duckdb.DuckDBPyConnection:
    """An analyst database in memory with these rows."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    create_tables(db)
    db.register("given", table)
    db.execute("INSERT INTO activity SELECT * FROM given ORDER BY day, actor_id, tenant_id, seq")
    db.unregister("given")
    return db


def simulate(plan: Plan) -> tuple[pa.Table, dict[str, Story]]:
    """The activity of a demo, and the stories that were planted in it."""
    simulation = Simulation(plan)
    table = activity(timed for batch in simulation.run() for timed in batch)
    return table, {story.name: story for story in simulation.stories}
