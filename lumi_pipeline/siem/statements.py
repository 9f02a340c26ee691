"""A statement of delivery: what became of every event of a period, in one signed line.

It has the form of a file of receipts (docs/formats.md section 8), and its line names the receipt that was the last one
then, so what it says can be held against them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lumi_pipeline.lake import Lake
from lumi_pipeline.siem.account import DayAccount, MissingRange, Period, Reach
from lumi_pipeline.siem.journal import Journal, Overtaken
from lumi_pipeline.siem.receipts import FIRST_PREV, note_text
from transparency.encoding import Json, canonical_json, format_timestamp
from transparency.keys import SigningKey
from transparency.note import sign_note

STATEMENT_TYPE: Final = "lumi/delivery-statement/v1"
_COUNTS: Final = ("rows", "delivered", "filtered", "quarantined", "discarded", "open", "missing", "duplicates")


@dataclass(frozen=True, slots=True)
class Statement:
    """What became of a period's rows: counts of events, and what nothing accounts for.

    ``reach`` says of which rows that could be known: more of them may come until every day is sealed.
    """

    destination: str
    period: Period
    at: datetime
    counts: dict[str, int]
    missing: tuple[MissingRange, ...]
    reach: Reach
    receipts: int
    last_receipt: str

    @classmethod
    def of(
        cls,
        destination: str,
        period: Period,
        at: datetime,
        *,
        days: Sequence[DayAccount],
        missing: Sequence[MissingRange],
        reach: Reach,
        receipts: tuple[int, str],
    ) -> "Statement":
        """Sum an account up; ``receipts`` are their number and the SHA-256 of the last."""
        counts = {name: sum(int(getattr(day, name)) for day in days) for name in _COUNTS}
        return cls(destination, period, at, counts, tuple(missing), reach, *receipts)

    @property
    def lacks_nothing(self) -> bool:
        """Whether every landed row that the destination is to get is there: none missing, open, aside or given up."""
        return not any(self.counts[name] for name in ("missing", "open", "quarantined", "discarded"))

    @property
    def is_complete(self) -> bool:
        """Whether nothing is lacking, and no other row can come any more, as every day of the period is sealed."""
        return self.lacks_nothing and self.reach.sealed

    def line(self) -> str:
        """The statement as canonical JSON."""
        missing: list[Json] = [[m.tenant_id, str(m.first), str(m.last), str(m.count)] for m in self.missing]
        value: dict[str, Json] = {
            "at": format_timestamp(self.at),
            "complete": self.is_complete,
            "destination": self.destination,
            "from": self.period.first.isoformat(),
            "landed_through": format_timestamp(self.reach.landed_through) if self.reach.landed_through else None,
            "landings": str(self.reach.landings),
            "missing": missing,
            "possible_duplicates": str(self.counts["duplicates"]),
            "prev": self.last_receipt or FIRST_PREV,
            "receipts": str(self.receipts),
            "sealed": self.reach.sealed,
            "tenant": self.period.tenant_id,
            "to": self.period.last.isoformat(),
            "type": STATEMENT_TYPE,
        }
        value |= {name: str(self.counts[name]) for name in _COUNTS if name not in {"duplicates", "missing"}}
        return canonical_json({**value, "unaccounted": str(self.counts["missing"])})

    def signed(self, keys: Sequence[SigningKey]) -> bytes:
        """The statement as a file that 'lumi verify' takes."""
        line = self.line()
        return f"{line}\n".encode() + sign_note(note_text(self.destination, [line]), keys)


def keep_statement(lake: Lake, statement: Statement, keys: Callable[[], Sequence[SigningKey]]) -> str:
    """Store a signed statement; return its key."""
    journal = Journal(lake.store, f"siem/{statement.destination}/statements/", ".jsonl")
    data = statement.signed(keys())
    while True:
        last = journal.last()
        number = 0 if last is None else last + 1
        try:
            journal.append(number, data)
        except Overtaken:
            continue
        return journal.key(number)
