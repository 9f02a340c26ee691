"""Monthly evidence as Dagster makes it: one run a month, checked after it, asked for on the 2nd."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from assets.partitions import month_tags
from assets.schedules import evidence_schedule
from tests.assets.worlds import checks, failure, materialised, resource, run
from tests.lake.world import World, at

FEBRUARY, MARCH = date(2024, 2, 1), date(2024, 3, 1)
PREFIX = "evidence/acme/"
BUNDLE = f"{PREFIX}evidence-acme-2024-02-28-2024-02-29.zip"


@pytest.fixture
def done(world: World) -> World:
    """Days 0 to 2 are published, so February is complete and March is not; acme's evidence is wanted."""
    world.pipeline().run()
    want(world, "acme")
    return world


def want(world: World, *tenants: str) -> None:
    world.config = replace(world.config, evidence_tenants=tenants)


def test_a_month_is_made_then_verified_and_checked(done: World, instance: dg.DagsterInstance) -> None:
    result = run(done, instance, "monthly_evidence", months=[FEBRUARY])
    assert result.success
    assert checks(result) == {"tenant_evidence.bundles_verify": True}
    made = materialised(instance, "tenant_evidence")["2024-02"]
    size = len(done.contents(PREFIX)[BUNDLE])
    assert (made["dagster/row_count"], made["bundles"], made["bytes"]) == (3, 1, size)
    assert f"| acme | 3 | {size:,} | ok | made |" in str(made["by_tenant"])

    before = done.listing()
    assert run(done, instance, "monthly_evidence", months=[FEBRUARY]).success
    assert done.listing() == before
    assert "| ok | verified |" in str(materialised(instance, "tenant_evidence")["2024-02"]["by_tenant"])


def test_what_cant_be_made_fails_after_what_can(done: World, instance: dg.DagsterInstance) -> None:
    result = run(done, instance, "monthly_evidence", months=[FEBRUARY, MARCH])
    assert not result.success
    assert "the last published day is 2024-03-01" in str(failure(result, "tenant_evidence").description)
    assert list(materialised(instance, "tenant_evidence")) == ["2024-02"]

    want(done, "acme", "acmee")
    result = run(done, instance, "monthly_evidence", months=[FEBRUARY])
    assert not result.success
    assert "did you mean acme?" in str(failure(result, "tenant_evidence").description)


def test_an_altered_bundle_fails_the_run(done: World, instance: dg.DagsterInstance) -> None:
    assert run(done, instance, "monthly_evidence", months=[FEBRUARY]).success
    done.overwrite(BUNDLE, done.contents(BUNDLE)[BUNDLE][:-1])
    result = run(done, instance, "monthly_evidence", months=[FEBRUARY])
    assert not result.success
    assert "does not verify" in str(failure(result, "tenant_evidence").description)


def test_the_schedule_asks_for_what_is_lacking(done: World, tmp_path: Path) -> None:
    def ask(moment: datetime) -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(instance, scheduled_execution_time=moment) as context:
            answer = evidence_schedule(context, pipeline=resource(done))
        assert isinstance(answer, dg.RunRequest | dg.SkipReason)
        return answer

    def why(answer: dg.RunRequest | dg.SkipReason) -> str:
        assert isinstance(answer, dg.SkipReason)
        return str(answer.skip_message)

    second = at(3, "04:00:00")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert ask(second) == dg.RunRequest(tags=month_tags([FEBRUARY]))
        assert ask(datetime(2024, 5, 2, 4, tzinfo=UTC)) == dg.RunRequest(tags=month_tags([FEBRUARY, date(2024, 4, 1)]))
        assert run(done, instance, "monthly_evidence", months=[FEBRUARY]).success
        assert why(ask(second)) == "Every month that is over has its evidence."
        want(done)
        assert why(ask(second)) == "No tenant is listed in 'evidence_tenants'."
