"""A log with days, tenants and chains, published honestly or by an operator who cheats where a case says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from tests.evidence.corpus.events import Row, event, event_leaf, genesis_hash, link, tenant_key
from tests.evidence.corpus.primitives import b64, map_proof, map_root, sha, tree_path, tree_root
from tests.evidence.corpus.signing import COSIGNATURE, Key, checkpoint_text, note

ORIGIN = "audit.example.org/corpus"
FIRST_DAY = date(2026, 10, 30)
DAYS = 8
"""How many days a log of the corpus has, unless a case says otherwise: to 2026-11-06."""

LOG_KEY, EVIDENCE_KEY = Key(ORIGIN), Key(f"{ORIGIN}/evidence")
WITNESS, OTHER_WITNESS = Key("witness.example.net/w1", COSIGNATURE), Key("witness.example.com/w2", COSIGNATURE)


def day_of(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


def at(day: date, second: int) -> str:
    return f"{day}T09:{second // 60:02}:{second % 60:02}.{second:06}Z"


@dataclass(slots=True)
class TenantDay:
    """A tenant's rows of one day and its record. ``breaks`` are (kind, seq), as the operator declares them."""

    rows: list[Row]
    first: int
    next: int
    head_before: str
    head_after: str
    breaks: list[tuple[str, int]] = field(default_factory=list)
    declared: int | None = None
    edits: dict[str, str] = field(default_factory=dict)
    """Lines of the record that the operator writes otherwise."""

    def record(self, day: date, tenant_id: str) -> str:
        lines = {
            "day": str(day),
            "tenant": tenant_key(tenant_id).hex(),
            "first": str(self.first),
            "count": str(len(self.rows)),
            "next": str(self.next),
            "root": b64(tree_root([event_leaf(row) for row in self.rows])),
            "head-before": self.head_before,
            "head-after": self.head_after,
            "breaks": str(len(self.breaks) if self.declared is None else self.declared),
        }
        return "lumi/tenant-day/v1\n" + "".join(f"{k} {v}\n" for k, v in (lines | self.edits).items())


@dataclass(slots=True)
class Chain:
    """One tenant's chain, from the log's day number ``start`` on: ``counts`` rows on each day, then idle days."""

    tenant_id: str
    counts: Sequence[int]
    start: int = 0
    columns: Sequence[dict[str, str | None]] = ()
    days: dict[date, TenantDay] = field(init=False)

    def __post_init__(self) -> None:
        self.days = {}
        head, seq = genesis_hash(self.tenant_id, self.chain_id), 0
        for number in range(self.start, 12):
            day, offset = day_of(number), number - self.start
            count = self.counts[offset] if offset < len(self.counts) else 0
            rows = [
                event(
                    self.tenant_id,
                    seq + i,
                    at(day, i * 61),
                    **(self.columns[seq + i] if seq + i < len(self.columns) else {}),
                )
                for i in range(count)
            ]
            self.days[day] = TenantDay(rows, seq, seq + count, head, head)
            self.relink(day, rows)
            head, seq = self.days[day].head_after, seq + count

    @property
    def chain_id(self) -> str:
        return sha(b"corpus chain ", self.tenant_id.encode())[:16].hex()

    def relink(self, day: date, rows: Sequence[Row]) -> None:
        """Give a day these rows, hashed and linked anew. What follows is left as it was."""
        part = self.days[day]
        part.rows = link(rows, part.head_before)
        if part.rows:
            part.head_after = part.rows[-1]["integrity_hash"] or ""


@dataclass(slots=True)
class World:
    """What an operator has: chains and keys. ``edit_day`` may change the lines of a day record before it is logged."""

    chains: list[Chain]
    origin: str = ORIGIN
    days: int = DAYS
    log_keys: tuple[Key, ...] = (LOG_KEY,)
    """The first is that of the genesis; all of them sign checkpoints, unless ``signers`` says otherwise."""
    evidence_key: Key = EVIDENCE_KEY
    witnesses: tuple[Key, ...] = ()
    signers: tuple[Key, ...] | None = None
    previous: str = ""
    """A line of the genesis."""
    edit_day: Callable[[int, dict[str, str]], None] = lambda _number, _lines: None
    edit_entry: Callable[[int, bytes], bytes] = lambda _number, entry: entry
    maps: dict[date, dict[bytes, bytes]] = field(init=False)
    entries: list[bytes] = field(init=False)

    def publish(self) -> "World":
        """Make the maps and the entries of all days."""
        self.maps, self.entries = {}, [self.genesis.encode()]
        for number in range(self.days):
            day = day_of(number)
            records = {c.tenant_id: c.days[day].record(day, c.tenant_id) for c in self.chains if day in c.days}
            self.maps[day] = {tenant_key(tenant): sha(record.encode()) for tenant, record in records.items()}
            lines = {
                "origin": self.origin,
                "day": str(day),
                "index": str(number + 1),
                "map": b64(map_root(self.maps[day])),
                "manifest": b64(sha(b"manifest of ", str(day).encode())),
                "breaks": str(sum(int(record.split()[-1]) for record in records.values())),
                "sealed": f"{day + timedelta(days=1)}T00:15:00.000000Z",
            }
            self.edit_day(number, lines)
            entry = "lumi/day/v1\n" + "".join(f"{name} {value}\n" for name, value in lines.items())
            self.entries.append(self.edit_entry(number, entry.encode()))
        return self

    @property
    def genesis(self) -> str:
        return (
            f"lumi/log/v1\norigin {self.origin}\nfirst-day {FIRST_DAY}\nkey {self.log_keys[0].vkey}\n"
            f"evidence-key {self.evidence_key.vkey}\n{self.previous}"
        )

    def chain(self, tenant_id: str) -> Chain:
        return next(chain for chain in self.chains if chain.tenant_id == tenant_id)

    def checkpoint(self, size: int) -> str:
        """The checkpoint of this size, signed and cosigned an hour after the last day of it was sealed."""
        text = checkpoint_text(self.origin, size, tree_root(self.entries[:size]))
        time = 1793400000 + size * 86400
        signers = self.log_keys if self.signers is None else self.signers
        return note(text, [key.line(text, time) for key in (*signers, *self.witnesses)]).decode()

    def path(self, index: int, size: int) -> list[str]:
        return [b64(h) for h in tree_path(self.entries[:size], index)]

    def map_proof(self, day: date, tenant_id: str) -> str:
        return b64(map_proof(self.maps[day], tenant_key(tenant_id)))


def chains(counts: Sequence[int] = (3, 4, 5, 0, 6, 2, 3)) -> list[Chain]:
    """The tenants of most cases: ``acme`` from the log's first day, ``globex`` from its fourth; never ``initech``."""
    return [Chain("acme", counts), Chain("globex", (2, 0, 3), start=3), Chain("hooli", (1, 1, 1))]


def standard() -> World:
    """An honest operator's log with these tenants."""
    return World(chains()).publish()
