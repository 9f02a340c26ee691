"""Recomputing and linking up every hash, from Arrow in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

import pyarrow as pa

from benchmarks.dataset import Dataset
from benchmarks.measuring import compare
from benchmarks.row import Row
from lumi_pipeline.chain import ChainFold, ChainState
from lumi_pipeline.events import MIN_MICROS, to_micros

Starts = dict[str, tuple[int, bytes]]
"""Where each tenant's chain begins: its first seq, and the hash that this row has to follow."""


@dataclass(slots=True)
class Chains:
    """What a verification found: (tenant, seq, kind of break), and every tenant's next seq and head."""

    breaks: set[tuple[str, int, str]] = field(default_factory=set)
    ends: dict[str, tuple[int, bytes]] = field(default_factory=dict)


def measure(data: Dataset, runs: int) -> Row:
    """Verify the landed events' payload hashes, integrity hashes, links, seqs and times."""
    tables = data.tables()
    starts = first_links(tables)
    compared = compare(
        lambda: lambda: verify_columns(tables, starts),
        lambda: lambda: verify_rows(tables, starts),
        lambda ours, theirs: ours == theirs,
        runs,
    )
    return Row(
        name="chain",
        what="verify payload hashes, integrity hashes and chains, from Arrow in memory",
        against="a Python loop over the rows with hashlib",
        amount=data.events,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
    )


def first_links(tables: Sequence[pa.Table]) -> Starts:
    """Take each tenant's first row as it stands for the beginning of its chain."""
    starts: Starts = {}
    for table in tables:
        columns = (table.column(name).to_pylist() for name in ("tenant_id", "seq", "prev_hash"))
        for tenant_id, seq, prev_hash in zip(*columns, strict=True):
            starts.setdefault(tenant_id, (seq, prev_hash))
    return starts


def verify_columns(tables: Sequence[pa.Table], starts: Starts) -> Chains:
    """Verify with the pipeline's own fold."""
    fold = ChainFold(lambda tenant_id: ChainState(*starts[tenant_id], MIN_MICROS), trees=False)
    for table in tables:
        fold.add(table)
    found = Chains()
    for tenant_id, rows in fold.tenants.items():
        found.breaks |= {(tenant_id, one.seq, one.kind.value) for one in rows.breaks}
        found.ends[tenant_id] = (rows.state.next_seq, rows.state.head)
    return found


def verify_rows(tables: Sequence[pa.Table], starts: Starts) -> Chains:
    """Verify row by row, as one would write it down from docs/formats.md with nothing but the standard library."""
    found = Chains()
    times: dict[str, int] = {}
    for table in tables:
        for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
            (
                tenant_id, seq, event_id, recorded_at, occurred_at, action, entity_type, entity_id, outcome, actor_type,
                actor_id, auth_method, actor_name, ip, user_agent, request_id, before_state, after_state, salt,
                payload_hash, prev_hash, integrity_hash, erased_at,
            ) = row  # fmt: skip
            payload = (actor_name, ip, user_agent, request_id, before_state, after_state)
            if salt is not None or erased_at is None or any(value is not None for value in payload):
                salted = [_net(None if salt is None else salt.hex()), *map(_net, payload)]
                computed = sha256(b"lumi/payload/v1\n" + b"".join(salted)).digest()
                if erased_at is not None or computed != payload_hash:
                    found.breaks.add((tenant_id, seq, "payload-hash"))
            core = (
                prev_hash.hex(), tenant_id, str(seq), event_id, _time(recorded_at), _time(occurred_at), action,
                entity_type, entity_id, outcome, actor_type, actor_id, auth_method, payload_hash.hex(),
            )  # fmt: skip
            if sha256(b"lumi/event/v1\n" + b"".join(map(_net, core))).digest() != integrity_hash:
                found.breaks.add((tenant_id, seq, "integrity-hash"))
            next_seq, head = found.ends.get(tenant_id) or starts[tenant_id]
            if seq > next_seq:
                found.breaks.add((tenant_id, next_seq, "missing"))
            if prev_hash != head or seq < next_seq:
                found.breaks.add((tenant_id, seq, "link"))
            micros = to_micros(recorded_at)
            if micros < times.get(tenant_id, MIN_MICROS):
                found.breaks.add((tenant_id, seq, "time"))
            times[tenant_id] = micros
            found.ends[tenant_id] = (seq + 1, integrity_hash)
    return found


def _net(value: str | None) -> bytes:
    if value is None:
        return b"-,"
    data = value.encode()
    return b"%d:%b," % (len(data), data)


def _time(value: datetime) -> str:
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
