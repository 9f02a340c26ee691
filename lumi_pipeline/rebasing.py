"""How an outbox that was restored stands to what was landed from it before: what is found, and what it is called.

Pure: the comparison itself is :mod:`lumi_pipeline.comparing`, and what is done about it :mod:`lumi_pipeline.rebase`.
What was landed is history, verified and partly published; so it is always the database that has to agree with it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from lumi_pipeline.days import day_end
from lumi_pipeline.events import to_micros
from lumi_pipeline.landings import Cursor


class Kind(StrEnum):
    """How one tenant's chain in the database stands to what was landed of it."""

    NEW = "new"
    """Nothing of it was landed yet."""
    SAME = "same"
    """Everything landed is there, and nothing else."""
    AHEAD = "ahead"
    """Everything landed is there, and events that go on from it."""
    BEHIND = "behind"
    """Landed rows are missing; what is there of them is as it was landed."""
    FORKED = "forked"
    """Rows lie where others were landed: recorded since an older dump was restored, or altered."""
    HEAD_MISSING = "head-missing"
    """The chain has no head, so that the next event would start it anew."""
    HEAD_ALTERED = "head-altered"
    """The rows are as they were landed; the head announces something else."""
    STARTED_ANEW = "started-anew"
    """The chain has another chain_id and nothing of what was landed."""


SOUND = frozenset({Kind.NEW, Kind.SAME, Kind.AHEAD})
"""The kinds in which a landing simply goes on."""


@dataclass(frozen=True, slots=True)
class Head:
    """A chain head as it was found in the database."""

    chain_id: bytes
    next_seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class RowsFound:
    """A tenant's rows in the database against those landed.

    Rows below seq ``first`` are as they were landed. From there on ``missing`` landed rows are not in the database, and
    ``forked`` rows lie where others were landed, or none. ``past`` rows lie past everything landed; ``continues`` says
    whether they go on from it (true if there are none). ``next_seq`` comes after the last row that is there.
    """

    first: int
    missing: int
    forked: int
    past: int
    continues: bool
    next_seq: int


@dataclass(frozen=True, slots=True)
class Finding:
    """How one tenant stands. ``landed`` is the seq up to which (exclusive) it was landed.

    ``first`` to ``landed`` - 1 is what a repair looks at; in it it puts ``missing`` rows back. It takes ``forked`` rows
    out, those past the landed ones included, to record them again; ``new`` rows simply go on from what was landed.
    """

    tenant_id: str
    kind: Kind
    landed: int
    first: int
    missing: int
    forked: int
    new: int

    @property
    def is_sound(self) -> bool:
        """Whether a landing simply goes on from here."""
        return self.kind in SOUND


@dataclass(frozen=True, slots=True)
class Findings:
    """How a whole database stands to the lake, in one snapshot.

    ``landed_system`` is the database that was landed last, None before the first landing. Days up to ``sealed`` are
    sealed, and have to be closed in the database, where every day before ``closed_before`` is.
    """

    system_id: str
    landed_system: str | None
    closed_before: datetime
    sealed: date | None
    tenants: tuple[Finding, ...]

    @property
    def other_system(self) -> bool:
        """Whether this is another database than the one landed last."""
        return self.landed_system is not None and self.system_id != self.landed_system

    @property
    def days_open(self) -> bool:
        """Whether an event could still be recorded into a day that is sealed."""
        return self.sealed is not None and to_micros(self.closed_before) < day_end(self.sealed)

    @property
    def repairs(self) -> tuple[Finding, ...]:
        """The tenants whose rows or heads have to be repaired, sorted."""
        return tuple(found for found in self.tenants if not found.is_sound)

    @property
    def forks(self) -> tuple[Finding, ...]:
        """The tenants of which rows have to be taken out and recorded again."""
        return tuple(found for found in self.tenants if found.forked)

    @property
    def is_acceptable(self) -> bool:
        """Whether the database can be accepted without changing anything in it."""
        return not self.repairs and not self.days_open

    @property
    def is_accepted(self) -> bool:
        """Whether there is nothing to accept: landing goes on as it is."""
        return self.is_acceptable and not self.other_system

    @property
    def counts(self) -> Mapping[Kind, int]:
        """Tenants of each kind that there is."""
        return Counter(found.kind for found in self.tenants)


def judge(tenant_id: str, cursor: Cursor, head: Head | None, rows: RowsFound) -> Finding:
    """Say how a landed tenant stands."""
    forked = rows.forked + (0 if rows.continues else rows.past)
    new = rows.past if rows.continues else 0
    kind = _kind(cursor, head, rows, forked)
    return Finding(tenant_id, kind, cursor.next_seq, rows.first, rows.missing, forked, new)


def _kind(cursor: Cursor, head: Head | None, rows: RowsFound, forked: int) -> Kind:
    if head is None:
        return Kind.HEAD_MISSING
    if head.chain_id != cursor.chain_id and rows.first == 0 and (forked or rows.missing):
        return Kind.STARTED_ANEW
    if forked:
        return Kind.FORKED
    if rows.missing:
        return Kind.BEHIND
    if not _announces(head, cursor, rows):
        return Kind.HEAD_ALTERED
    return Kind.AHEAD if rows.past else Kind.SAME


def _announces(head: Head, cursor: Cursor, rows: RowsFound) -> bool:
    """Whether a head fits rows that are all there. One that announces more than there is is the landing's to find."""
    if head.chain_id != cursor.chain_id or head.next_seq < max(cursor.next_seq, rows.next_seq):
        return False
    return head.next_seq > cursor.next_seq or head.hash in {cursor.head, cursor.last_hash}
