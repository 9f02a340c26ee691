"""What most destinations have in common; a destination says only what is different with it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa

from lumi_pipeline.siem.destination import AgeRule, Framing
from lumi_pipeline.siem.gzipping import compress
from lumi_pipeline.siem.settings import Route


class Plain:
    """Gzipped lines, of any events in one request, whenever they occurred; the answer is all the acknowledgement.

    See :class:`~lumi_pipeline.siem.destination.Destination` for what the members mean.
    """

    framing = Framing.LINES
    suffix = "ndjson.gz"
    age: AgeRule | None = None

    def record(self, event: str, route: Route) -> str:  # noqa: ARG002 - every route's records look the same
        """The event itself, as its format has it."""
        return event

    def group(self, events: pa.Table) -> pa.StringArray | None:  # noqa: ARG002 - any may stand beside any
        """A request may hold any events of its route."""
        return None

    def body(self, content: bytes | memoryview) -> bytes:
        """Gzip."""
        return compress(content)

    def restamp(self, record: bytes, now: datetime) -> bytes:  # noqa: ARG002 - there is no age rule
        """Nothing to change: any time is taken."""
        return record

    def confirm(self, acks: Sequence[str], route: Route) -> Mapping[str, bool]:  # noqa: ARG002 - never asked for
        """There are no acknowledgements besides the answer."""
        return {}
