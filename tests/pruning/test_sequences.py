"""The sequences of the erasures with prunings in between: earlier proofs verify, later verifications are true."""

from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lumi_pipeline.errors import EvidenceError
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.writer import write_bundle
from lumi_pipeline.pruning.pruner import Pruner
from tests.erasure.test_sequences import Sequences, actors, numbers, tenants

KEPT_DAYS = 1


class Prunings(Sequences):
    """Who acted on which day for which tenant, under which names, and the tenant-days that are gone."""

    def __init__(self) -> None:
        super().__init__()
        self.acted: dict[tuple[str, date], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.pruned: set[tuple[str, date]] = set()

    @rule(tenant=tenants, actor=actors, count=st.integers(1, 3))
    def record(self, tenant: str, actor: str, count: int) -> None:
        before = set(self.ids)
        super().record(tenant, actor, count)
        self.acted[tenant, self.world.clock.now.date()][actor] |= set(self.ids) - before

    @precondition(lambda self: self.sealed)
    @rule(again=st.booleans())
    def prune(self, again: bool) -> None:
        before = self.world.clock.now.date() - timedelta(days=KEPT_DAYS)
        leaving = {
            (tenant, day): [name for names in by.values() for name in names]
            for (tenant, day), by in self.acted.items()
            if day < before and not any((tenant, actor) in self.held for actor in by)
        }
        report = Pruner(self.world.pipeline(retention_days=KEPT_DAYS)).prune(before)
        assert sum(plan.events for plan in report.plans) == sum(map(len, leaving.values()))
        for tenant_day, names in leaving.items():
            del self.acted[tenant_day]
            self.pruned.add(tenant_day)
            self.gone |= set(names)
            for alive in self.alive.values():
                alive -= set(names)
        if again:
            assert Pruner(self.world.pipeline(retention_days=KEPT_DAYS)).prune(before).plans == ()

    @precondition(lambda self: self.sealed)
    @rule(number=numbers)
    def prove(self, number: int) -> None:
        if any(day <= self.world.pipeline().sealed_days()[-1] for _, day in self.acted):
            super().prove(number)

    @precondition(lambda self: self.sealed)
    @rule(tenant=tenants)
    def give_evidence(self, tenant: str) -> None:
        pipeline = self.world.pipeline()
        days = pipeline.sealed_days()
        if not any(t == tenant and day <= days[-1] for t, day in {*self.acted, *self.pruned}):
            return
        first = max((day for t, day in self.pruned if t == tenant), default=days[0] - timedelta(days=1))

        def write(begin: date) -> Path:
            out = self.directory / f"evidence-{len(self.bundles)}"
            asked = Asked(tenant, begin, days[-1])
            return write_bundle(pipeline, asked, out, lambda p: judge_bundle(p, self.world.policy)).path

        if first >= days[0]:
            with pytest.raises(EvidenceError, match="pruned under policy"):
                write(days[0])
        if first < days[-1]:
            self.bundles.append(write(first + timedelta(days=1)))


TestPrunings = pytest.mark.slow(Prunings.TestCase)
TestPrunings.settings = settings(
    max_examples=4, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
def test_a_sequence_with_all_of_it() -> None:
    """What chance may leave out: each kind of step, on sealed and on open days, with what forbids it and without."""
    machine = Prunings()
    steps: list[Callable[[], None]] = [
        machine.begin,  # acme u-1 on day 0
        lambda: machine.record("acme", "u-1", 1),
        lambda: machine.record("acme", "u-2", 1),
        lambda: machine.record("globex", "u-1", 2),
        machine.land,
        lambda: machine.hold(0),  # acme u-1
        lambda: machine.erase(0),  # is refused
        machine.seal,
        lambda: machine.record("globex", "u-2", 1),
        lambda: machine.prove(0),
        lambda: machine.give_evidence("acme"),
        lambda: machine.erase(1),  # acme u-2, sealed
        machine.seal,
        lambda: machine.prune(again=True),  # acme u-1 stays
        machine.release,
        lambda: machine.erase(0),  # acme u-1, in rows that stayed
        lambda: machine.prune(again=False),
        lambda: machine.record("acme", "u-1", 1),
        lambda: machine.erase(0),  # not even landed
        machine.seal,
        lambda: machine.give_evidence("globex"),
        lambda: machine.prove(3),
    ]
    try:
        for step in steps:
            step()
            machine.nothing_false_is_said()
        assert (len(machine.proofs), len(machine.bundles), len(machine.pruned) > 2) == (2, 2, True)
        assert sum(1 for _ in machine.gone) > 5
    finally:
        machine.teardown()
