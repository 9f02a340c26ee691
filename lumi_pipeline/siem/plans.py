"""Plans: what was cut into batches for a destination, and from which rows; numbered, and never changed.

A plan is one object ``siem/<destination>/plans/<n>.json``. It lists the bodies as they are sent, under
``batches/<n>/``, and tables of their events, under ``planned/<n>/``; bodies are of no use once they are delivered.
Whoever creates number n has planned; other files there are orphans. How far each tenant was planned follows from the
plans, so there is no cursor to lose; every 64th plan sums them up.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Final

import pyarrow as pa

from lumi_pipeline.errors import LakeError, LedgerError
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import StoredFile, json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from lumi_pipeline.siem.journal import Journal
from transparency.encoding import Json, format_timestamp, parse_day, parse_timestamp
from transparency.errors import EncodingError

PLAN_FORMAT: Final = "lumi/siem-plan/v1"
LIVE: Final = "live"
"""The lane of plans that go on from the ones before; all others are backfills."""

SUMMED_EVERY: Final = 64
Ranges = Mapping[str, tuple[int, int]]
"""Tenant → the first seq, and the one behind the last."""

_FIELDS: Final = frozenset(
    {"at", "backfill", "batches", "covered", "cursors", "events", "landing", "lane", "mapping", "number", "previous"}
    | {"refused", "since"}
)
_EVENTS_TYPES: Final[Mapping[str, pa.DataType]] = {
    "batch": pa.int32(),
    "tenant_id": pa.string(),
    "seq": pa.int64(),
    "event_id": pa.string(),
    "offset": pa.int64(),
    "length": pa.int64(),
}
EVENTS_SCHEMA: Final = pa.schema(_EVENTS_TYPES)
"""One row an event: its batch's index in the plan, and where its record lies in the batch's content."""

_EVENTS_ENCODINGS: Final[Mapping[str, str]] = {
    "event_id": "DELTA_BYTE_ARRAY",
    **dict.fromkeys(("seq", "offset", "length"), "DELTA_BINARY_PACKED"),
}
"""Of these no dictionary is smaller, or written as fast."""

_CURSORS_TYPES: Final[Mapping[str, pa.DataType]] = {"tenant_id": pa.string(), "next": pa.int64()}
CURSORS_SCHEMA: Final = pa.schema(_CURSORS_TYPES)


@dataclass(frozen=True, slots=True)
class TenantShare:
    """A tenant's events in a batch: from seq ``first`` to ``last``, ``count`` of them."""

    tenant_id: str
    first: int
    last: int
    count: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One planned request. ``body`` is stored as it is sent.

    ``oldest`` and ``newest`` are the earliest and the latest ``occurred_at``; ``omitted`` counts the events that lack
    large values; a ``quiet`` batch holds nothing but digests of receipts.
    """

    batch_id: str
    route: str
    group: str
    day: date
    body: StoredFile
    tenants: tuple[TenantShare, ...]
    oldest: datetime
    newest: datetime
    omitted: int
    quiet: bool

    @property
    def count(self) -> int:
        """Number of events."""
        return self.body.rows

    def to_json(self) -> dict[str, Json]:
        """The batch as part of its plan."""
        return {
            "body": self.body.to_json(),
            "day": self.day.isoformat(),
            "group": self.group,
            "id": self.batch_id,
            "newest": format_timestamp(self.newest),
            "oldest": format_timestamp(self.oldest),
            "omitted": self.omitted,
            "quiet": self.quiet,
            "route": self.route,
            "tenants": [[t.tenant_id, str(t.first), str(t.last), str(t.count)] for t in self.tenants],
        }

    @classmethod
    def from_json(cls, value: Json) -> "Batch":
        """Read what :meth:`to_json` wrote."""
        match value:
            case {
                "id": str(batch_id),
                "route": str(route),
                "group": str(group),
                "day": str(day),
                "body": body,
                "tenants": list(tenants),
                "oldest": str(oldest),
                "newest": str(newest),
                "omitted": int(omitted),
                "quiet": bool(quiet),
            }:
                return cls(
                    batch_id,
                    route,
                    group,
                    parse_day(day),
                    StoredFile.from_json(body),
                    tuple(_share(share) for share in tenants),
                    parse_timestamp(oldest),
                    parse_timestamp(newest),
                    omitted,
                    quiet,
                )
        raise LedgerError("a batch is not in form")


@dataclass(frozen=True, slots=True)
class Covered:
    """Rows of a tenant that a plan dealt with: seqs ``first`` to ``next`` - 1, of which ``filtered`` go nowhere."""

    tenant_id: str
    first: int
    next: int
    filtered: int


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that no record could be made for; it is quarantined without having been sent."""

    tenant_id: str
    seq: int
    event_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan. ``landing`` is the first landing that may hold rows which live planning has not dealt with.

    ``since`` is the day of recording that the destination starts with; ``cursors`` sums up this and all plans before.
    ``backfill`` is the last plan before this one that was not live, so that these are found among years of others.
    """

    number: int
    previous: str
    at: datetime
    lane: str
    mapping: str
    since: date
    landing: int
    covered: tuple[Covered, ...]
    batches: tuple[Batch, ...]
    refused: tuple[Refused, ...]
    events: StoredFile | None
    cursors: StoredFile | None
    backfill: int | None

    def encode(self) -> bytes:
        """The bytes of the plan's commit object."""
        covered: list[Json] = [[c.tenant_id, str(c.first), str(c.next), str(c.filtered)] for c in self.covered]
        return encode_sealed(
            PLAN_FORMAT,
            {
                "at": format_timestamp(self.at),
                "backfill": None if self.backfill is None else str(self.backfill),
                "batches": [batch.to_json() for batch in self.batches],
                "covered": covered,
                "cursors": self.cursors.to_json() if self.cursors else None,
                "events": self.events.to_json() if self.events else None,
                "landing": str(self.landing),
                "lane": self.lane,
                "mapping": self.mapping,
                "number": str(self.number),
                "previous": self.previous,
                "refused": [[r.tenant_id, str(r.seq), r.event_id, r.reason] for r in self.refused],
                "since": self.since.isoformat(),
            },
        )

    @classmethod
    def parse(cls, data: bytes, name: str) -> "Plan":
        """Read a plan; :class:`~lumi_pipeline.errors.LakeError` unless it is what :meth:`encode` wrote."""
        value = parse_sealed(PLAN_FORMAT, data, _FIELDS, name)
        try:
            batches, covered, refused = value["batches"], value["covered"], value["refused"]
            if not isinstance(batches, list) or not isinstance(covered, list) or not isinstance(refused, list):
                raise LedgerError("a list is not in form")
            return cls(
                json_count(value["number"]),
                json_text(value["previous"]),
                parse_timestamp(json_text(value["at"])),
                json_text(value["lane"]),
                json_text(value["mapping"]),
                parse_day(json_text(value["since"])),
                json_count(value["landing"]),
                tuple(_covered(row) for row in covered),
                tuple(Batch.from_json(batch) for batch in batches),
                tuple(_refused(row) for row in refused),
                StoredFile.from_json(value["events"]) if value["events"] is not None else None,
                StoredFile.from_json(value["cursors"]) if value["cursors"] is not None else None,
                json_count(value["backfill"]) if value["backfill"] is not None else None,
            )
        except (LedgerError, LakeError, EncodingError) as error:
            raise LedgerError(f"{name} is not a plan: {error}") from None


