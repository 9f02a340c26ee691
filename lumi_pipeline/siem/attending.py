"""What a person decides about a destination: to try again, to send what was put aside, or to give it up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem import receipts
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.ledger import Delivery, Do, Key, Move, State
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.loading import Loader
from lumi_pipeline.siem.opening import opened
from lumi_pipeline.siem.plans import PlanBook
from lumi_pipeline.siem.status import identified

_PREFIX: Final = 4
"""Characters of a batch's id that are asked for, so that a slip of the hand names none."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An event that a destination did not take: its key in the ledger, what it is, and why."""

    key: Key
    tenant_id: str
    seq: int
    event_id: str
    reason: str


def unblock(exports: Exports, name: str) -> int:
    """Let a destination try again at once, with whatever was blocked; return the number of batches that were."""
    with exports.attending(name) as (book, lease):
        now = exports.clock()
        blocked = book.ledger.of(State.BLOCKED)
        moves = [Move(Do.RESUME, now), *(Move(Do.RELEASE, now, delivery.key) for delivery in blocked)]
        if book.ledger.pauses:
            moves.append(Move(Do.RESUME, now, lanes=tuple(book.ledger.pauses)))
        book.write(moves, (), now, lease.holder)
    return len(blocked)


def give_up(exports: Exports, name: str, reason: str, batches: Sequence[str] | None) -> list[Delivery]:
    """Give up blocked batches, for a reason that becomes a receipt each; return them, or the slices that they were in.

    ``batches`` are ids, or how such begin, each of one blocked batch; None for all that are blocked. Meant for what was
    sent another way, or what nobody needs: it counts as given up unless it is delivered elsewhere.
    """
    _check_reason(reason)
    with opened(exports.settings(name)) as destination, exports.attending(name) as (book, lease):
        plans = PlanBook(exports.lake, name)
        loader = Loader(exports.lake, plans, destination)
        now = exports.clock()
        blocked = book.ledger.of(State.BLOCKED)
        if batches is not None:
            blocked = _named(name, list(identified(plans, blocked)), batches)
        lines = [receipts.given_up(name, found, loader.shares(found.key), reason, now) for found in blocked]
        book.write([Move(Do.DISCARD, now, d.key, detail=reason) for d in blocked], lines, now, lease.holder)
        exports.receipts(name).write(book)
    return blocked


def quarantined(exports: Exports, name: str) -> list[Quarantined]:
    """The events that were put aside."""
    with opened(exports.settings(name)) as destination:
        loader = Loader(exports.lake, PlanBook(exports.lake, name), destination)
        found = LedgerBook(exports.lake, name).ledger.of(State.QUARANTINED)
        return [Quarantined(d.key, *loader.event(d.key), d.detail) for d in found]


def quarantined_record(exports: Exports, name: str, key: Key) -> bytes:
    """The record of an event that was put aside, as it was sent; empty where none could be made."""
    with opened(exports.settings(name)) as destination:
        _check(name, LedgerBook(exports.lake, name), [key])
        return b"" if key.is_refusal else Loader(exports.lake, PlanBook(exports.lake, name), destination).record(key)


def release(exports: Exports, name: str, keys: Sequence[Key]) -> int:
    """Send events again that were put aside; return their number."""
    with exports.attending(name) as (book, lease):
        _check(name, book, keys)
        now = exports.clock()
        book.write([Move(Do.RELEASE, now, key) for key in keys], (), now, lease.holder)
    return len(keys)


def discard(exports: Exports, name: str, keys: Sequence[Key], reason: str) -> int:
    """Give up events that were put aside, for a reason that becomes a receipt; return their number."""
    _check_reason(reason)
    with opened(exports.settings(name)) as destination, exports.attending(name) as (book, lease):
        _check(name, book, keys)
        loader = Loader(exports.lake, PlanBook(exports.lake, name), destination)
        now = exports.clock()
        lines = [receipts.discarded(name, book.ledger.open[key], loader.event(key), reason, now) for key in keys]
        book.write([Move(Do.DISCARD, now, key, detail=reason) for key in keys], lines, now, lease.holder)
        exports.receipts(name).write(book)
    return len(keys)


def _named(name: str, blocked: Sequence[tuple[Delivery, str]], prefixes: Sequence[str]) -> list[Delivery]:
    """Those of the blocked batches whose ids begin so; every prefix has to name one."""
    chosen: set[str] = set()
    for prefix in prefixes:
        found = {batch_id for _, batch_id in blocked if batch_id.startswith(prefix)}
        if len(prefix) < _PREFIX:
            raise SiemError(f"{prefix!r} is too short for a batch's id; give at least {_PREFIX} characters")
        if len(found) != 1:
            what = f"names {len(found)} of them; give more of the id" if found else "is the id of none of them"
            raise SiemError(
                f"{name}: of its blocked batches {prefix[:80]!r} {what}; 'lumi siem status {name}' lists them"
            )
        chosen |= found
    return [delivery for delivery, batch_id in blocked if batch_id in chosen]


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise SiemError("giving up an event needs a reason that an auditor can read")


def _check(name: str, book: LedgerBook, keys: Sequence[Key]) -> None:
    for key in keys:
        found = book.ledger.open.get(key)
        if found is None or found.state is not State.QUARANTINED:
            raise SiemError(f"{name}: {key} is not in quarantine; 'lumi siem quarantine {name}' lists what is")
