"""What the writers know held against outbox and lake, with plain loops and the definition of the hashes alone.

Nothing here uses the pipeline's own verification, nor its reading of outbox or lake.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pyarrow.parquet as pq

from lumi_pipeline.events import COLUMNS, Event
from lumi_pipeline.hashing import event_integrity_hash, event_payload_hash, genesis_hash
from tests.soak.lander import closings, committed_landings
from tests.soak.ledger import Knowledge

_SELECT = ", ".join(f"{column}::text" if column == "event_id" else column for column in COLUMNS)


@dataclass(frozen=True, slots=True)
class Head:
    """A chain head as it is stored."""

    chain_id: bytes
    next_seq: int
    head_hash: bytes


@dataclass(slots=True)
class Evidence:
    """All there is to judge by. ``landed`` are the lake's rows, each with the number of its landing."""

    known: Knowledge
    landed: list[tuple[int, Event]]
    stored: list[Event]
    heads: dict[str, Head]
    ordinary: set[str]
    breaks: int
    closed: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def gather(cls, directory: Path, root: Path, url: str) -> "Evidence":
        """Read ledgers, lake and database."""
        commits = committed_landings(root)
        landed = [
            (int(str(commit["number"])), Event(**row))
            for commit in commits
            for file in _entries(commit["files"])
            for row in pq.read_table(root / str(file["path"])).to_pylist()
        ]
        with psycopg.connect(url) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            rows = connection.execute(f"SELECT {_SELECT} FROM audit_outbox ORDER BY tenant_id, seq").fetchall()  # type: ignore[arg-type]  # noqa: S608
            heads = connection.execute("SELECT tenant_id, chain_id, next_seq, head_hash FROM audit_chain_head")
            return cls(
                Knowledge.read(sorted(directory.glob("*.ledger"))),
                landed,
                [Event(**dict(zip(COLUMNS, row, strict=True))) for row in rows],
                {tenant: Head(*values) for tenant, *values in heads},
                {str(event) for (event,) in connection.execute("SELECT event_id FROM ordinary_outbox")},
                sum(commit["breaks"] is not None for commit in commits),
                closings(directory),
            )


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong, each kind on its own; nothing of it may ever be found.

    ``lost``: committed, and not in the lake. ``duplicated``: more than once in lake or outbox. ``undone``: not
    committed, and there. ``unheard``: nobody's. ``gaps``: a seq that is missing or there twice. ``broken``: a hash,
    link, time or head that is not as defined. ``differing``: lake and outbox say different things of one seq, or only
    one of them knows it. ``parted``: recorded without the business row of its transaction, or the other way round.
    ``reopened``: in a day that had been closed. ``breaks``: landings that reported one. ``complaints``: the processes'
    own.
    """

    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    undone: tuple[str, ...]
    unheard: tuple[str, ...]
    gaps: tuple[str, ...]
    broken: tuple[str, ...]
    differing: tuple[str, ...]
    parted: tuple[str, ...]
    reopened: tuple[str, ...]
    breaks: int
    complaints: tuple[str, ...]

    def kinds(self) -> dict[str, int]:
        """How much of each kind was found, where there is any."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        counts = {name: value if isinstance(value, int) else len(value) for name, value in found.items()}
        return {name: count for name, count in counts.items() if count}


def judge(evidence: Evidence) -> Findings:
    """Say everything that is wrong."""
    known = evidence.known
    in_lake = Counter(event.event_id for _, event in evidence.landed)
    in_outbox = Counter(event.event_id for event in evidence.stored)
    seen = in_lake.keys() | in_outbox.keys()
    lake, outbox = (defaultdict[str, list[Event]](list) for _ in range(2))
    for event in sorted((event for _, event in evidence.landed), key=lambda event: (event.tenant_id, event.seq)):
        lake[event.tenant_id].append(event)
    for event in evidence.stored:
        outbox[event.tenant_id].append(event)
    tenants = sorted(lake.keys() | outbox.keys() | evidence.heads.keys())
    both = [
        (tenant, place, events[tenant]) for tenant in tenants for place, events in (("lake", lake), ("outbox", outbox))
    ]
    return Findings(
        lost=tuple(sorted(known.committed.keys() - in_lake.keys())),
        duplicated=tuple(event for count in (in_lake, in_outbox) for event, number in count.items() if number > 1),
        undone=tuple(sorted(seen & known.absent)),
        unheard=tuple(sorted(seen - known.committed.keys() - known.unknown - known.absent)),
        gaps=tuple(gap for tenant, place, events in both for gap in _gaps(f"{place}: {tenant}", events)),
        broken=tuple(
            fault
            for tenant, place, events in both
            for fault in _faults(f"{place}: {tenant}", tenant, events, evidence.heads.get(tenant))
        ),
        differing=tuple(
            f"{tenant} {row.seq}" for tenant in tenants for row in _difference(lake[tenant], outbox[tenant])
        ),
        parted=tuple(sorted(in_outbox.keys() ^ evidence.ordinary)),
        reopened=tuple(_reopened(evidence)),
        breaks=evidence.breaks,
        complaints=tuple(known.complaints),
    )


def _gaps(name: str, events: Sequence[Event]) -> Iterator[str]:
    seqs = Counter(event.seq for event in events)
    for seq in range(max(seqs, default=-1) + 1):
        if seqs[seq] != 1:
            yield f"{name}: seq {seq} is there {seqs[seq]} times"


def _faults(name: str, tenant: str, events: Sequence[Event], head: Head | None) -> Iterator[str]:
    if head is None:
        yield f"{name}: has no head"
        return
    previous, last = genesis_hash(tenant, head.chain_id), datetime.min.replace(tzinfo=UTC)
    for event in events:
        if event.prev_hash != previous:
            yield f"{name}: seq {event.seq} does not follow the one before"
        if event.payload_hash != event_payload_hash(event) or event.integrity_hash != event_integrity_hash(event):
            yield f"{name}: seq {event.seq} is not what its hash says"
        if event.recorded_at < last:
            yield f"{name}: seq {event.seq} is before the one before"
        previous, last = event.integrity_hash, event.recorded_at
    if (head.next_seq, head.head_hash) != (len(events), previous):
        yield f"{name}: the head does not stand behind the last event"


def _difference(landed: Sequence[Event], stored: Sequence[Event]) -> list[Event]:
    left, right = Counter(landed), Counter(stored)
    return [*(left - right), *(right - left)]


def _reopened(evidence: Evidence) -> Iterator[str]:
    closed = sorted(evidence.closed.items())
    latest = date.min
    bars = {}
    for number, day in closed:
        latest = bars[number] = max(latest, date.fromisoformat(day))
    numbers = list(bars)
    for landing, event in evidence.landed:
        earlier = bisect_left(numbers, landing)
        if earlier and event.recorded_at.date() <= bars[numbers[earlier - 1]]:
            yield f"{event.tenant_id} {event.seq}: in a day that was closed before landing {landing}"


def _entries(value: object) -> list[dict[str, object]]:
    assert isinstance(value, list)
    return value
