"""Orders of erasure: which events are to lose their payload, fixed before anything is touched.

``erasures/<n>/order.json`` comes first and names every event; then the operator's audit event is recorded, which
carries the order's SHA-256, so that nobody can add to it; ``erasures/<n>/done.json`` comes last. An order without it
was interrupted, and running it again completes it. An order that a legal hold forbade before its event was recorded is
closed as void, and covers nothing.

Where a payload is gone already that nothing ordered to be erased, the order says so, and the mark that was found stays
as it is: the rows keep telling what was done to them, and no other mark is accepted.

Other runs copy rows from one place to another at the same time. They count the objects under ``erasures/`` before they
read and before they commit (:func:`steps_taken`), and commit nothing if one was added. So that those are found out,
too, who began while an erasure was under way, each round through the places begins with an object of its own,
``erasures/<n>/round-<k>.json``.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from lumi_pipeline.errors import ConcurrentRun, LakeError, RecordError
from lumi_pipeline.events import to_micros
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_any_sealed, parse_sealed
from transparency.encoding import Json, format_timestamp, parse_timestamp
from transparency.errors import EncodingError, ObjectConflict

ORDERS: Final = "erasures/"
ORDER_FORMAT: Final = "lumi/erasure/v1"
GONE_FORMAT: Final = "lumi/erasure/v2"
"""An order of events some of which were gone already; the others keep the form that they always had."""
DONE_FORMAT: Final = "lumi/erasure-done/v1"
ROUND_FORMAT: Final = "lumi/erasure-round/v1"
MAX_EVENTS: Final = 1_000_000
"""Events that one order names at most: all of them are in one object."""

_MAX_TOKENS: Final = 3 * 6 * MAX_EVENTS + 100
"""Strings, commas and brackets of the longest order: six for each event, and as many for each place where it is gone.

An order that could be kept and not read would be in the way of everything for ever.
"""

_FIELDS: Final = frozenset({"at", "event_id", "events", "number", "reason", "selector", "tenant"})
_FORMATS: Final = {ORDER_FORMAT: _FIELDS, GONE_FORMAT: _FIELDS | {"gone"}}
_DONE: Final = frozenset({"number", "order", "outcome"})
_NAMED: Final = 100
"""Events that the audit event names one by one; of more of them the order's SHA-256 has to do."""


class Selector(StrEnum):
    """By what the events were chosen. Whose they are is not kept: it may be what has to be forgotten."""

    ACTOR = "actor"
    EVENT = "event"


class Place(StrEnum):
    """Where the payload of an event may be gone before it is ordered to be."""

    LAKE = "lake"
    OUTBOX = "outbox"


Gone: TypeAlias = Mapping[Place, Mapping[int, datetime]]
"""By place, the events (by seq) whose payload was found gone there, and when it is said to have been erased."""


