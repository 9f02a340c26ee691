"""A case: the rows of an investigation with the proof of every event in them, in a folder that can be handed on.

``rows.csv`` has the rows, ``EVENT_ID.tlog-proof`` proves an event, ``question.sql`` is the investigation itself, and
``case.json`` says what was asked, with which values, when and with which software, and which events have no proof yet
because their day is not sealed and published. It is written last: a folder without it is one that a crash left behind.
"""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pyarrow as pa

from lumi_pipeline.analytics.investigation import Investigation, Value, names_events
from lumi_pipeline.errors import ProofNotFound
from lumi_pipeline.lake import Lake
from lumi_pipeline.proving import prove_event
from transparency.encoding import Json, canonical_json, format_timestamp
from transparency.entries import Genesis

ROWS: Final = "rows.csv"
_TYPE: Final = "lumi/case/v1"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, with which values, and the rows that came."""

    investigation: Investigation
    values: Mapping[str, Value]
    rows: pa.Table

    def event_ids(self) -> list[str]:
        """Return the ids of all events that the rows name, each once, in order."""
        columns = [name for name in self.rows.column_names if names_events(name)]
        cells = (cell for row in self.rows.select(columns).to_pylist() for cell in row.values())
        return list(dict.fromkeys(str(cell) for cell in cells if cell is not None))


@dataclass(frozen=True, slots=True)
class Case:
    """What a case holds: ids of events whose proof was written, and of those that are not sealed and published yet."""

    proved: tuple[str, ...]
    unsealed: tuple[str, ...]


def write_case(
    folder: Path,
    asked: Asked,
    lake: Lake,
    genesis: Genesis | None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Case:
    """Write a case into a folder that exists and has its ``rows.csv``. ``genesis`` is None when nothing is sealed.

    ``progress`` is told how many events are done, and of how many. Raises :class:`~lumi_pipeline.errors.LakeError` for
    events that were altered in the lake.
    """
    ids = asked.event_ids()
    proved: list[str] = []
    unsealed: list[str] = []
    for number, event_id in enumerate(ids, start=1):
        proof = _proof(lake, genesis, event_id)
        if proof is None:
            unsealed.append(event_id)
        else:
            (folder / f"{event_id}.tlog-proof").write_bytes(proof)
            proved.append(event_id)
        if progress is not None:
            progress(number, len(ids))
    (folder / "question.sql").write_text(asked.investigation.sql, encoding="utf-8")
    about: dict[str, Json] = {
        "asked_at": format_timestamp(datetime.now(UTC)),
        "investigation": asked.investigation.name,
        "parameters": {name: _text(value) for name, value in asked.values.items()},
        "proved": list[Json](proved),
        "rows": asked.rows.num_rows,
        "software": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("lumi-pipeline", "duckdb", "pyarrow")},
        },
        "type": _TYPE,
        "unsealed": list[Json](unsealed),
    }
    (folder / "case.json").write_text(f"{canonical_json(about)}\n", encoding="utf-8")
    return Case(tuple(proved), tuple(unsealed))


def _proof(lake: Lake, genesis: Genesis | None, event_id: str) -> bytes | None:
    try:
        return None if genesis is None else prove_event(lake, genesis, event_id)
    except ProofNotFound:
        return None


def _text(value: Value) -> Json:
    if isinstance(value, datetime):
        return format_timestamp(value)
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, str) else str(value)
