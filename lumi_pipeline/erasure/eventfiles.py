"""Every committed file of the lake that holds events as rows, and which of them hold certain ones.

Sealed days, landings, and the rows that a rebase took out of the outbox. Looking for rows reads the columns it needs of
every file, and believes none of it: whoever changes a file checks its SHA-256 first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import pyarrow as pa

from lumi_pipeline.lake import Lake, seal_prefix
from lumi_pipeline.landings import landings
from lumi_pipeline.rebaserecords import rebase_prefix, taken_out
from lumi_pipeline.records import StoredFile
from lumi_pipeline.sealedday import current_files
from lumi_pipeline.superseding import effective, landing_records, read_records

_ROWS: Final = """
SELECT filename, seq, event_id, actor_id, epoch_us(recorded_at) AS recorded_at, epoch_us(erased_at) AS erased_at
FROM read_parquet($files, filename = true, hive_partitioning = false)
WHERE tenant_id = $tenant AND {}
"""
BY_ACTOR: Final = "actor_id = $wanted"
BY_EVENT: Final = "event_id IN (SELECT event_id FROM wanted)"


@dataclass(frozen=True, slots=True)
class Folder:
    """Files that one record supersedes together; ``records`` is how the names of their records begin."""

    scope: str
    records: str


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A row as a file has it; times in microseconds since 1970, ``erased_at`` None where it is not marked as erased."""

    path: str
    seq: int
    event_id: str
    actor_id: str
    recorded_at: int
    erased_at: int | None


@dataclass(frozen=True, slots=True)
class EventFiles:
    """The files that count now, by path, each with its folder."""

    lake: Lake
    files: Mapping[str, tuple[Folder, StoredFile]]

    @classmethod
    def of(cls, lake: Lake, days: Sequence[date]) -> "EventFiles":
        """Those of a lake whose sealed days are these."""
        found: dict[str, tuple[Folder, StoredFile]] = {}
        for day, files in zip(days, lake.side_by_side(lambda day: current_files(lake, day), days), strict=True):
            folder = Folder("events/", f"{seal_prefix(day)}superseded-")
            found |= {file.path: (folder, file) for file in files}
        present = set(lake.store.list("landed/"))
        numbers = [int(number) for number in (key.split("/")[1] for key in present) if number.isdecimal()]
        for landing in landings(lake, min(numbers)) if numbers else ():
            folder = Folder("landed/", f"{landing_records(landing.number)}superseded-")
            # Files of sealed landings are cleared away once the day is published.
            found |= {file.path: (folder, file) for file in landing.event_files if file.path in present}
        for number, files in taken_out(lake):
            folder = Folder("rebases/", f"{rebase_prefix(number)}superseded-")
            current = effective(files, read_records(lake, folder.records))
            found |= {file.path: (folder, file) for file in current}
        return cls(lake, found)

    def rows(self, tenant_id: str, wanted: str | Sequence[str]) -> Iterator[FoundRow]:
        """Yield the rows of a tenant by an actor (``wanted`` is its id), or of these events, file by file."""
        by_scope: dict[str, list[str]] = {}
        for path, (folder, _) in self.files.items():
            by_scope.setdefault(folder.scope, []).append(path)
        for scope, paths in sorted(by_scope.items()):
            names = {self.lake.locate(path): path for path in paths}
            parameters: dict[str, object] = {"files": list(names), "tenant": tenant_id}
            with self.lake.searching(scope) as db:
                if isinstance(wanted, str):
                    query = _ROWS.format(BY_ACTOR)
                    parameters["wanted"] = wanted
                else:
                    query = _ROWS.format(BY_EVENT)
                    db.register("wanted", pa.table({"event_id": pa.array(list(wanted), pa.string())}))
                for name, *columns in db.execute(query, parameters).fetchall():
                    yield FoundRow(names[name], *columns)