class Outcome(StrEnum):
    """How an order ended."""

    DONE = "done"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Order:
    """An order: the events of one tenant, by seq, that are erased as of ``at``.

    ``event_id`` is the operator's audit event that says so, fixed beforehand so that it is recorded once. ``gone`` is
    what was gone already then, without an order.
    """

    number: int
    event_id: str
    tenant_id: str
    selector: Selector
    reason: str
    at: datetime
    events: Mapping[int, str]
    gone: Gone = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Where it is kept."""
        return order_key(self.number)

    def encode(self) -> bytes:
        """The bytes of ``order.json``."""
        events: list[Json] = [[str(seq), event_id] for seq, event_id in sorted(self.events.items())]
        fields: dict[str, Json] = {
            "at": format_timestamp(self.at),
            "event_id": self.event_id,
            "events": events,
            "number": str(self.number),
            "reason": self.reason,
            "selector": self.selector.value,
            "tenant": self.tenant_id,
        }
        if not any(self.gone.values()):
            return encode_sealed(ORDER_FORMAT, fields)
        gone: dict[str, Json] = {
            place.value: [[str(seq), format_timestamp(at)] for seq, at in sorted(self.gone.get(place, {}).items())]
            for place in Place
        }
        return encode_sealed(GONE_FORMAT, {**fields, "gone": gone})

    @property
    def sha256(self) -> str:
        """What the audit event names it by, in hexadecimal."""
        return hashlib.sha256(self.encode()).hexdigest()

    def summary(self) -> dict[str, Json]:
        """What the operator's audit event says of it: nothing of what is erased, nor by whose wish."""
        ids: list[Json] = [event_id for _, event_id in sorted(self.events.items())]
        gone: dict[str, Json] = {place.value: str(len(self.gone.get(place, {}))) for place in Place}
        return {
            **({"already_gone": gone} if any(self.gone.values()) else {}),
            "erased_at": format_timestamp(self.at),
            "erasure": str(self.number),
            "event_ids": ids if len(ids) <= _NAMED else None,
            "events": str(len(ids)),
            "order_sha256": self.sha256,
            "reason": self.reason,
            "selector": self.selector.value,
            "tenant": self.tenant_id,
        }

    @classmethod
    def parse(cls, data: bytes, key: str) -> "Order":
        """Read an order; :class:`~lumi_pipeline.errors.RecordError` naming ``key`` when it was altered."""
        value = parse_any_sealed(_FORMATS, data, key, max_tokens=_MAX_TOKENS)
        events = value["events"]
        try:
            if not isinstance(events, list):
                raise RecordError("its events are no list")
            order = cls(
                json_count(value["number"]),
                json_text(value["event_id"]),
                json_text(value["tenant"]),
                Selector(json_text(value["selector"])),
                json_text(value["reason"]),
                parse_timestamp(json_text(value["at"])),
                dict(map(_event, events)),
                _gone(value.get("gone", {})),
            )
        except (RecordError, EncodingError, ValueError) as error:
            raise RecordError(f"{key} was altered: {error}") from None
        known = all(marked.keys() <= order.events.keys() for marked in order.gone.values())
        if order.key != key or order.encode() != data or not known:
            raise RecordError(f"{key} was altered: it is not in the form of the order {order.number}")
        return order


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """An order, and how it ended; None while it has not."""

    order: Order
    outcome: Outcome | None


def order_key(number: int) -> str:
    """Key of an order."""
    return f"{ORDERS}{number:06d}/order.json"


def newest_order(lake: Lake) -> int:
    """The highest number of an order; -1 without any."""
    return max((_number(key) for key in lake.store.list(ORDERS)), default=-1)


def read_orders(lake: Lake) -> list[KnownOrder]:
    """Read all orders, in order; :class:`~lumi_pipeline.errors.LakeError` when one is gone or was altered."""
    keys = set(lake.store.list(ORDERS))
    orders: list[KnownOrder] = []
    for number in sorted({_number(key) for key in keys}):
        if order_key(number) not in keys or number != len(orders):
            raise LakeError(f"{order_key(len(orders))} is gone; restore it from a backup")
        order = Order.parse(lake.store.get(order_key(number)), order_key(number))
        orders.append(KnownOrder(order, _outcome(lake, order) if _done_key(number) in keys else None))
    return orders


def unfinished_order(lake: Lake) -> Order | None:
    """The order that was begun and not finished; there is at most one."""
    number = newest_order(lake)
    if number < 0 or _done_key(number) in set(lake.store.list(f"{ORDERS}{number:06d}/")):
        return None
    return Order.parse(lake.store.get(order_key(number)), order_key(number))


def keep_order(lake: Lake, order: Order) -> None:
    """Fix an order. :class:`~lumi_pipeline.errors.ConcurrentRun` when another run has fixed one of this number."""
    try:
        # A crash after this leaves an order that nothing says was given: the next run records its event, or closes it.
        lake.store.put_new(order.key, order.encode())
    except ObjectConflict:
        raise ConcurrentRun(f"another run began erasure {order.number} at this moment; run again") from None


