"""A pruning from beginning to end, in an order in which no crash leaves a lie behind.

1. Land, and complete what was interrupted. Verify the outbox: nothing is removed that would have shown tampering.
2. Choose the days, and what has to stay of each; refuse what is locked. Nothing was touched so far.
3. Month by month: recompute the days from their stored rows, find them in the public log, and write what stays of
   them into files of their own.
4. Record the operator's audit event, unless a hold came in between; land it, so that the lake has it too.
5. Create each day's record. From here on its rows are gone under policy, whether or not they are still there.
6. Recompute what stays, delete the files of the day, and remove its rows from the outbox.

Until step 6 is done a verification says that a pruning is unfinished, which is neither success nor failure.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from lumi_pipeline.catalogue import OUTBOX_PRUNED
from lumi_pipeline.daychecks import index_is_day
from lumi_pipeline.erasure.holds import HOLD_ACTIONS, Hold, active_holds
from lumi_pipeline.erasure.operatorchain import Act, OperatorChain
from lumi_pipeline.erasure.orders import unfinished_order
from lumi_pipeline.errors import ConcurrentRun, LakeError, PruneError
from lumi_pipeline.events import uuid7
from lumi_pipeline.outboxverification import verify_outbox
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.pruned import Pruned, pruned_keys
from lumi_pipeline.pruning.choosing import DayPlan, plan_day
from lumi_pipeline.pruning.confirming import pruned_by
from lumi_pipeline.pruning.removing import clear_day, days_to_clear, leave_no_copy, load_days, remove_rows, write_kept
from lumi_pipeline.pruning.waiting import check_nobody_waits
from lumi_pipeline.rewritten import check_rewritten_day
from lumi_pipeline.sealedday import SealedDay, check_pruned, load_sealed_day
from lumi_pipeline.sealing import Sealer
from lumi_pipeline.succession import earlier_logs, verify_earlier
from lumi_pipeline.verdict import Status, Verdict
from transparency.encoding import Json
from transparency.entries import Genesis
from transparency.errors import ObjectConflict

Progress = Callable[[str], None]
"""Told what is done next."""

_ACTIONS: Final = HOLD_ACTIONS | {OUTBOX_PRUNED}
_MONTH: Final = 31
"""Days that one audit event names, and that are verified together."""

_MAX_KEPT: Final = 20_000
"""Characters of the tenants that stay of a day, that the audit event has room for on each of its days."""


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What was pruned: the days, with what left of each, and the rows removed in the outbox.

    ``completed`` are days whose pruning had been interrupted, or of which something had come back.
    """

    days: tuple[Pruned, ...]
    plans: tuple[DayPlan, ...]
    completed: tuple[date, ...]
    rows: int


