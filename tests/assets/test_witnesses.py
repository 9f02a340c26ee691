"""Witnesses as Dagster has them: asked when a day is published, and again in between."""

from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import pytest

from assets.requests import request_submission
from tests.assets.worlds import checks, failure, materialised, resource, run
from tests.lake.witnesses import Witnesses, running
from tests.lake.world import World, day
from tests.siem.fakes.http import answer

DAYS = [day(0), day(1), day(2)]


@pytest.fixture
def witnesses(world: World) -> Iterator[Witnesses]:
    with running(world, "w1", "w2") as witnesses:
        world.config = replace(world.config, policy_file=witnesses.policy_file())
        yield witnesses


def test_a_day_is_published_with_cosignatures_and_they_are_freshened(
    world: World, witnesses: Witnesses, instance: dg.DagsterInstance
) -> None:
    assert isinstance(request_submission(resource(world)), dg.SkipReason)
    result = run(world, instance, "daily", DAYS)
    assert result.success
    assert all(checks(result).values())
    published = materialised(instance, "published_day")[str(day(2))]
    assert published["witness_quorum"] is True
    assert "| w2 | cosigned |" in str(published["witnesses"])

    assert isinstance(request_submission(resource(world)), dg.RunRequest)
    assert run(world, instance, "witness_submission").success
    witnesses.servers["w2"].script(answer(503))
    failed = run(world, instance, "witness_submission")
    assert "cosigned by w1\nw2: it is busy" in str(failure(failed, "submit_checkpoint").description)


def test_open_a_day_without_the_quorum_is_published_and_passes_its_checks(
    world: World, witnesses: Witnesses, instance: dg.DagsterInstance
) -> None:
    world.config = replace(world.config, witness_fail="open")
    witnesses.servers["w1"].script(answer(404))
    result = run(world, instance, "daily", DAYS)
    assert result.success
    assert all(checks(result).values())
    assert materialised(instance, "published_day")[str(day(2))]["witness_quorum"] is False


def test_without_witnesses_nobody_is_asked(world: World) -> None:
    world.pipeline().run()
    assert isinstance(request_submission(resource(world)), dg.SkipReason)
