"""What an erasure left of a plan's batches: bodies that were made anew, and those that are gone.

``siem/<destination>/erased/<plan>/<n>.json`` names, for erasure n, the batches that held what it erased, by id, and
which events these were. A batch that may still be sent has another body, of the same events in the same order, as they
are now; one that is settled has none any more. Plans, ledger and receipts stay as they are: a receipt names the hash of
what was sent, and that did not change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lumi_pipeline.errors import LedgerError, RecordError
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import StoredFile, json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from lumi_pipeline.siem.plans import Plan
from transparency.encoding import Json

ERASED_FORMAT: Final = "lumi/siem-erased/v1"
_FIELDS: Final = frozenset({"batches", "erasure", "event_id", "events", "plan"})


@dataclass(frozen=True, slots=True)
class ErasedBatch:
    """A batch that held what was erased: its index in the plan, its id, the ids of these events.

    ``body`` is what is sent instead, None where nothing is; ``omitted`` is about that, as in a plan.
    """

    batch: int
    batch_id: str
    events: tuple[str, ...]
    body: StoredFile | None
    omitted: int

    def to_json(self) -> dict[str, Json]:
        """The batch as part of a record."""
        events: list[Json] = list(self.events)
        return {
            "batch": str(self.batch),
            "body": self.body.to_json() if self.body else None,
            "events": events,
            "id": self.batch_id,
            "omitted": str(self.omitted),
        }

    @classmethod
    def from_json(cls, value: Json) -> "ErasedBatch":
        """Read what :meth:`to_json` wrote."""
        match value:
            case {"batch": batch, "body": body, "events": list(events), "id": batch_id, "omitted": omitted}:
                return cls(
                    json_count(batch),
                    json_text(batch_id),
                    tuple(json_text(event_id) for event_id in events),
                    StoredFile.from_json(body) if body is not None else None,
                    json_count(omitted),
                )
        raise RecordError("a batch is not in form")


@dataclass(frozen=True, slots=True)
class ErasedPlan:
    """What one erasure did to one plan. ``events`` takes the place of the plan's table, where a body was made anew."""

    erasure: int
    event_id: str
    plan: int
    batches: tuple[ErasedBatch, ...]
    events: StoredFile | None

    def encode(self) -> bytes:
        """The record's exact bytes."""
        batches: list[Json] = [batch.to_json() for batch in self.batches]
        return encode_sealed(
            ERASED_FORMAT,
            {
                "batches": batches,
                "erasure": str(self.erasure),
                "event_id": self.event_id,
                "events": self.events.to_json() if self.events else None,
                "plan": str(self.plan),
            },
        )

    @classmethod
    def parse(cls, data: bytes, key: str) -> "ErasedPlan":
        """Read a record; :class:`~lumi_pipeline.errors.LedgerError` naming ``key`` when it was altered."""
        try:
            value = parse_sealed(ERASED_FORMAT, data, _FIELDS, key)
            batches, events = value["batches"], value["events"]
            if not isinstance(batches, list):
                raise RecordError("its batches are no list")
            record = cls(
                json_count(value["erasure"]),
                json_text(value["event_id"]),
                json_count(value["plan"]),
                tuple(ErasedBatch.from_json(batch) for batch in batches),
                StoredFile.from_json(events) if events is not None else None,
            )
        except RecordError as error:
            raise LedgerError(f"{key} is no record of an erasure: {error}") from None
        if not key.endswith(f"/{record.plan:012d}/{record.erasure:06d}.json"):
            raise LedgerError(f"{key} was altered: it is about plan {record.plan} and erasure {record.erasure}")
        return record


@dataclass(frozen=True, slots=True)
class CurrentPlan:
    """A plan with the bodies that it has now; ``gone`` are the batches that have none any more.

    ``made_anew`` are those with another body than was planned, each with the number of the erasure that made it.
    """

    plan: Plan
    gone: frozenset[int]
    made_anew: Mapping[int, int]


def erased_prefix(destination: str, plan: int) -> str:
    """Where what erasures left of a plan lies."""
    return f"siem/{destination}/erased/{plan:012d}/"


def record_key(destination: str, plan: int, erasure: int) -> str:
    """Key of what one erasure left of a plan."""
    return f"{erased_prefix(destination, plan)}{erasure:06d}.json"


def read_erased(lake: Lake, destination: str, plan: int) -> Sequence[ErasedPlan]:
    """Read the records about a plan, in the order of the erasures."""
    keys = [key for key in lake.store.list(erased_prefix(destination, plan)) if key.endswith(".json")]
    return sorted((ErasedPlan.parse(lake.store.get(key), key) for key in keys), key=lambda record: record.erasure)


def current_plan(lake: Lake, destination: str, plan: Plan) -> CurrentPlan:
    """A plan as erasures left it."""
    batches, events, gone = list(plan.batches), plan.events, set[int]()
    made_anew: dict[int, int] = {}
    for record in read_erased(lake, destination, plan.number):
        events = record.events or events
        for erased in record.batches:
            if erased.batch >= len(batches) or batches[erased.batch].batch_id != erased.batch_id:
                raise LedgerError(f"the record of erasure {record.erasure} names a batch that plan {plan.number} lacks")
            if erased.body is None:
                gone.add(erased.batch)
            else:
                batch = batches[erased.batch]
                batches[erased.batch] = replace(batch, body=erased.body, omitted=erased.omitted)
                made_anew[erased.batch] = record.erasure
    return CurrentPlan(replace(plan, batches=tuple(batches), events=events), frozenset(gone), made_anew)
