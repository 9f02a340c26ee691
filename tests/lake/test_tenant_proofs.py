"""Proof files about a tenant's day: with events, idle, or before it was a tenant."""

from pathlib import Path

import pytest

from lumi_pipeline.errors import ProofNotFound
from lumi_pipeline.hashing import tenant_key
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.proving import TenantDayProof, prove_tenant_day
from lumi_pipeline.verdict import Status
from tests.lake.world import World, at, day
from transparency.encoding import Json


def prove(world: World, tenant_id: str, number: int) -> TenantDayProof:
    pipeline = world.pipeline()
    genesis = pipeline.genesis()
    assert genesis is not None
    return prove_tenant_day(pipeline.lake, genesis, tenant_id, day(number))


@pytest.mark.parametrize(
    ("tenant_id", "number", "events"),
    [("acme", 0, 3), ("globex", 1, 0), ("acme", 2, 0), ("initech", 2, 2)],
)
def test_a_tenants_day_is_proved_from_the_bytes_alone(
    sealed: World, tmp_path: Path, tenant_id: str, number: int, events: int
) -> None:
    proof = prove(sealed, tenant_id, number)
    sealed.directory.rename(tmp_path / "elsewhere")
    assert proof.events == events
    verdict = verify_proof(proof.data, sealed.policy, "it")
    assert (verdict.status, verdict.reason) == (Status.VERIFIED, "ok")
    expected: dict[str, Json] = {
        "type": "lumi/tenant-day-proof/v1",
        "day": str(day(number)),
        "tenant_key": tenant_key(tenant_id).hex(),
    }
    assert expected.items() <= verdict.facts.items()
    assert f"the tenant with the key {tenant_key(tenant_id).hex()} had {events} event(s)" in verdict.lines[0]
    assert tenant_id.encode() not in proof.data


@pytest.mark.parametrize(("tenant_id", "number"), [("initech", 0), ("initech", 1), ("nobody", 2)])
def test_absence_is_proved_from_the_bytes_alone(sealed: World, tmp_path: Path, tenant_id: str, number: int) -> None:
    proof = prove(sealed, tenant_id, number)
    sealed.directory.rename(tmp_path / "elsewhere")
    assert proof.events is None
    verdict = verify_proof(proof.data, sealed.policy, "it")
    assert (verdict.status, verdict.reason) == (Status.VERIFIED, "ok")
    assert (verdict.facts["type"], verdict.facts["tenant"]) == ("lumi/absence-proof/v1", tenant_id)
    assert f"{tenant_id} was not a tenant on {day(number)}" in verdict.lines[0]


@pytest.mark.parametrize(
    ("tenant_id", "number", "said"),
    [
        ("acme", -1, "the log begins with 2024-02-28, so nothing can be proved of 2024-02-27"),
        ("acme", 3, "2024-03-02 is not sealed yet; 'lumi run'"),
        ("", 0, "is not a tenant id"),
        ("../x", 0, "is not a tenant id"),
        ("a" * 129, 0, "is not a tenant id"),
    ],
)
def test_what_cant_be_proved_is_said(sealed: World, tenant_id: str, number: int, said: str) -> None:
    with pytest.raises(ProofNotFound, match=said):
        prove(sealed, tenant_id, number)


def test_a_day_that_is_not_published_cannot_be_proved_yet(world: World) -> None:
    world.record("acme", at(0))
    pipeline = world.pipeline()
    pipeline.land()
    assert len(list(pipeline.seal([day(0)]))) == 1
    with pytest.raises(ProofNotFound, match="2024-02-28 is sealed but not published yet; run 'lumi publish'"):
        prove(world, "acme", 0)
    world.pipeline().publish()
    assert verify_proof(prove(world, "acme", 0).data, world.policy, "it").status is Status.VERIFIED


def test_a_day_with_declared_breaks_is_proved_as_it_was_sealed(world: World) -> None:
    events = world.record("acme", at(0, "09:00:00"), at(0, "09:00:01"))
    world.tamper("UPDATE audit_outbox SET entity_id = 'other' WHERE event_id = ?", (events[0].event_id,))
    pipeline = world.pipeline()
    with pytest.raises(Exception, match="break"):
        pipeline.run(day(0))
    pipeline.acknowledge(day(0), "edited by hand")
    world.pipeline().run(day(0))
    assert verify_proof(prove(world, "acme", 0).data, world.policy, "it").reason == "declared-break"
