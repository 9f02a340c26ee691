"""Lists of events, newest first, a page at a time: found in the analyst database, shown from the lake.

Pages follow the key (recorded_at, tenant_id, seq), which no event changes and no two share. So going on behind the last
event of a page neither skips nor repeats one that was there before, whatever arrives in between.
"""

import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final

import duckdb

from lumi_pipeline.analytics.cursor import Cursor
from lumi_pipeline.analytics.rechecking import Check, Located, ShownEvent, recheck
from lumi_pipeline.analytics.schema import ACTIVITY_COLUMNS
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import StoredFile

_ORDER: Final = "recorded_at DESC, tenant_id DESC, seq DESC"
_CONDITIONS: Final = {
    **{name: f"{name} = ${name}" for name in ("tenant_id", "actor_id", "entity_type", "entity_id", "action")},
    "since": "recorded_at >= $since",
    "until": "recorded_at < $until",
}
# The first part alone says nothing new, but from it DuckDB knows which row groups it can leave out.
_BEHIND: Final = (
    "recorded_at <= $at AND (recorded_at < $at OR recorded_at = $at AND (tenant_id, seq) < ($at_tenant, $at_seq))"
)
_QUERY: Final = f"""
SELECT newest.*, files.key, files.size, files.sha256, files.rows
FROM (SELECT * FROM activity WHERE {{conditions}} ORDER BY {_ORDER} LIMIT $limit) AS newest
    LEFT JOIN lake.files AS files USING (file)
ORDER BY {_ORDER}
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which events are asked for. None means any; ``since`` is inclusive and ``until`` exclusive, both UTC."""

    tenant_id: str | None = None
    actor_id: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def given(self) -> dict[str, str | datetime]:
        """What is asked for, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def values(self) -> dict[str, str]:
        """What is asked for except the period, by name."""
        return {name: value for name, value in self.given().items() if isinstance(value, str)}

    def text(self) -> str:
        """The question as text, by which a cursor knows it again."""
        return json.dumps({name: str(value) for name, value in self.given().items()})


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first, each with the cursor behind it. ``more`` tells whether others follow the last one."""

    events: tuple[ShownEvent, ...]
    cursors: tuple[str, ...]
    more: bool

    @property
    def verified(self) -> bool:
        """Whether every event is as it was recorded."""
        return all(event.check is Check.VERIFIED for event in self.events)


def unheard_of(db: duckdb.DuckDBPyConnection, question: Question) -> list[str]:
    """Of what is asked for the names whose value no event has at all, as after a slip of the pen."""
    return [
        name
        for name, value in question.values().items()
        if not db.execute(f"SELECT 1 FROM activity WHERE {name} = $value LIMIT 1", {"value": value}).fetchall()  # noqa: S608 - a field's name
    ]


def newest_events(
    db: duckdb.DuckDBPyConnection, lake: Lake, question: Question, limit: int, after: str | None = None
) -> Page:
    """Return the newest events that ``question`` asks for, at most ``limit``, from the cursor ``after`` on.

    ``db`` comes from :func:`~lumi_pipeline.analytics.connect`. Every event is read from the lake, and its hashes are
    computed. Raises :class:`~lumi_pipeline.errors.QuestionError` when the cursor is none, or of another question.
    """
    asked = question.text()
    parameters: dict[str, object] = {**question.given(), "limit": limit + 1}
    conditions = [_CONDITIONS[name] for name in question.given()]
    if after is not None:
        cursor = Cursor.parse(after, asked)
        parameters |= {"at": cursor.recorded_at, "at_tenant": cursor.tenant_id, "at_seq": cursor.seq}
        conditions.append(_BEHIND)
    query = _QUERY.format(conditions=" AND ".join(conditions) or "true")
    table = db.sql(query, params=parameters).to_arrow_table()
    page = table.slice(0, limit)
    known = page.select(ACTIVITY_COLUMNS).to_pylist()
    files = (page.column(name).to_pylist() for name in ("key", "size", "rows", "sha256"))
    places = (page.column(name).to_pylist() for name in ("sealed", "file_row"))
    found = [
        Located(row, is_sealed, StoredFile(*file), at)
        for row, is_sealed, at, *file in zip(known, *places, *files, strict=True)
    ]
    keys = (page.column(name).to_pylist() for name in ("recorded_at", "tenant_id", "seq"))
    cursors = tuple(Cursor(*key).encode(asked) for key in zip(*keys, strict=True))
    return Page(tuple(recheck(db, lake, found)), cursors, len(table) > limit)
