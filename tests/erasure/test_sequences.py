"""Any sequence of recording, sealing, holds, evidence and erasures: earlier proofs verify, verdicts are true."""

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.erasure.holds import Holds
from lumi_pipeline.erasure.planning import Selection
from lumi_pipeline.errors import ErasureError
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.writer import write_bundle
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.proving import prove_event
from lumi_pipeline.verdict import Status
from tests.erasure.forgetting import REASON, status
from tests.erasure.searching import places_of
from tests.lake.places import LocalPlace
from tests.lake.world import FIRST_DAY, World, at

ACTORS = ("u-1", "u-2")
TENANTS = ("acme", "globex")
tenants, actors = st.sampled_from(TENANTS), st.sampled_from(ACTORS)
numbers = st.integers(0, 1000)


class Sequences(RuleBasedStateMachine):
    """The world, what was proved of it so far, whose payloads were erased, and who is held."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="lumi-sequences-"))
        self.world = World.create(self.directory / "world", at(0, "08:00:00"), LocalPlace.create)
        self.proofs: list[bytes] = []
        self.bundles: list[Path] = []
        self.alive: dict[tuple[str, str], set[str]] = {}
        self.gone: set[str] = set()
        self.held: dict[tuple[str, str], str] = {}
        self.ids: dict[str, str] = {}
        self.sealed = 0

    def teardown(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    @initialize()
    def begin(self) -> None:
        self.record("acme", "u-1", 2)
        self.seal()

    @rule(tenant=tenants, actor=actors, count=st.integers(1, 3))
    def record(self, tenant: str, actor: str, count: int) -> None:
        for _ in range(count):
            name = f"Name-{len(self.ids):04d}-of-{actor}"
            self.world.clock.now += timedelta(minutes=1)
            [event] = self.world.record(tenant, self.world.clock.now, actor_id=actor, actor_name=name, ip=name)
            self.ids[name] = event.event_id
            self.alive.setdefault((tenant, actor), set()).add(name)

    @rule()
    def land(self) -> None:
        self.world.pipeline().land()

    @rule()
    def seal(self) -> None:
        self.world.clock.now = at((self.world.clock.now.date() - FIRST_DAY).days + 1, "00:20:00")
        self.world.pipeline().run()
        self.sealed = len(self.world.pipeline().sealed_days())

    @precondition(lambda self: self.sealed)
    @rule(number=numbers)
    def prove(self, number: int) -> None:
        pipeline = self.world.pipeline()
        genesis = pipeline.genesis()
        days = pipeline.sealed_days()
        assert genesis is not None
        rows = self.world.select("SELECT event_id, recorded_at FROM audit_outbox WHERE tenant_id IN ('acme', 'globex')")
        end = int((at((days[-1] - FIRST_DAY).days + 1, "00:00:00")).timestamp() * 1_000_000)
        proved = [str(event_id) for event_id, moment in rows if int(str(moment)) < end]
        self.proofs.append(prove_event(pipeline.lake, genesis, proved[number % len(proved)]))

    @precondition(lambda self: self.sealed)
    @rule(tenant=st.just("acme"))
    def give_evidence(self, tenant: str) -> None:
        pipeline = self.world.pipeline()
        days = pipeline.sealed_days()
        out = self.directory / f"evidence-{len(self.bundles)}"
        asked = Asked(tenant, days[0], days[-1])
        self.bundles.append(write_bundle(pipeline, asked, out, lambda p: judge_bundle(p, self.world.policy)).path)

    def somebody(self, number: int) -> tuple[str, str]:
        """One of those who have events: others would make most erasures and holds idle."""
        known = sorted(who for who, names in self.alive.items() if names) or [(TENANTS[0], ACTORS[0])]
        return known[number % len(known)]

    @rule(number=numbers)
    def hold(self, number: int) -> None:
        tenant, actor = self.somebody(number)
        if (tenant, actor) not in self.held:
            held = Holds(self.world.pipeline().operator).place(tenant, "case", actor)
            self.held[tenant, actor] = held.hold_id

    @precondition(lambda self: self.held)
    @rule()
    def release(self) -> None:
        who, hold_id = self.held.popitem()
        assert who not in self.held
        Holds(self.world.pipeline().operator).release(hold_id, "closed")

    @rule(number=numbers)
    def erase(self, number: int) -> None:
        tenant, actor = self.somebody(number)
        names = self.alive.get((tenant, actor), set())
        try:
            report = Eraser(self.world.pipeline()).erase(Selection(tenant, actor), REASON)
        except ErasureError:
            assert names
            assert (tenant, actor) in self.held
            return
        assert (tenant, actor) not in self.held or not names
        assert len(report.order.events if report.order else ()) == len(names)
        self.gone |= self.alive.pop((tenant, actor), set())

    @invariant()
    def nothing_false_is_said(self) -> None:
        if not self.sealed:
            return
        assert status(self.world) is Status.VERIFIED
        for proof in self.proofs:
            assert verify_proof(proof, self.world.policy, "proof").status is Status.VERIFIED
        for bundle in self.bundles:
            assert judge_bundle(bundle, self.world.policy).status is Status.VERIFIED
        assert places_of(self.world, [name.encode() for name in self.gone]) == set()
        alive = {name.encode() for names in self.alive.values() for name in names}
        assert all(places_of(self.world, [name]) for name in sorted(alive)[:1])


TestSequences = Sequences.TestCase
TestSequences.settings = settings(
    max_examples=4, stateful_step_count=6, deadline=None, suppress_health_check=list(HealthCheck)
)
