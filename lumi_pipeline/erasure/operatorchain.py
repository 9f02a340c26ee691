"""What the operator did, as the operator's own chain tells it: read from the outbox, and verified before it is used.

Holds and orders of erasure follow from these events alone. The chain is recomputed from its genesis to its head, and
where it was landed it has to be the one that was landed, so none of its events can be left out, altered or put in
between without a break.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.acknowledging import declared_breaks
from lumi_pipeline.catalogue import find_action
from lumi_pipeline.chain import ChainEnd, ChainFold, ChainState
from lumi_pipeline.errors import ConcurrentRun, DuplicateEvent, OutboxTampered
from lumi_pipeline.events import MIN_MICROS
from lumi_pipeline.hashing import genesis_hash
from lumi_pipeline.lake import Lake
from lumi_pipeline.landings import Cursor, read_cursors
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.recorder import AuditRecorder
from lumi_pipeline.sealedday import load_sealed_day
from transparency.encoding import Json

_ATTEMPTS: Final = 10


@dataclass(frozen=True, slots=True)
class OperatorEvent:
    """One event of the operator's chain; ``state`` is what its ``after_state`` says, empty unless it is an object."""

    seq: int
    event_id: str
    action: str
    entity_id: str
    recorded_at: datetime
    state: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OperatorChain:
    """Chosen events of the operator's chain, in order, and the seq that its next event gets."""

    events: tuple[OperatorEvent, ...]
    next_seq: int


@dataclass(frozen=True, slots=True)
class Act:
    """What the operator does, to be recorded under an id that is fixed beforehand."""

    action: str
    entity_id: str
    state: Mapping[str, Json]
    event_id: str


def read_operator_chain(outbox: Outbox, lake: Lake, tenant_id: str, actions: Collection[str]) -> OperatorChain:
    """Read the events of these actions from the operator's chain.

    Raises :class:`~lumi_pipeline.errors.OutboxTampered` when the chain does not verify, and what reading outbox and
    lake raises.
    """
    # In the order of a verification: what is landed meanwhile must not look like rows that the outbox has lost.
    days = lake.sealed_days()
    landed = read_cursors(lake, load_sealed_day(lake, days[-1]).tenants if days else None).get(tenant_id)
    with outbox.snapshot() as snapshot:
        heads = snapshot.heads()
        at = pc.index(heads.column("tenant_id"), tenant_id).as_py()
        if at < 0:
            if landed is not None:
                raise _untrue(tenant_id, "its chain head is gone")
            return OperatorChain((), 0)
        chain_id, next_seq, head = (heads.column(name)[at].as_py() for name in ("chain_id", "next_seq", "head_hash"))
        fold = ChainFold(lambda _: ChainState(0, genesis_hash(tenant_id, chain_id), MIN_MICROS), trees=False)
        found: list[OperatorEvent] = []
        for table in snapshot.rows([(tenant_id, 0)]):
            fold.add(table)
            if landed is not None:
                _check_landed(table, tenant_id, landed, chain_id)
            found += _events(table, tenant_id, actions)
        _check_chain(lake, tenant_id, fold, ChainEnd(next_seq, head), landed)
    return OperatorChain(tuple(found), next_seq)


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator's own tenant, whose chain says what the operator did, and what is recorded there."""

    outbox: Outbox
    lake: Lake
    tenant_id: str
    clock: Callable[[], datetime]

    def read(self, actions: Collection[str]) -> OperatorChain:
        """Read the events of these actions; see :func:`read_operator_chain`."""
        return read_operator_chain(self.outbox, self.lake, self.tenant_id, actions)

    def record(self, act: Act, decide: Callable[[OperatorChain], None], actions: Collection[str]) -> None:
        """Record an event that ``decide`` does not object to, in view of the chain's events of these ``actions``.

        Whatever it decided by still holds when the event is recorded: nothing of the operator's comes in between.
        Raises what ``decide`` raises, and :class:`~lumi_pipeline.errors.ConcurrentRun` when others record for the
        operator all the time. Where another run was first with the same event, ``decide`` sees it in the chain.
        """
        for _ in range(_ATTEMPTS):
            chain = self.read(actions)
            decide(chain)
            with closing(self.outbox.connect()) as connection, self.outbox.explained(), suppress(DuplicateEvent):
                event = AuditRecorder(connection, clock=self.clock).record(
                    tenant_id=self.tenant_id,
                    action=act.action,
                    entity_type=find_action(act.action).entity_type,
                    entity_id=act.entity_id,
                    actor_type="system",
                    actor_id="lumi-pipeline",
                    after_state=dict(act.state),
                    event_id=act.event_id,
                )
                if event.seq == chain.next_seq:
                    connection.commit()
                    return
                connection.rollback()
        raise ConcurrentRun("others keep recording events of the operator at the same time; run again")


def _check_chain(lake: Lake, tenant_id: str, fold: ChainFold, end: ChainEnd, landed: Cursor | None) -> None:
    rows = fold.finish(tenant_id, end)
    if landed is not None and end.next_seq < landed.next_seq:
        raise _untrue(tenant_id, f"it ends at seq {end.next_seq}, and was landed up to {landed.next_seq}")
    if rows.breaks:
        declared = declared_breaks(lake)
        for found in rows.breaks:
            if (found.tenant_id, found.seq, found.kind.value) not in declared:
                raise _untrue(tenant_id, str(found))


def _check_landed(table: pa.Table, tenant_id: str, landed: Cursor, chain_id: bytes) -> None:
    at = pc.index(table.column("seq"), landed.next_seq - 1).as_py()
    if chain_id != landed.chain_id:
        raise _untrue(tenant_id, "it was started anew")
    if at >= 0 and table.column("integrity_hash")[at].as_py() != landed.last_hash:
        raise _untrue(tenant_id, f"seq {landed.next_seq - 1} is not the row that was landed")


def _events(table: pa.Table, tenant_id: str, actions: Collection[str]) -> Iterator[OperatorEvent]:
    chosen = table.filter(pc.is_in(table.column("action"), pa.array(sorted(actions), pa.string())))
    for row in chosen.to_pylist():
        if row["erased_at"] is not None:
            raise _untrue(tenant_id, f"what seq {row['seq']} says is gone")
        try:
            state = json.loads(row["after_state"] or "{}")
        except ValueError:
            state = None
        says = state if isinstance(state, dict) else {}
        yield OperatorEvent(row["seq"], row["event_id"], row["action"], row["entity_id"], row["recorded_at"], says)


def _untrue(tenant_id: str, found: str) -> OutboxTampered:
    return OutboxTampered(
        f"the chain of the operator's own tenant {tenant_id} can't be believed: {found}. Holds and erasures follow "
        "from it, so nothing was done; 'lumi verify --all' says more"
    )
