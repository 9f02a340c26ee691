"""Make the body of a planned batch anew: of the same events in the same order, as the lake has them now."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.errors import SiemError
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.siem.destination import Destination
from lumi_pipeline.siem.encoding import Encoder
from lumi_pipeline.siem.packing import record_starts
from lumi_pipeline.siem.plans import Batch
from lumi_pipeline.siem.source import Source
from lumi_pipeline.siem.stamping import stamp


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A body as it is stored and sent, where its records lie in its content, and how many lack large values."""

    data: bytes
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    omitted: int

    @property
    def sha256(self) -> str:
        """Of the body, in hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def rebuild(source: Source, destination: Destination, batch: Batch, listed: pa.Table) -> Rebuilt:
    """Return the body of a batch whose events are ``listed`` (EVENTS_SCHEMA, in order).

    Raises :class:`~lumi_pipeline.errors.SiemError` when it can't be made: a row is gone, or the destination has become
    another kind.
    """
    name = destination.settings.name
    if not batch.body.path.endswith(f".{destination.suffix}"):
        raise SiemError(f"{name} is of another kind than when batch {batch.batch_id[:12]} was planned")
    events = _rows(source, batch, listed)
    if len(events) != batch.count:
        raise SiemError(f"{name}: rows of batch {batch.batch_id[:12]} are gone from the lake")
    routes = destination.settings.routes
    route = next((route for route in routes if route.name == batch.route), routes[-1])
    with Encoder(destination) as encoder:
        records = encoder.encode(events, route)
        if len(records.rows) != len(events):
            raise SiemError(f"{name}: some events of batch {batch.batch_id[:12]} are too large for it by now")
        whole = (0, len(events))
        content = records.content(*whole, destination.framing, records.room([whole], destination.framing))
    stamp(content, batch.batch_id)
    data = destination.body(content.data)
    offsets = records.offsets[:-1] - records.offsets[0] + record_starts(destination.framing)
    return Rebuilt(data, offsets, np.diff(records.offsets) - 1, int(records.omitted.sum()))


def _rows(source: Source, batch: Batch, listed: pa.Table) -> pa.Table:
    """The batch's rows, in its order; without those that the lake has not."""
    ranges = {share.tenant_id: (share.first, share.last + 1) for share in batch.tenants}
    wanted = listed.column("event_id").combine_chunks()
    parts = [
        table.filter(pc.is_in(table.column("event_id"), wanted))
        for table in source.rows({t: span for t, span in ranges.items() if t in source.cursors})
    ]
    found = pa.concat_tables(parts) if parts else EVENT_SCHEMA.empty_table()
    order = pc.index_in(wanted, found.column("event_id").combine_chunks())
    return found.take(order.drop_null()).combine_chunks()
