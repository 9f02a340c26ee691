"""The ledger as it is stored: segments of moves, ``siem/<destination>/ledger/<n>.json``, created only if absent.

A segment holds what was decided at one time for any number of batches, so that one write makes many steps durable, and
the receipts of what these steps settled: a batch is settled and receipted by the same write, or neither. Two processes
can't both write a number, so one that went on after it lost its lease is stopped here at the latest. Every 64th segment
begins with the whole ledger, so no more than 64 are ever read.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lumi_pipeline.errors import LeaseHeld, LedgerError, LumiError
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from lumi_pipeline.siem.journal import Journal, Overtaken, first_of
from lumi_pipeline.siem.ledger import Ledger, Move
from lumi_pipeline.siem.ledgerjson import ledger_json, move_json, parse_ledger, parse_move
from transparency.encoding import Json, canonical_json, format_timestamp

SEGMENT_FORMAT: Final = "lumi/siem-ledger/v1"
RECEIPT_TYPE: Final = "lumi/receipt/v1"
WHOLE_EVERY: Final = 64
_FIELDS: Final = frozenset({"at", "holder", "ledger", "moves", "number", "previous", "receipts"})


@dataclass(frozen=True, slots=True)
class Segment:
    """One write. ``ledger`` is what the moves begin from, where the segment says it; ``receipts`` are lines."""

    number: int
    previous: str
    ledger: Json
    moves: tuple[Move, ...]
    receipts: tuple[str, ...]

    @classmethod
    def parse(cls, data: bytes, name: str) -> "Segment":
        """Read a segment; :class:`~lumi_pipeline.errors.LumiError` names what is wrong with it."""
        value = parse_sealed(SEGMENT_FORMAT, data, _FIELDS, name)
        moves, receipts = value["moves"], value["receipts"]
        if not isinstance(moves, list) or not isinstance(receipts, list):
            raise LedgerError(f"{name} is not a segment of a ledger")
        try:
            return cls(
                json_count(value["number"]),
                json_text(value["previous"]),
                value["ledger"],
                tuple(parse_move(move) for move in moves),
                tuple(json_text(line) for line in receipts),
            )
        except LumiError as error:
            raise LedgerError(f"{name} is not a segment of a ledger: {error}") from None


class LedgerBook:
    """One destination's ledger, read once and carried on; only the holder of the lease writes."""

    def __init__(self, lake: Lake, destination: str) -> None:
        self.journal = Journal(lake.store, f"siem/{destination}/ledger/")
        self.destination = destination
        self.ledger = Ledger()
        self._next = 0
        self._previous = ""
        self._load()

    @property
    def segments(self) -> int:
        """Number of segments so far."""
        return self._next

    def write(self, moves: Sequence[Move], receipts: Sequence[dict[str, Json]], at: datetime, holder: str) -> None:
        """Make moves and the receipts of what they settle durable, then true.

        Raises :class:`~lumi_pipeline.errors.LeaseHeld` when another process has written meanwhile, and
        :class:`~lumi_pipeline.errors.LedgerError` where a move can't be made; nothing was written then.
        """
        if not moves:
            return
        self.ledger.copy().apply(moves)
        whole = ledger_json(self.ledger) if self._next % WHOLE_EVERY == 0 else None
        lines, last = [], self.ledger.last_receipt
        for number, receipt in enumerate(receipts, start=self.ledger.receipts):
            lines.append(
                canonical_json({**receipt, "number": str(number), "prev": last or "0" * 64, "type": RECEIPT_TYPE})
            )
            last = hashlib.sha256(lines[-1].encode()).hexdigest()
        data = encode_sealed(
            SEGMENT_FORMAT,
            {
                "at": format_timestamp(at),
                "holder": holder,
                "ledger": whole,
                "moves": [move_json(move) for move in moves],
                "number": str(self._next),
                "previous": self._previous,
                "receipts": list(lines),
            },
        )
        try:
            self.journal.append(self._next, data)
        except Overtaken:
            raise LeaseHeld(f"{self.destination}: another process delivers to it meanwhile; it carries on") from None
        self._follow(moves, lines)
        self._next, self._previous = self._next + 1, hashlib.sha256(data).hexdigest()

    def receipts_since(self, number: int) -> Iterator[str]:
        """Yield the lines of the receipts from a number on, in order."""
        missing = self.ledger.receipts - number
        kept: list[str] = []
        segment = self._next
        while len(kept) < missing and segment > 0:
            segment -= 1
            found = Segment.parse(self.journal.read(segment), self.journal.key(segment))
            kept[:0] = found.receipts
        yield from kept[len(kept) - missing :] if missing > 0 else ()

    def receipts_before(self, plan: int) -> tuple[int, str]:
        """A number of receipts of which none is about a plan or any later one, and the SHA-256 of the last of them.

        As many as are known to be such: those of a time when the plan was not taken up, as a whole ledger has it. Only
        by these numbers, which never decrease, can receipts be found by bisection; their times are of many clocks.
        """
        found = {0: (0, "")}

        def reaches(index: int) -> bool:
            key = self.journal.key(index * WHOLE_EVERY)
            ledger = parse_ledger(Segment.parse(self.journal.read(index * WHOLE_EVERY), key).ledger)
            found[index + 1] = (ledger.receipts, ledger.last_receipt)
            return ledger.next_plan > plan

        return found[first_of(-(-self._next // WHOLE_EVERY), reaches)]

    def _load(self) -> None:
        last = self.journal.last()
        if last is None:
            return
        first = self._next = last - last % WHOLE_EVERY
        before: str | None = None
        for number, data in self.journal.since(first):
            name = self.journal.key(number)
            segment = Segment.parse(data, name)
            if segment.number != number or before not in {None, segment.previous}:
                raise LedgerError(f"{name} does not follow the segment before it: one was altered")
            if number == first:
                self.ledger = parse_ledger(segment.ledger)
            try:
                self._follow(segment.moves, segment.receipts)
            except LedgerError as error:
                raise LedgerError(f"{name} contradicts the ledger so far: {error}") from None
            before = hashlib.sha256(data).hexdigest()
            self._next, self._previous = number + 1, before
        if self._next <= last:
            raise LedgerError(f"{self.journal.key(self._next)} is gone; restore it from a backup")

    def _follow(self, moves: Sequence[Move], lines: Sequence[str]) -> None:
        self.ledger.apply(moves)
        for line in lines:
            self.ledger.receipts += 1
            self.ledger.last_receipt = hashlib.sha256(line.encode()).hexdigest()
