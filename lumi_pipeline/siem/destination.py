"""What a destination is to the sender: how a record looks, how much fits into a request, what came of sending it.

Everything that knows a vendor is in ``destinations/``; everything that must not lose an event is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Protocol

import pyarrow as pa

from lumi_pipeline.siem.settings import DestinationSettings, Route


class Assurance(Enum):
    """What a destination's word is worth: it took the bytes, it has indexed them, it keeps them durably."""

    RECEIVED = "received"
    INDEXED = "indexed"
    STORED = "stored"


class Framing(Enum):
    """How records stand in a body: one a line, each line with its line feed, or a JSON array."""

    LINES = "lines"
    ARRAY = "array"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much fits into one request: bytes of the body before compression, framing included, and events.

    ``record_bytes`` is the most that one record may have, ``field_bytes`` one text value in UTF-8; events beyond are
    sent without their large values, which the record names.
    """

    body_bytes: int
    events: int
    record_bytes: int
    field_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class AgeRule:
    """Times (``occurred_at``) that a destination does not take as they are: older than this, or further ahead.

    ``replaces``: it puts its own time in their place by itself; otherwise ``restamp`` sees to what is sent.
    """

    older: timedelta
    ahead: timedelta
    replaces: bool = False


class Result(Enum):
    """What came of a request.

    DELIVERED: all of it is there, as ``assurance`` says; with ``ack`` only once that is confirmed. PARTIAL: the events
    before ``index`` are there, that one is refused, those after it are not there. RETRY: none is there; try again.
    AMBIGUOUS: nobody knows; try again, and say that events may be there twice. TOO_LARGE: none is there; send less at
    once. REFUSED: none is there because of one event's content (``index`` if it is known, else it is searched for).
    BLOCKED: none is there, and none will be before somebody corrects something.
    """

    DELIVERED = "delivered"
    PARTIAL = "partial"
    RETRY = "retry"
    AMBIGUOUS = "ambiguous"
    TOO_LARGE = "too-large"
    REFUSED = "refused"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of sending one batch, in words that go into the ledger: never a secret, never event content.

    ``retry_after`` is seconds that the whole destination is left alone, also after a DELIVERED. ``request_id`` is what
    the vendor's support asks for. ``facts`` are what a receipt keeps besides: Kafka offsets, an object's version.
    """

    result: Result
    detail: str = ""
    assurance: Assurance | None = None
    status: int | None = None
    request_id: str | None = None
    retry_after: float | None = None
    index: int | None = None
    ack: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is sent in one request. ``body`` is what :meth:`Destination.body` made of the framed records.

    ``batch_id`` is the planned batch (64 hexadecimal digits) and is in each record; ``delivery_id`` is the same for a
    whole batch, and tells a slice of one from others: the idempotency key. ``group`` is what all events have in common
    (:meth:`Destination.group`). ``records`` are the events one by one, empty where the destination does not send them
    so; ``events`` are their ids, ``tenants`` whose they are, in the same order. ``day`` is the UTC day on which they
    were recorded, ``timestamp`` is now.
    """

    batch_id: str
    delivery_id: str
    route: Route
    group: str
    day: date
    body: bytes
    body_sha256: str
    records: Sequence[bytes]
    events: Sequence[str]
    tenants: Sequence[str]
    attempt: int
    timestamp: datetime

    @property
    def count(self) -> int:
        """Number of events."""
        return len(self.events)


class Destination(Protocol):
    """A place that takes events. ``send`` may be called from several threads at a time."""

    settings: DestinationSettings
    limits: Limits
    framing: Framing
    suffix: str
    """How the name of a stored body ends: ``ndjson.gz``, ``json.gz`` or ``parquet``. What is gzipped can be sliced."""
    age: AgeRule | None
    mapping: str
    """Name and version of how records look: part of a batch's identity, so another one makes other batches."""

    def record(self, event: str, route: Route) -> str:
        """Return the SQL expression of one record's JSON text, of ``event``, the expression of the event's JSON.

        It is evaluated by DuckDB over rows with the columns of ``EVENT_SCHEMA``, those of fixed size as text in
        lower-case hexadecimal, and ``omitted`` (names of columns whose values were left out, NULL where none was).
        A record is one line: JSON text holds no line feed.
        """
        ...

    def group(self, events: pa.Table) -> pa.StringArray | None:
        """Return a text for each event, such that a request only holds events with the same one; None: it may mix.

        Within a group events stay in the order of their tenants and seqs; groups follow one another.
        """
        ...

    def body(self, content: bytes | memoryview) -> bytes:
        """Return what is stored and sent of framed records: as a rule :func:`~lumi_pipeline.siem.gzipping.compress`.

        The memory may be used for something else afterwards.
        The same content has to give the same bytes as long as the software is the same.
        """
        ...

    def restamp(self, record: bytes, now: datetime) -> bytes:
        """Return a record as it must be sent at ``now`` when its time breaks the age rule; else as it is."""
        ...

    def send(self, outgoing: Outgoing) -> Outcome:
        """Send one request. Whatever the network or the vendor does is an outcome, never an exception.

        A secret that can't be read is BLOCKED.
        """
        ...

    def confirm(self, acks: Sequence[str], route: Route) -> Mapping[str, bool]:
        """Ask which acknowledgements are true by now; an id that is left out can't be asked for any more.

        Only called with what ``send`` returned as ``ack``. An id answers once: what is returned as true is kept.
        """
        ...

    def check(self) -> Sequence[str]:
        """Try credentials and settings without sending an event; return what was found right, a line each.

        Raises :class:`~lumi_pipeline.errors.SiemError` with what to correct.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
