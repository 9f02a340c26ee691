"""Which erased rows are accounted for: those of orders whose SHA-256 an event of the operator's chain carries.

A row without payload verifies by its hash alone, so somebody who only wants to hide something could take payloads out
and mark them as erased. What is accepted is therefore decided by the operator's own chain, which is read when there is
anything to decide, and once.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from lumi_pipeline.catalogue import OUTBOX_ERASED
from lumi_pipeline.chain import TenantRows
from lumi_pipeline.erasure.againstholds import against_holds
from lumi_pipeline.erasure.holds import HOLD_ACTIONS
from lumi_pipeline.erasure.operatorchain import OperatorEvent, read_operator_chain
from lumi_pipeline.erasure.orders import KnownOrder, Order, OrderedRows, Outcome, read_orders, steps_taken
from lumi_pipeline.errors import ErasureMeanwhile, UnfinishedErasure
from lumi_pipeline.lake import Lake
from lumi_pipeline.outbox import Outbox
from transparency.errors import VerificationError

_NAMED: Final = 5
_ACTIONS: Final = HOLD_ACTIONS | {OUTBOX_ERASED}


@dataclass(frozen=True, slots=True)
class ReadErasures:
    """Orders and the operator's events that give some, as they were read, for whoever can't open the outbox.

    ``steps`` is how far erasures had come then.
    """

    steps: int
    known: tuple[KnownOrder, ...]
    events: tuple[OperatorEvent, ...]


@dataclass(slots=True)
class Erasures:
    """The erasures of one lake; ``outbox`` opens the database that holds the operator's chain.

    Made for one verification or run: orders are read once.
    """

    lake: Lake
    outbox: Callable[[], Outbox]
    operator_tenant: str
    _known: list[KnownOrder] | None = field(default=None, init=False)
    _steps: int = field(default=0, init=False)
    _events: Sequence[OperatorEvent] | None = field(default=None, init=False)

    def known(self) -> list[KnownOrder]:
        """All orders in the lake, whether or not an event says that they were given."""
        if self._known is None:
            self._steps = steps_taken(self.lake)
            self._known = read_orders(self.lake) if self._steps else []
        return self._known

    def read(self) -> ReadErasures:
        """Read all that any check needs."""
        known = tuple(self.known())
        return ReadErasures(self._steps, known, tuple(self._given_by()) if known else ())

    @classmethod
    def already(cls, lake: Lake, read: ReadErasures) -> Self:
        """Erasures as somebody else read them."""

        def no_outbox() -> Outbox:
            raise AssertionError("what the outbox holds of erasures was read before")

        erasures = cls(lake, no_outbox, "")
        erasures._steps, erasures._known, erasures._events = read.steps, list(read.known), read.events
        return erasures

    def forget(self) -> None:
        """Read everything anew when it is needed next: an erasure went on since."""
        self._known = self._events = None

    def check_unchanged(self) -> None:
        """Raise :class:`~lumi_pipeline.errors.ErasureMeanwhile` if an erasure went on since the orders were read.

        Rows that were read before it may hold what it has erased by now, so they must not be written anywhere.
        """
        self.known()
        if steps_taken(self.lake) != self._steps:
            raise ErasureMeanwhile

    def given(self) -> list[Order]:
        """The orders that the operator's chain says were given.

        Raises :class:`~transparency.errors.VerificationError` when chain and lake contradict each other.
        """
        problems, given = confirm(self.known(), self._given_by())
        if problems:
            raise VerificationError("erased", "\n".join(problems))
        return given

    def check_holds(self) -> None:
        """Raise :class:`~transparency.errors.VerificationError` if an order was given against a legal hold."""
        problems = list(against_holds(self.lake, self.given(), self._given_by()))
        if problems:
            raise VerificationError("held", "\n".join(problems))

    def _given_by(self) -> Sequence[OperatorEvent]:
        if self._events is None:
            chain = read_operator_chain(self.outbox(), self.lake, self.operator_tenant, _ACTIONS)
            self._events = chain.events
        return self._events

    def check(self, where: str, tenants: Mapping[str, TenantRows]) -> None:
        """Raise :class:`~transparency.errors.VerificationError` if any of these rows is erased that no order covers.

        Where one was ordered since the orders were read, :class:`~lumi_pipeline.errors.ErasureMeanwhile`.
        """
        concerned = {tenant_id: rows for tenant_id, rows in sorted(tenants.items()) if rows.erased}
        ordered = OrderedRows(self.given() if concerned and self.known() else ())
        for tenant_id, rows in concerned.items():
            given = ordered.of(tenant_id)
            unordered = [seq for seq, moment in rows.erased.items() if moment not in given.get(seq, ())]
            if unordered:
                self.check_unchanged()
                raise VerificationError(
                    "erased",
                    f"{where}: the payload of {len(unordered)} event(s) of tenant {tenant_id} is gone, marked as "
                    f"erased, and nothing ordered that: {_named(unordered)}; restore it from a backup if the lake "
                    f"still has it, or put on record that it is gone: 'lumi erase --tenant {tenant_id} --event ID "
                    "--reason TEXT', with --already-gone where neither outbox nor lake has it",
                )

    def check_carried_out(self, where: str, tenants: Mapping[str, TenantRows]) -> None:
        """Raise :class:`~lumi_pipeline.errors.UnfinishedErasure` if any of these rows should be erased and is not."""
        ordered = OrderedRows(known.order for known in self.known() if known.outcome is not Outcome.VOID)
        if not any(_left(ordered.of(tenant_id), rows) for tenant_id, rows in tenants.items()):
            return
        ordered = OrderedRows(self.given())
        for tenant_id, rows in sorted(tenants.items()):
            left = _left(ordered.of(tenant_id), rows)
            if left:
                raise UnfinishedErasure(
                    f"{where}: {len(left)} event(s) of tenant {tenant_id} that were to be erased still have their "
                    f"payload: {_named(left)}; 'lumi erase --resume' completes the erasure"
                )


def confirm(known: list[KnownOrder], events: Sequence[OperatorEvent]) -> tuple[list[str], list[Order]]:
    """Hold orders against the events that give them; return what contradicts, and the orders that were given."""
    # Whoever may record for the operator may say anything; what is not in form gives no order.
    by_id = {
        e.event_id: e for e in events if e.action == OUTBOX_ERASED and isinstance(e.state.get("order_sha256"), str)
    }
    given: list[Order] = []
    problems: list[str] = []
    for found in known:
        order = found.order
        event = by_id.pop(order.event_id, None)
        if found.outcome is Outcome.VOID and event is not None:
            problems.append(f"{order.key} is closed as void, but event {order.event_id} gave it; restore its done.json")
        elif event is not None and event.state.get("order_sha256") != order.sha256:
            problems.append(
                f"{order.key} was altered: event {event.event_id} gave an order with the SHA-256 "
                f"{event.state.get('order_sha256')}, and this one's is {order.sha256}"
            )
        elif event is not None:
            given.append(order)
        elif found.outcome is Outcome.DONE:
            problems.append(f"{order.key} was carried out, but the operator's chain has no event that gave it")
    problems += [
        f"event {event.event_id} gave erasure {event.state.get('erasure')}, whose order is gone from the lake; "
        "restore it from a backup"
        for event in by_id.values()
    ]
    return problems, given


def _left(ordered: Collection[int], rows: TenantRows) -> list[int]:
    """The ordered seqs that lie within what was read of a tenant, and are not erased there."""
    within = (seq for seq in ordered if rows.start.next_seq <= seq < rows.state.next_seq)
    return [seq for seq in within if seq not in rows.erased and not rows.was_pruned(seq)]


def _named(seqs: list[int]) -> str:
    shown = ", ".join(f"seq {seq}" for seq in sorted(seqs)[:_NAMED])
    return f"{shown} and {len(seqs) - _NAMED} more" if len(seqs) > _NAMED else shown
