"""Dagster runs over a test world: the real jobs, on the world's outbox and lake, at the time its clock shows."""

from collections.abc import Sequence
from datetime import date, datetime

import dagster as dg

from assets.definitions import defs
from assets.partitions import month_tags, range_tags
from assets.resources import PipelineResource
from lumi_pipeline.pipeline import Pipeline
from tests.lake.world import World


class WorldPipeline(PipelineResource):
    """The pipeline of a world; only where its settings and its time come from differs."""

    directory: str
    now: str

    def open(self) -> Pipeline:
        known = _WORLDS[self.directory]
        world = World(known.directory, known.place, datetime.fromisoformat(self.now))
        settings = ("destinations", "feeds", "evidence_tenants", "policy_file", "witness_fail")
        return world.pipeline(**{name: getattr(known.config, name) for name in settings})


_WORLDS: dict[str, World] = {}


def resource(world: World) -> WorldPipeline:
    _WORLDS[str(world.directory)] = world
    return WorldPipeline(directory=str(world.directory), now=world.clock.now.isoformat())


def run(
    world: World,
    instance: dg.DagsterInstance,
    job_name: str,
    days: Sequence[date] = (),
    months: Sequence[date] = (),
) -> dg.ExecuteInProcessResult:
    """Run a job in process; what fails is in the result."""
    return defs.resolve_job_def(job_name).execute_in_process(
        # The quietest level there is: what failed is read from the result.
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        instance=instance,
        raise_on_error=False,
        tags=range_tags(days) if days else month_tags(months) if months else {},
        resources={"pipeline": resource(world)},
    )


def materialised(instance: dg.DagsterInstance, asset: str) -> dict[str, dict[str, object]]:
    """Metadata of the newest materialisation of each partition, by partition."""
    records = instance.fetch_materializations(dg.AssetKey(asset), limit=1000).records
    found: dict[str, dict[str, object]] = {}
    for record in reversed(records):
        event = record.asset_materialization
        assert event is not None
        found[event.partition or ""] = {name: value.value for name, value in event.metadata.items()}
    return found


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Whether each check passed, by asset and name."""
    return {
        f"{found.asset_key.to_user_string()}.{found.check_name}": found.passed
        for found in result.get_asset_check_evaluations()
    }


def failure(result: dg.ExecuteInProcessResult, step: str) -> dg.Failure:
    """Why a step failed, as it was told."""
    [event] = [event for event in result.all_events if event.is_step_failure and event.step_key == step]
    told = event.step_failure_data.user_failure_data
    assert told is not None
    return dg.Failure(told.description, told.metadata)
