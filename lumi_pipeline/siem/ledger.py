"""The ledger of a destination: where each batch stands, and which steps there are from there.

Pure: a :class:`Ledger` and moves that change it. A move that does not fit where a batch stands is refused, so a ledger
that was written by two, or altered, is noticed when it is read.

::

    PLANNED ─▶ SENDING ─▶ ACCEPTED ─▶ (delivered)
       ▲          ├─▶ (delivered)
       │          ├─▶ WAITING     none of it is there; it is tried again
       │          ├─▶ AMBIGUOUS   nobody knows; it is sent again, and events may be there twice
       │          ├─▶ (split)     its slices tile it
       │          └─▶ QUARANTINED one event that the destination does not take
       └──────────── BLOCKED      its deadline is over; somebody has to say that it is to go on
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from itertools import pairwise
from typing import Final

from lumi_pipeline.errors import LedgerError


class State(Enum):
    """Where a batch, or a slice of one, stands while it is not settled."""

    PLANNED = "planned"
    SENDING = "sending"
    ACCEPTED = "accepted"
    WAITING = "waiting"
    AMBIGUOUS = "ambiguous"
    QUARANTINED = "quarantined"
    BLOCKED = "blocked"


class Do(Enum):
    """What a move does; see :class:`Move`."""

    TAKE = "take"
    DEFER = "defer"
    SEND = "send"
    RETURN = "return"
    WAIT = "wait"
    DOUBT = "doubt"
    ACCEPT = "accept"
    DELIVER = "deliver"
    SPLIT = "split"
    QUARANTINE = "quarantine"
    BLOCK = "block"
    RELEASE = "release"
    DISCARD = "discard"
    HOLD = "hold"
    RESUME = "resume"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A slice of a planned batch: its events ``first`` to ``end`` - 1. Refusal i of a plan is batch -1 - i."""

    plan: int
    batch: int
    first: int
    end: int

    def __str__(self) -> str:
        return f"{self.plan}.{self.batch}.{self.first}.{self.end}"

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Read what ``str`` wrote."""
        try:
            plan, batch, first, end = (int(part) for part in text.split("."))
        except ValueError:
            raise LedgerError(f"{text[:60]!r} names no batch") from None
        return cls(plan, batch, first, end)

    @property
    def count(self) -> int:
        """Number of events."""
        return self.end - self.first

    @property
    def is_refusal(self) -> bool:
        """Whether it is an event that no record could be made for."""
        return self.batch < 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One batch, or slice, that is not settled.

    ``lane`` is what keeps its order: nothing of another lane waits for it. ``since`` is when it was taken up, or
    released again; ``failing`` when it was first sent in vain after that. From then on its deadline counts, so what
    only waits behind others that fail has none. ``until`` is when it may be sent again, or, once accepted, when its
    acknowledgement is given up. ``duplicates``: some of it may have arrived before.
    """

    key: Key
    lane: str
    since: datetime
    state: State = State.PLANNED
    attempts: int = 0
    until: datetime | None = None
    detail: str = ""
    ack: str | None = None
    duplicates: bool = False
    failing: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A destination, or one lane of it, is left alone until then. ``settings``: somebody has to correct something."""

    until: datetime
    since: datetime
    detail: str
    settings: bool


@dataclass(frozen=True, slots=True)
class Later:
    """Plans ``first`` to ``end`` - 1 that are taken up little by little, each when its ``lane`` has room."""

    first: int
    end: int
    lane: str


@dataclass(frozen=True, slots=True)
class Move:
    """One step.

    TAKE takes plan ``number`` up: of each batch its number of events (``sizes``) and its lane (``lanes``), and how many
    events it has no records of (``refused``). DEFER leaves plans ``number`` to ``end`` - 1, as far as they are not
    taken up, for a lane, without a look at their batches: a backfill of days is one step. RELEASE may put a batch into
    another lane. SPLIT puts slices in a batch's place, cut before each of ``cuts``; with ``until`` because the request
    failed, and so they wait. RETURN undoes SEND for what was not sent. HOLD and RESUME are about ``lanes``, and without
    them about the whole destination; ``settings`` as in :class:`Hold`. ``at`` is the time of the step, ``until`` the
    time it names.
    """

    do: Do
    at: datetime
    key: Key | None = None
    detail: str = ""
    until: datetime | None = None
    ack: str | None = None
    cuts: tuple[int, ...] = ()
    number: int = 0
    sizes: tuple[int, ...] = ()
    lanes: tuple[str, ...] = ()
    refused: int = 0
    settings: bool = False
    end: int = 0


_SENDABLE: Final = frozenset({State.PLANNED, State.WAITING, State.AMBIGUOUS})
_FROM: Final = {
    Do.SEND: _SENDABLE,
    Do.RETURN: frozenset({State.SENDING}),
    Do.WAIT: frozenset({State.SENDING}),
    Do.DOUBT: frozenset({State.SENDING, State.ACCEPTED}),
    Do.ACCEPT: frozenset({State.SENDING}),
    # A split leaves slices of which one may be delivered, and one put aside, by the same answer.
    Do.DELIVER: frozenset({State.SENDING, State.ACCEPTED, State.PLANNED, State.AMBIGUOUS}),
    Do.SPLIT: frozenset({State.SENDING}),
    Do.QUARANTINE: frozenset({State.SENDING, State.PLANNED, State.AMBIGUOUS}),
    Do.BLOCK: _SENDABLE,
    Do.RELEASE: frozenset({State.QUARANTINED, State.BLOCKED, *_SENDABLE}),
    Do.DISCARD: frozenset({State.QUARANTINED, State.BLOCKED}),
}
REFUSALS_IN_A_ROW: Final = 20


@dataclass(slots=True)
class Ledger:
    """Everything that is not settled, and what the next step has to know of what is.

    ``next_plan`` is the first plan that was neither taken up nor left for ``later``. ``failures`` counts attempts since
    one last succeeded, and ``refusals`` events quarantined since one was last delivered. ``receipts`` is the number of
    receipts so far, and ``last_receipt`` the SHA-256 (hexadecimal) of the last one's line. ``pauses`` are the lanes
    that are held while others go on. ``in_order`` says that ``open`` is in the order of its keys, as it mostly is by
    itself: each step looks at all of it, and sorting it would cost the most.
    """

    next_plan: int = 0
    open: dict[Key, Delivery] = field(default_factory=dict)
    hold: Hold | None = None
    failures: int = 0
    refusals: int = 0
    receipts: int = 0
    last_receipt: str = ""
    pauses: dict[str, Hold] = field(default_factory=dict)
    later: tuple[Later, ...] = ()
    in_order: bool = field(default=True, compare=False)

    def copy(self) -> "Ledger":
        """The same ledger, to try moves on."""
        return replace(self, open=dict(self.open), pauses=dict(self.pauses))

    def apply(self, moves: Iterable[Move]) -> None:
        """Make moves; :class:`~lumi_pipeline.errors.LedgerError` at one that can't be made from where things are."""
        for move in moves:
            match move.do:
                case Do.TAKE:
                    self._take(move)
                case Do.DEFER:
                    self._defer(move)
                case Do.HOLD:
                    for lane in move.lanes:
                        self.pauses[lane] = _held(self.pauses.get(lane), move)
                    if not move.lanes:
                        self.hold = _held(self.hold, move)
                case Do.RESUME:
                    for lane in move.lanes:
                        self.pauses.pop(lane, None)
                    if not move.lanes:
                        self.hold, self.failures, self.refusals = None, 0, 0
                case _:
                    self._step(move)

    def sendable(self) -> Iterator[Delivery]:
        """Yield what is to be sent, now or later, in order."""
        yield from self.of(*_SENDABLE)

    def of(self, *states: State) -> list[Delivery]:
        """What stands so, in order."""
        if not self.in_order:
            self.open = dict(sorted(self.open.items()))
            self.in_order = True
        return [delivery for delivery in self.open.values() if delivery.state in states]

    def is_taken(self, plan: int) -> bool:
        """Whether a plan was taken up."""
        return plan < self.next_plan and not any(part.first <= plan < part.end for part in self.later)

    def _take(self, move: Move) -> None:
        if move.number > self.next_plan or self.is_taken(move.number):
            raise LedgerError(f"plan {move.number} is taken up where {self.next_plan} would be next")
        if len(move.sizes) != len(move.lanes):
            raise LedgerError(f"plan {move.number} is taken up with as many lanes as batches, or not at all")
        if move.number < self.next_plan:
            self.later = tuple(part for part, inside in _cut(self.later, move.number, move.number + 1) if not inside)
            self.in_order = False
        else:
            self.next_plan += 1
        for refusal in reversed(range(move.refused)):
            key = Key(move.number, -1 - refusal, 0, 1)
            self.open[key] = Delivery(key, "", move.at, State.QUARANTINED, detail=move.detail)
        for batch, (size, lane) in enumerate(zip(move.sizes, move.lanes, strict=True)):
            key = Key(move.number, batch, 0, size)
            self.open[key] = Delivery(key, lane, move.at)

    def _defer(self, move: Move) -> None:
        if not move.number < move.end or move.number > self.next_plan or len(move.lanes) != 1:
            raise LedgerError(f"plans {move.number} to {move.end} can't be left for later; {self.next_plan} is next")
        lane = move.lanes[0]
        parts = [
            replace(part, lane=lane) if inside else part for part, inside in _cut(self.later, move.number, move.end)
        ]
        if move.end > self.next_plan:
            parts.append(Later(self.next_plan, move.end, lane))
            self.next_plan = move.end
        joined: list[Later] = []
        for part in parts:
            if joined and (joined[-1].end, joined[-1].lane) == (part.first, part.lane):
                joined[-1] = replace(joined[-1], end=part.end)
            else:
                joined.append(part)
        self.later = tuple(joined)

    def _step(self, move: Move) -> None:
        found = self.open.get(move.key) if move.key else None
        if found is None:
            raise LedgerError(f"{move.do.value}: {move.key} is not open")
        if found.state not in _FROM[move.do]:
            raise LedgerError(f"{move.do.value}: {move.key} is {found.state.value}")
        match move.do:
            case Do.DELIVER | Do.DISCARD:
                del self.open[found.key]
            case Do.SPLIT:
                self._split(found, move)
            case _:
                self.open[found.key] = _moved(found, move)
        match move.do:
            case Do.WAIT | Do.DOUBT:
                self.failures += 1
            case Do.SPLIT if move.until is not None:
                self.failures += 1
            case Do.ACCEPT:
                self.failures = 0
            case Do.DELIVER:
                self.failures = self.refusals = 0
            case Do.QUARANTINE:
                self.refusals += 1

    def _split(self, found: Delivery, move: Move) -> None:
        edges = [found.key.first, *move.cuts, found.key.end]
        if len(edges) < 3 or edges != sorted(set(edges)):
            raise LedgerError(f"{found.key} can't be cut at {move.cuts}")
        del self.open[found.key]
        self.in_order = False
        failing = found.failing if move.until is None else found.failing or move.at
        for first, end in pairwise(edges):
            key = replace(found.key, first=first, end=end)
            part = replace(found, key=key, state=_unsent(found), until=move.until, ack=None)
            self.open[key] = replace(part, failing=failing)


