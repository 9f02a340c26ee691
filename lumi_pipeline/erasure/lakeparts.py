"""The outbox and the lake as parts of an erasure."""

from collections.abc import Mapping, Sequence
from contextlib import closing

from lumi_pipeline.erasure.eventfiles import EventFiles
from lumi_pipeline.erasure.orders import Order
from lumi_pipeline.erasure.parts import Touched
from lumi_pipeline.erasure.rewriting import remove_replaced, rewrite_lake
from lumi_pipeline.outbox.erasing import RowsToErase, erase_rows, marked_rows, purge_older_copies, rewritten_size
from lumi_pipeline.pipeline import Pipeline


class OutboxPart:
    """The rows of the outbox."""

    name = "outbox"

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._purged = False

    def look(self, tenant_id: str, events: Mapping[int, str]) -> Touched:  # noqa: ARG002 - they are one table's
        """Count the events that the outbox has."""
        outbox = self._pipeline.outbox
        with outbox.snapshot() as snapshot:
            found = snapshot.find(list(events.values()))
        with closing(outbox.connect()) as connection, outbox.explained():
            return Touched(1, rewritten_size(connection), len(found)) if found else Touched()

    def marks(self, tenant_id: str, seqs: Sequence[int]) -> dict[int, int | None]:
        """When each of these rows was erased as a whole (µs), by seq; None where it was not. Lost rows are left out."""
        outbox = self._pipeline.outbox
        with closing(outbox.connect()) as connection, outbox.explained():
            return marked_rows(connection, tenant_id, seqs)

    def erase(self, order: Order) -> Touched:
        """Null their payload, and leave no older copy in the database's files."""
        rows = RowsToErase(order.tenant_id, sorted(order.events), order.at, order.event_id)
        outbox = self._pipeline.outbox
        with closing(outbox.connect()) as connection, outbox.explained():
            erased, size = erase_rows(connection, rows), 0
            # Also where nothing was erased now: a run that did may have been killed before this.
            if erased or not self._purged:
                purge_older_copies(connection)
                self._purged, size = True, rewritten_size(connection)
        return Touched(1, size, erased) if erased else Touched()


class LakePart:
    """Sealed and landed files, and the rows that a rebase took out."""

    name = "lake"

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def look(self, tenant_id: str, events: Mapping[int, str]) -> Touched:
        """Find the files that hold them."""
        files = self._files()
        rows = [row for row in files.rows(tenant_id, list(events.values())) if row.erased_at is None]
        paths = {row.path for row in rows}
        return Touched(len(paths), sum(files.files[path][1].size for path in paths), len({row.seq for row in rows}))

    def erase(self, order: Order) -> Touched:
        """Write the files that hold them anew, and delete the old ones."""
        lake = self._pipeline.lake
        done = rewrite_lake(lake, self._files(), order)
        remove_replaced(lake, order)
        return Touched(done.files, done.size, done.rows)

    def _files(self) -> EventFiles:
        return EventFiles.of(self._pipeline.lake, self._pipeline.lake_days())