@dataclass(frozen=True, slots=True)
class Planned:
    """How far a destination's planning has come: the last plan, its object's SHA-256, and the tenants' cursors."""

    last: Plan | None
    sha256: str
    cursors: Mapping[str, int]

    @property
    def next_number(self) -> int:
        """The number that the next plan gets."""
        return self.last.number + 1 if self.last else 0

    @property
    def last_backfill(self) -> int | None:
        """The number of the last plan that was not live."""
        return last_backfill(self.last) if self.last else None

    def next_seq(self, tenant_id: str, starts: Mapping[str, int]) -> int:
        """The seq with which live planning of a tenant goes on; ``starts`` is where it begins (none: at 0)."""
        return self.cursors.get(tenant_id, starts.get(tenant_id, 0))


class PlanBook:
    """The plans of one destination, as they are stored."""

    def __init__(self, lake: Lake, destination: str) -> None:
        self._lake = lake
        self.prefix = f"siem/{destination}/"
        self.journal = Journal(lake.store, f"{self.prefix}plans/")

    def bodies_prefix(self, number: int) -> str:
        """Where the bodies of a plan's batches lie."""
        return f"{self.prefix}batches/{number:012d}/"

    def tables_prefix(self, number: int) -> str:
        """Where the tables of a plan lie."""
        return f"{self.prefix}planned/{number:012d}/"

    def find(self, number: int) -> Plan | None:
        """Return a plan, or None when there is none."""
        data = self.journal.find(number)
        if data is None:
            return None
        plan = Plan.parse(data, self.journal.key(number))
        if plan.number != number:
            raise LedgerError(f"{self.journal.key(number)} was altered: it is plan {plan.number}")
        return plan

    def read(self, number: int) -> Plan:
        """Return a plan that there was."""
        plan = self.find(number)
        if plan is None:
            raise LedgerError(f"{self.journal.key(number)} is gone; plans are never deleted: restore it from a backup")
        return plan

    def since(self, number: int, end: int | None = None) -> Iterator[Plan]:
        """Yield the plans from a number on, up to an ``end`` (excluded), in order, each checked to follow the last."""
        before: str | None = None
        for found, data in islice(self.journal.since(number), None if end is None else max(end - number, 0)):
            plan = Plan.parse(data, self.journal.key(found))
            if plan.number != found or before not in {None, plan.previous}:
                raise LedgerError(f"{self.journal.key(found)} does not follow the plan before it: one was altered")
            before = hashlib.sha256(data).hexdigest()
            yield plan

    def planned(self) -> Planned:
        """Return how far planning has come."""
        last = self.journal.last()
        if last is None:
            return Planned(None, "", {})
        cursors: Mapping[str, int] = {}
        plan = None
        for plan in self.since(last - last % SUMMED_EVERY):
            if plan.cursors is not None:
                cursors = self.cursors(plan)
            else:
                cursors = {**cursors, **advanced(plan.lane, plan.covered)}
        if plan is None:
            raise LedgerError(f"{self.journal.key(last)} is gone; plans are never deleted: restore it from a backup")
        return Planned(plan, hashlib.sha256(self.journal.read(plan.number)).hexdigest(), cursors)

    def cursors(self, plan: Plan) -> Mapping[str, int]:
        """Return how far every tenant was planned by a plan that sums up, and those before it."""
        if plan.cursors is None:
            raise LedgerError(f"{self.journal.key(plan.number)} was altered: every {SUMMED_EVERY}th plan sums up")
        table = self._lake.read_table(plan.cursors, CURSORS_SCHEMA)
        return {str(row["tenant_id"]): int(str(row["next"])) for row in table.to_pylist()}

    def events(self, plan: Plan) -> pa.Table:
        """Return the events of a plan's batches, in EVENTS_SCHEMA, sorted by batch and place in it."""
        return self._lake.read_table(plan.events, EVENTS_SCHEMA) if plan.events else EVENTS_SCHEMA.empty_table()

    def keep_events(self, number: int, parts: Sequence[pa.Table]) -> StoredFile | None:
        """Store the events of a plan's batches, if there are any."""
        if not parts:
            return None
        return self._lake.put_parquet(f"{self.tables_prefix(number)}events", pa.concat_tables(parts), _EVENTS_ENCODINGS)

    def keep_cursors(self, number: int, cursors: Mapping[str, int]) -> StoredFile:
        """Store how far every tenant was planned."""
        known = sorted(cursors.items())
        table = pa.table([[t for t, _ in known], [n for _, n in known]], schema=CURSORS_SCHEMA)
        return self._lake.put_parquet(f"{self.tables_prefix(number)}cursors", table)

    def tidy(self, plan: Plan) -> None:
        """Remove what runs that crashed or were overtaken left under the number of a committed plan."""
        listed = {file.path for file in (plan.events, plan.cursors, *(b.body for b in plan.batches)) if file}
        for prefix in (self.bodies_prefix(plan.number), self.tables_prefix(plan.number)):
            for key in list(self._lake.store.list(prefix)):
                if key not in listed:
                    self._lake.discard(key)