def _cut(parts: Iterable[Later], first: int, end: int) -> Iterator[tuple[Later, bool]]:
    """Cut ranges of plans at ``first`` and ``end``; yield each piece, and whether it lies between them."""
    for part in parts:
        edges = sorted({part.first, part.end, *(edge for edge in (first, end) if part.first < edge < part.end)})
        for start, stop in pairwise(edges):
            yield replace(part, first=start, end=stop), first <= start and stop <= end


def _held(before: Hold | None, move: Move) -> Hold:
    """The hold that follows another one, or none."""
    if move.until is None:
        raise LedgerError("a hold has no end")
    since = before.since if before and before.settings and move.settings else move.at
    return Hold(move.until, since, move.detail, move.settings)


def _unsent(found: Delivery) -> State:
    """How it stands when nothing is under way: what may be there already stays in doubt, whatever comes afterwards."""
    return State.AMBIGUOUS if found.duplicates else State.PLANNED


def _moved(found: Delivery, move: Move) -> Delivery:
    """Where a batch stands after a move that leaves it one batch."""
    match move.do:
        case Do.SEND:
            return replace(found, state=State.SENDING, attempts=found.attempts + 1, until=None)
        case Do.RETURN:
            return replace(found, state=_unsent(found), attempts=found.attempts - 1)
        case Do.WAIT:
            state = State.AMBIGUOUS if found.duplicates else State.WAITING
            failing = found.failing or move.at
            return replace(found, state=state, until=move.until, detail=move.detail, failing=failing)
        case Do.DOUBT:
            doubt = replace(found, state=State.AMBIGUOUS, until=move.until, detail=move.detail)
            return replace(doubt, ack=None, duplicates=True, failing=found.failing or move.at)
        case Do.ACCEPT:
            return replace(found, state=State.ACCEPTED, until=move.until, ack=move.ack)
        case Do.QUARANTINE:
            return replace(found, state=State.QUARANTINED, detail=move.detail)
        case Do.BLOCK:
            return replace(found, state=State.BLOCKED, detail=move.detail)
        case Do.RELEASE if not found.key.is_refusal:
            lane = move.lanes[0] if move.lanes else found.lane
            released = replace(found, state=_unsent(found), lane=lane, since=move.at, until=None, detail="")
            return replace(released, failing=None)
    raise LedgerError(f"{move.do.value}: {found.key} has no record that could be sent")
