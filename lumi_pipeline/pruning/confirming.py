"""Which pruned days are accounted for: those whose pruning an event of the operator's chain carries.

Whoever can delete files of the lake can also write a record that calls it policy. So a record is believed only if the
operator's own chain, recomputed from its genesis to its head, has the event that it names, and that says the same.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Self

from lumi_pipeline.catalogue import OUTBOX_PRUNED
from lumi_pipeline.erasure.holds import HOLD_ACTIONS
from lumi_pipeline.erasure.operatorchain import OperatorEvent, read_operator_chain
from lumi_pipeline.errors import LumiError, RecordError, UnfinishedPruning
from lumi_pipeline.lake import Lake
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.pruned import Pruned, pruned_keys, read_pruned
from lumi_pipeline.pruning.policy import against_policy
from lumi_pipeline.sealedday import SealedDay
from transparency.encoding import Json
from transparency.errors import VerificationError

_ACTIONS: Final = HOLD_ACTIONS | {OUTBOX_PRUNED}
AGAIN: Final = "running 'lumi prune' again completes it, whatever day it is given"


@dataclass(frozen=True, slots=True)
class ReadPrunings:
    """What the operator's chain says was pruned, as it was read, for whoever can't open the outbox.

    ``failure`` is why it could not be read.
    """

    given: tuple[Pruned, ...]
    operator_tenant: str
    failure: LumiError | None = None


@dataclass(slots=True)
class Prunings:
    """The prunings of one lake; ``outbox`` opens the database that holds the operator's chain.

    Made for one verification or run: the chain is read once.
    """

    lake: Lake
    outbox: Callable[[], Outbox]
    operator_tenant: str
    _given: list[Pruned] | None = field(default=None, init=False)
    _events: Sequence[OperatorEvent] = field(default=(), init=False)
    _failure: LumiError | None = field(default=None, init=False)

    def read(self) -> ReadPrunings:
        """Read all that any check needs."""
        try:
            return ReadPrunings(tuple(self.given()) if pruned_keys(self.lake) else (), self.operator_tenant)
        except LumiError as error:
            return ReadPrunings((), self.operator_tenant, error)

    @classmethod
    def already(cls, lake: Lake, read: ReadPrunings) -> Self:
        """Prunings as somebody else read them."""

        def no_outbox() -> Outbox:
            raise AssertionError("what the outbox holds of prunings was read before")

        prunings = cls(lake, no_outbox, read.operator_tenant)
        prunings._given, prunings._failure = list(read.given), read.failure
        return prunings

    def forget(self) -> None:
        """Read the chain anew when it is needed next: a pruning went on since."""
        self._given = None

    def given(self) -> list[Pruned]:
        """What the operator's chain says was pruned, in that order."""
        if self._failure is not None:
            raise self._failure
        if self._given is None:
            chain = read_operator_chain(self.outbox(), self.lake, self.operator_tenant, _ACTIONS)
            self._given, self._events = pruned_by(chain.events), chain.events
        return self._given

    def check(self, pruned: Pruned) -> None:
        """Raise :class:`~transparency.errors.VerificationError` unless the operator's chain says the same."""
        if pruned not in self.given():
            raise VerificationError(
                "pruned",
                f"{pruned.key} says that {pruned.events} event(s) of {pruned.day} were pruned under policy by event "
                f"{pruned.event_id}, and the operator's chain has no such event that says so; restore what is missing "
                "from a backup",
            )

    def check_day(self, sealed: SealedDay) -> None:
        """The same of a sealed day, if it was pruned; and what the operator did has to be there."""
        if sealed.pruned is not None:
            self.check(sealed.pruned)
            if self.operator_tenant in sealed.gone:
                raise VerificationError(
                    "pruned",
                    f"{sealed.pruned.key}: what the operator did is gone, and that is never pruned; restore it",
                )

    def pending(self) -> list[Pruned]:
        """What was given and has no record yet: interrupted, nothing of it was removed.

        Raises :class:`~transparency.errors.VerificationError` for one whose day was pruned again since: that record was
        there, and is gone.
        """
        records = pruned_keys(self.lake)
        pending = [pruned for pruned in self.given() if pruned.key not in records.get(pruned.day, ())]
        for pruned in pending:
            later = max(records.get(pruned.day, ()), default="")
            if later > pruned.key:
                raise VerificationError("pruned", f"{pruned.key} is gone, and {later} is there; restore it")
        return pending

    def against_policy(self, prunings: Sequence[Pruned]) -> list[str]:
        """What is wrong with the orders of these prunings: they were too early, or against a legal hold."""
        given = self.given()
        return list(against_policy(self.lake, [pruned for pruned in prunings if pruned in given], self._events))

    def check_all(self) -> list[Pruned]:
        """Hold every record against the events, and the events against the records; return what was pruned.

        Raises :class:`~transparency.errors.VerificationError` when they contradict each other, and
        :class:`~lumi_pipeline.errors.UnfinishedPruning` when one was interrupted.
        """
        records = [read_pruned(self.lake, key) for keys in pruned_keys(self.lake).values() for key in keys]
        for record in records:
            self.check(record)
        problems = self.against_policy(self.given())
        if problems:
            raise VerificationError("against-policy", "\n".join(problems))
        pending = self.pending()
        if pending:
            raise UnfinishedPruning(
                f"the pruning of {pending[0].day} that event {pending[0].event_id} ordered is under way or was "
                f"interrupted; {AGAIN}"
            )
        return records


def pruned_by(events: Iterable[OperatorEvent]) -> list[Pruned]:
    """What these events of the operator's chain say was pruned.

    An event that does not say it in form orders nothing: whoever may record for the operator may say anything.
    """
    found: list[Pruned] = []
    for event in events:
        days = event.state.get("days")
        if event.action == OUTBOX_PRUNED and isinstance(days, list):
            with suppress(RecordError):
                found += [Pruned.from_state(_json(state), event.event_id) for state in days]
    return found


def _json(value: object) -> Json:
    """What an event says, as far as it is an object: anything else is not in form."""
    return value if isinstance(value, dict) else None
