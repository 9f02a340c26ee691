"""A format: what an event looks like in JSON, whoever gets it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Format:
    """How events are written.

    ``version`` names it and changes with whatever it writes. ``event`` is the SQL expression of an event's JSON text
    over the columns of ``EVENT_SCHEMA`` and ``omitted``; it may look things up in ``tables``.
    """

    version: str
    event: str
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
