"""The analyst database as a part of an erasure: it is made anew from the lake, as an erased payload stays in its file.

Whoever has it open meanwhile keeps what is there until they open it again.
"""

from collections.abc import Mapping
from contextlib import suppress

import duckdb
import pyarrow as pa

from lumi_pipeline.analytics.building import attached, build_database
from lumi_pipeline.erasure.orders import Order
from lumi_pipeline.erasure.parts import Touched
from lumi_pipeline.pipeline import Pipeline

_HELD = """
SELECT count(*) FROM activity
WHERE tenant_id = $tenant AND event_id IN (SELECT event_id FROM wanted)
    AND coalesce(actor_name, ip, user_agent, request_id, before_state, after_state) IS NOT NULL
"""


class AnalystPart:
    """The file that 'analyst_db' names, if it is there."""

    name = "analyst"

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._path = pipeline.config.analyst_db
        self._built = False

    def look(self, tenant_id: str, events: Mapping[int, str]) -> Touched:
        """Count the events whose payload it has."""
        if not events or not self._path.exists():
            return Touched()
        held = 0
        with suppress(duckdb.Error), attached(self._path) as db:  # what can't be read is made anew
            db.register("wanted", pa.table({"event_id": pa.array(list(events.values()), pa.string())}))
            held = int(db.execute(_HELD, {"tenant": tenant_id}).fetchall()[0][0])
        return Touched(1, self._path.stat().st_size, held) if held else Touched()

    def erase(self, order: Order) -> Touched:
        """Make it anew, and remove what builds that were killed have left."""
        if not self._path.exists():
            return Touched()
        held = self.look(order.tenant_id, order.events)
        if held.events or not self._built:
            report = build_database(self._pipeline.config, self._pipeline.lake)
            self._built = True
            held = Touched(1, report.size, held.events) if held.events else Touched()
        return held