def begin_round(lake: Lake, order: Order) -> None:
    """Say that the places are gone through once more; whoever read them before commits nothing of it."""
    number = sum(1 for _ in lake.store.list(_round_prefix(order.number)))
    fields: dict[str, Json] = {"number": str(order.number), "order": order.sha256, "round": str(number)}
    # A crash after this leaves an object that says nothing but that something was begun.
    lake.store.put_new(f"{_round_prefix(order.number)}{number:06d}.json", encode_sealed(ROUND_FORMAT, fields))


def steps_taken(lake: Lake) -> int:
    """How many objects erasures have left under ``erasures/``: the same number twice means that none went on."""
    return sum(1 for _ in lake.store.list(ORDERS))


def finish_order(lake: Lake, order: Order, outcome: Outcome) -> None:
    """Say that nothing is left to do of an order."""
    fields: dict[str, Json] = {"number": str(order.number), "order": order.sha256, "outcome": outcome.value}
    lake.store.put_new(_done_key(order.number), encode_sealed(DONE_FORMAT, fields))


def lake_has_none(events: Collection[int], gone: Gone) -> bool:
    """Whether no row of the lake has a payload of any of these events, so that no copy of its rows can have one."""
    return set(events) <= gone.get(Place.LAKE, {}).keys()


def said_of_gone(gone: Gone) -> str:
    """How much was gone already, in words; empty where nothing was."""
    return ", ".join(f"{len(gone[place])} in the {place.value}" for place in Place if gone.get(place))


class OrderedRows:
    """The rows that orders cover: tenant → seq → the times (µs) that ``erased_at`` may have."""

    def __init__(self, orders: Iterable[Order]) -> None:
        self.rows: dict[str, dict[int, AbstractSet[int]]] = {}
        for order in orders:
            rows = self.rows.setdefault(order.tenant_id, {})
            rows.update(dict.fromkeys(order.events, frozenset({to_micros(order.at)})))
            for marked in order.gone.values():
                for seq, at in marked.items():
                    rows[seq] = rows[seq] | {to_micros(at)}

    def of(self, tenant_id: str) -> Mapping[int, AbstractSet[int]]:
        """The rows of one tenant."""
        return self.rows.get(tenant_id, {})


def _outcome(lake: Lake, order: Order) -> Outcome:
    key = _done_key(order.number)
    value = parse_sealed(DONE_FORMAT, lake.store.get(key), _DONE, key)
    try:
        outcome = Outcome(json_text(value["outcome"]))
    except ValueError:
        raise RecordError(f"{key} was altered: it names an end that there is not") from None
    if json_text(value["order"]) != order.sha256:
        raise RecordError(f"{key} is about another order than {order.key}: one of the two was altered")
    return outcome


def _done_key(number: int) -> str:
    return f"{ORDERS}{number:06d}/done.json"


def _round_prefix(number: int) -> str:
    return f"{ORDERS}{number:06d}/round-"


def _number(key: str) -> int:
    number = key.removeprefix(ORDERS).partition("/")[0]
    if not number.isdecimal():
        raise LakeError(f"{key} belongs to no erasure; move it away")
    return int(number)


def _gone(value: Json) -> Gone:
    if not isinstance(value, dict):
        raise RecordError("what was gone is told by place")
    found: dict[Place, dict[int, datetime]] = {}
    for place, marked in value.items():
        if not isinstance(marked, list):
            raise RecordError(f"what was gone in the {place} is no list")
        found[Place(place)] = {seq: parse_timestamp(at) for seq, at in map(_event, marked)}
    return found


def _event(value: Json) -> tuple[int, str]:
    match value:
        case [str(seq), str(event_id)]:
            return json_count(seq), event_id
    raise RecordError("an event is named by seq and event_id")