def destinations_of(lake: Lake) -> Iterator[str]:
    """Yield every destination that ever was, however many objects each has."""
    after = ""
    while key := next(iter(lake.store.list("siem/", start_after=after)), None):
        name = key.split("/")[1]
        yield name
        after = f"siem/{name}0"  # the character behind the slash, so behind all that is below it


def last_backfill(plan: Plan) -> int | None:
    """The number of the last plan that was not live, up to this one."""
    return plan.backfill if plan.lane == LIVE else plan.number


def advanced(lane: str, covered: Sequence[Covered]) -> dict[str, int]:
    """The cursors that a plan moves, and where to."""
    return {share.tenant_id: share.next for share in covered} if lane == LIVE else {}


def _share(value: Json) -> TenantShare:
    match value:
        case [str(tenant_id), str(first), str(last), str(count)]:
            return TenantShare(tenant_id, json_count(first), json_count(last), json_count(count))
    raise LedgerError("a tenant's share of a batch is not in form")


def _covered(value: Json) -> Covered:
    match value:
        case [str(tenant_id), str(first), str(after), str(filtered)]:
            return Covered(tenant_id, json_count(first), json_count(after), json_count(filtered))
    raise LedgerError("a covered range is not in form")


def _refused(value: Json) -> Refused:
    match value:
        case [str(tenant_id), str(seq), str(event_id), str(reason)]:
            return Refused(tenant_id, json_count(seq), event_id, reason)
    raise LedgerError("a refused event is not in form")