class Pruner:
    """Prunes the days of one pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._lake = pipeline.lake
        self._operator = pipeline.config.operator_tenant
        self._rows = 0
        self._logs: list[tuple[Genesis, list[date]]] = []
        self._sealers: dict[str, Sealer] = {}

    def _look(self) -> None:
        """See afresh which days are published, and what the operator's chain says."""
        self._logs = list(self._history())
        self._sealers = {genesis.origin: self._pipeline.sealer(genesis) for genesis, _ in self._logs}

    def plan(self, before: date) -> list[DayPlan]:
        """Say what would leave of the days before ``before``; changes nothing.

        Raises :class:`~lumi_pipeline.errors.PruneError` when it would be refused.
        """
        self._check_policy(before)
        self._look()
        return list(self._plans(before, self._holds()))

    def prune(self, before: date, progress: Progress = lambda _: None) -> PruneReport:
        """Prune the days before ``before``; what was interrupted is completed first.

        Raises :class:`~lumi_pipeline.errors.PruneError` when it is refused: then nothing of these days was touched.
        """
        self._check_policy(before)
        self._check_settled()
        self._rows = 0
        self._pipeline.land()  # also the event of one that was interrupted before the lake had it
        self._look()
        completed = self._complete(progress)
        holds = self._holds()
        plans = list(self._plans(before, holds))
        done: list[Pruned] = []
        for start in range(0, len(plans), _MONTH):
            month = plans[start : start + _MONTH]
            progress(f"{month[0].day} to {month[-1].day}")
            done += self._prune(month, holds, before)
        if self._rows:
            leave_no_copy(self._pipeline.outbox)
        return PruneReport(tuple(done), tuple(plans), tuple(completed), self._rows)

    def _check_policy(self, before: date) -> None:
        kept = self._pipeline.config.retention_days
        if kept is None:
            raise PruneError(
                "no retention is configured, so nothing may leave; 'retention_days' in lumi.toml says how many days "
                "events are kept at least"
            )
        last = self._pipeline.clock().date() - timedelta(days=kept)
        if before > last:
            raise PruneError(
                f"'retention_days' is {kept}, so days before {last} may leave, and none before {before}; nothing was "
                "touched"
            )

    def _check_settled(self) -> None:
        order = unfinished_order(self._lake)
        if order is not None:
            raise PruneError(f"erasure {order.number} is unfinished; 'lumi erase --resume' completes it, then prune")
        rebases = list(self._lake.store.list("rebases/"))
        begun = {key.split("/")[1] for key in rebases}
        if begun - {key.split("/")[1] for key in rebases if key.endswith("/done.json")}:
            raise PruneError("a rebase was interrupted; 'lumi landing rebase' completes it, then prune")

    def _complete(self, progress: Progress) -> list[date]:
        """Complete every pruning that was given, and remove what came back since; return the days that needed it."""
        completed: set[date] = set()
        prunings = self._pipeline.prunings()
        problems = prunings.against_policy(prunings.pending())
        if problems:
            raise PruneError(f"{problems[0]}, so somebody went around it; nothing is done about it")
        for pruned in prunings.pending():
            progress(f"completing {pruned.day}")
            self._create(pruned)
            completed.add(pruned.day)
        for day in days_to_clear(self._lake):
            clear_day(self._lake, self._verify(day))
            completed.add(day)
        verdict = self._judge_outbox()
        if verdict.reason == "unfinished":
            days = sorted(pruned_keys(self._lake))
            self._rows += remove_rows(self._pipeline.outbox, load_days(self._lake, days))
            verdict = self._judge_outbox()
        if verdict.status is not Status.VERIFIED and verdict.reason != "declared-break":
            raise PruneError("the outbox does not verify, so nothing is removed from it: " + " ".join(verdict.lines))
        return sorted(completed)

    def _judge_outbox(self) -> Verdict:
        pipeline = self._pipeline
        last = pipeline.last_sealed()
        return verify_outbox(pipeline.outbox, self._lake, last.tenants if last else None, pipeline.erasures())

    def _holds(self) -> list[Hold]:
        return active_holds(self._pipeline.operator.read(HOLD_ACTIONS).events)

    def _history(self) -> Iterator[tuple[Genesis, list[date]]]:
        """Each log, the earliest first, with the days that are published in it."""
        genesis = self._pipeline.genesis()
        if genesis is None:
            return
        for log, pinned in reversed(earlier_logs(self._lake, genesis)):
            yield log, verify_earlier(self._lake, log, pinned)
        waiting = set(self._pipeline.unpublished_days())
        yield genesis, [day for day in self._pipeline.sealed_days() if day not in waiting]

    def _plans(self, before: date, holds: Sequence[Hold]) -> Iterator[DayPlan]:
        plans = []
        for _, days in self._logs:
            for day in days:
                if day < before:
                    sealed = load_sealed_day(self._lake, day)
                    plan = plan_day(self._lake, sealed, holds, self._operator)
                    if plan is not None:
                        if sum(map(len, plan.kept)) > _MAX_KEPT:
                            raise PruneError(
                                f"{len(plan.kept)} tenants' rows of {day} have to stay, more than an audit event can "
                                f"name; prune the days before {day} alone, or release holds"
                            )
                        plans.append(plan)
        if plans:
            check_nobody_waits(self._pipeline, plans[-1].day)
        yield from plans

    def _prune(self, plans: Sequence[DayPlan], holds: Sequence[Hold], before: date) -> list[Pruned]:
        erasures = self._pipeline.erasures()
        erasures.known()
        prepared = [self._prepare(plan) for plan in plans]
        erasures.check_unchanged()
        event_id = uuid7()
        self._give([replace(pruned, event_id=event_id) for pruned in prepared], plans, holds, before)
        # A crash before this leaves the event in the outbox alone; nothing is touched before the lake has it too.
        self._pipeline.land()
        self._look()
        done = [replace(pruned, event_id=event_id) for pruned in prepared]
        for pruned in done:
            self._create(pruned)
            clear_day(self._lake, self._verify(pruned.day))
        self._rows += remove_rows(self._pipeline.outbox, load_days(self._lake, [pruned.day for pruned in done]))
        return done

    def _prepare(self, plan: DayPlan) -> Pruned:
        """Recompute a day, find it in the log, and write what stays; a crash leaves files that count for nothing."""
        sealed = self._verify(plan.day)
        files = write_kept(self._lake, sealed, plan.kept)
        number = sealed.pruned.number + 1 if sealed.pruned else 0
        events = plan.events + (sealed.pruned.events if sealed.pruned else 0)
        manifest = sealed.record.manifest.hex()
        return Pruned(plan.day, number, "", events, plan.kept, files, sealed.record.map_root, manifest)

    def _verify(self, day: date) -> SealedDay:
        """Recompute a day from its stored rows, on top of the stored day before it, and find it in the public log."""
        own = self._pipeline.genesis()
        for genesis, days in self._logs:
            if day in days:
                is_first = day == genesis.first_day and genesis.previous is None
                before = None if is_first else load_sealed_day(self._lake, day - timedelta(days=1))
                sealed, _ = self._sealers[genesis.origin].verify(day, before)
                if genesis == own:
                    self._check_logged(day)
                return sealed
        raise LakeError(f"{day} is not published, so nothing of it may leave")

    def _check_logged(self, day: date) -> None:
        policy = self._pipeline.publishing_policy()
        if policy is None:
            raise PruneError(
                "no key of the log is known here, so nobody can say that these days are public; give 'log_key_file' or "
                "'policy_file'"
            )
        verdict = index_is_day(self._lake, policy, day)
        if verdict.status is not Status.VERIFIED:
            raise PruneError(f"{day} is not known to be public, so nothing of it may leave: {' '.join(verdict.lines)}")

    def _give(self, prunings: Sequence[Pruned], plans: Sequence[DayPlan], holds: Sequence[Hold], before: date) -> None:
        """Record the audit event; nothing of the operator's, such as a hold, comes in between."""
        keys = {pruned.key for pruned in prunings}

        def decide(chain: OperatorChain) -> None:
            if active_holds(chain.events) != list(holds):
                raise ConcurrentRun("holds were changed meanwhile; nothing was pruned: run again")
            if keys & {pruned.key for pruned in pruned_by(chain.events)}:
                raise ConcurrentRun("another run prunes the same days at this moment; run again")

        days: list[Json] = [pruned.state() for pruned in prunings]
        state: Mapping[str, Json] = {
            "before": before.isoformat(),
            "days": days,
            "events": str(sum(plan.events for plan in plans)),
            "retention_days": str(self._pipeline.config.retention_days),
        }
        act = Act(OUTBOX_PRUNED, f"{prunings[0].day}/{prunings[-1].day}", state, prunings[0].event_id)
        self._pipeline.operator.record(act, decide, _ACTIONS)

    def _create(self, pruned: Pruned) -> None:
        """Put on record that the rows of a day leave; what stays of them is known to be whole before."""
        sealed = replace(load_sealed_day(self._lake, pruned.day), pruned=pruned)
        check_pruned(sealed)
        if self._operator in sealed.gone:
            raise PruneError(f"event {pruned.event_id} prunes what the operator did on {pruned.day}; that always stays")
        check_rewritten_day(self._lake, replace(sealed, superseded=()))
        try:
            # A crash after this leaves the day's files and rows, which do not count any more.
            self._lake.store.put_new(pruned.key, pruned.encode())
        except ObjectConflict:
            raise ConcurrentRun(f"another run prunes {pruned.day} at this moment; run again") from None
