"""Evidence that we keep as a part of an erasure: a bundle with an erased event is made anew, and the old one goes.

Whoever was given a bundle keeps it, and it still verifies: that is out of reach.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.erasure.orders import Order
from lumi_pipeline.erasure.parts import Touched
from lumi_pipeline.errors import ErasureError, EvidenceError
from lumi_pipeline.evidence.bundlefiles import EVENTS, Unrecognised, open_bundle
from lumi_pipeline.evidence.csvblocks import read_events
from lumi_pipeline.evidence.csvform import CsvFault
from lumi_pipeline.evidence.drafts import purge_drafts
from lumi_pipeline.evidence.monthly import MonthlyEvidence
from lumi_pipeline.evidence.period import Asked, check_not_pruned
from lumi_pipeline.evidence.superseding import PREFIX, SupersededBundle, asked_by_name, record_key, rewritten_key
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.stores.purging import purge
from transparency.errors import VerificationError


class EvidencePart:
    """The bundles under ``evidence/``, ZIP files and folders."""

    name = "evidence"

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._lake = pipeline.lake

    def look(self, tenant_id: str, events: Mapping[int, str]) -> Touched:
        """Find the bundles that hold their payload."""
        found = list(self._holding(tenant_id, events)) if events else []
        size = sum(len(self._lake.store.get(key)) for _, keys, _ in found for key in keys)
        told = f"whoever was given a bundle of {tenant_id} that holds them keeps it"
        return Touched(len(found), size, sum(rows for _, _, rows in found), (told,) if found else ())

    def erase(self, order: Order) -> Touched:
        """Make those bundles anew, and delete the old ones."""
        # Drafts hold payload too. One that is written after this is never completed, as there is an order by now.
        purge_drafts(self._lake)
        objects = size = events = 0
        for asked, keys, rows in list(self._holding(order.tenant_id, order.events)):
            new = rewritten_key(asked, order.number)
            data = MonthlyEvidence(self._pipeline).made_anew(asked)
            record = SupersededBundle.of(order.number, order.event_id, keys, new, data)
            # A run that was killed in between made another one, signed like this; what is recorded counts.
            purge(self._lake.store, new)
            self._lake.store.put_new(new, data)
            # A crash before this leaves a bundle that verifies and that nobody looks for, until the next run.
            self._lake.store.put_new(record_key(asked, order.number), record.encode())
            objects, size, events = objects + 1, size + len(data), events + rows
        ending = f".superseded-{order.number:06d}.json"
        for key in [key for key in self._lake.store.list(PREFIX) if key.endswith(ending)]:
            for old in SupersededBundle.parse(self._lake.store.get(key), key).old:
                purge(self._lake.store, old)
        return Touched(objects, size, events)

    def _holding(self, tenant_id: str, events: Mapping[int, str]) -> Iterator[tuple[Asked, Sequence[str], int]]:
        """Yield each bundle with any of these events and its payload: what it is, its objects, how many events.

        Raises :class:`~lumi_pipeline.errors.ErasureError` for one whose name does not say what it is.
        """
        recorded = self._recorded()
        for name, keys in self._bundles():
            if set(keys) <= recorded:
                continue  # it was replaced already, and is about to go
            asked = asked_by_name(name.rpartition("/")[2])
            if asked is not None and asked.tenant_id != tenant_id:
                continue
            rows = self._count(keys, events)
            if rows and asked is None:
                raise ErasureError(
                    f"{name} holds events that are to be erased, and its name does not say of which period it is the "
                    "evidence, so it can't be made anew; move it away, or delete it"
                )
            if rows and asked is not None:
                try:
                    check_not_pruned(self._lake, asked)
                except EvidenceError as error:
                    raise ErasureError(f"{name} can't be made anew ({error}); move it away, or delete it") from None
                yield asked, keys, rows

    def _recorded(self) -> set[str]:
        recorded: set[str] = set()
        for key in self._lake.store.list(PREFIX):
            if ".superseded-" in key and key.endswith(".json"):
                recorded |= set(SupersededBundle.parse(self._lake.store.get(key), key).old)
        return recorded

    def _bundles(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the name of each bundle and its objects: a ZIP file, or everything in a folder with events."""
        keys = list(self._lake.store.list(PREFIX))
        folders = {key.removesuffix(f"/{EVENTS}") for key in keys if key.endswith(f"/{EVENTS}")}
        for folder in sorted(folders):
            yield folder, [key for key in keys if key.startswith(f"{folder}/")]
        for key in keys:
            if key.endswith(".zip"):
                yield key, [key]

    def _count(self, keys: Sequence[str], events: Mapping[int, str]) -> int:
        """How many of these events a bundle holds with their payload."""
        ids = pa.array(list(events.values()), pa.string())
        count = 0
        with TemporaryDirectory(prefix="lumi-evidence-") as directory:
            for key in keys:
                (Path(directory) / key.rpartition("/")[2]).write_bytes(self._lake.store.get(key))
            path = Path(directory) / keys[0].rpartition("/")[2] if len(keys) == 1 else Path(directory)
            try:
                with open_bundle(path) as bundle, bundle.open(EVENTS) as file:
                    for table in read_events(file, bundle.size(EVENTS)):
                        held = pc.and_(pc.is_in(table.column("event_id"), ids), pc.is_null(table.column("erased_at")))
                        count += int(pc.sum(held.cast(pa.int64())).as_py() or 0)
            except (Unrecognised, VerificationError, CsvFault, KeyError) as error:
                raise ErasureError(
                    f"{keys[0]} can't be read as evidence, so nobody knows what it holds: {error}; move it away"
                ) from None
        return count
