"""What the checks find when somebody changes what was sealed or published, and that publication waits for them."""

from collections.abc import Callable
from datetime import date
from io import BytesIO

import dagster as dg
import pyarrow.parquet as pq
import pytest

from assets.definitions import defs
from assets.partitions import range_tags
from lumi_pipeline import daychecks
from lumi_pipeline.lake import Lake, events_prefix, seal_prefix
from lumi_pipeline.profile import day_profile
from lumi_pipeline.verdict import Status, Verdict
from tests.assets.worlds import checks, materialised, resource, run
from tests.lake.world import World, at, day
from transparency.errors import ObjectMissing

DAYS = [day(0), day(1), day(2)]
OF_A_DAY: dict[str, Callable[[Lake, date], Verdict]] = {
    "manifest": daychecks.manifest_matches_bytes,
    "counts": daychecks.counts_reconcile,
    "root": daychecks.root_recomputes,
    "chains": daychecks.chains_intact,
}


@pytest.fixture
def done(world: World) -> World:
    """Days 0 to 2 are sealed and published."""
    world.pipeline().run()
    return world


def judge(world: World, number: int) -> dict[str, bool]:
    lake = world.pipeline().lake
    verdicts = {name: check(lake, day(number)) for name, check in OF_A_DAY.items()}
    verdicts["index"] = daychecks.index_is_day(lake, world.policy, day(number))
    assert {verdict.subject for verdict in verdicts.values()} == {str(day(number))}
    assert all(verdict.lines for verdict in verdicts.values())
    return {name: verdict.status is Status.VERIFIED for name, verdict in verdicts.items()}


def only_file(world: World, prefix: str, ending: str) -> str:
    [key] = [key for key in world.contents(prefix) if key.endswith(ending)]
    return key


ALL_WELL = dict.fromkeys(["manifest", "counts", "root", "chains", "index"], True)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_untouched_days_pass(done: World, number: int) -> None:
    assert judge(done, number) == ALL_WELL


def drop_a_row(world: World, key: str) -> None:
    sink = BytesIO()
    pq.write_table(pq.read_table(world.parquet(key)).slice(1), sink)
    world.overwrite(key, sink.getvalue())


def test_one_byte_of_an_event_file(done: World) -> None:
    key = only_file(done, events_prefix(day(0)), ".parquet")
    data = bytearray(done.contents(key)[key])
    data[len(data) // 3] ^= 1
    done.overwrite(key, bytes(data))
    assert judge(done, 0)["manifest"] is False
    assert judge(done, 1) == ALL_WELL


def test_a_row_less(done: World) -> None:
    key = only_file(done, events_prefix(day(0)), ".parquet")
    drop_a_row(done, key)
    assert judge(done, 0) == {**ALL_WELL, "manifest": False, "counts": False}
    verdict = daychecks.counts_reconcile(done.pipeline().lake, day(0))
    assert verdict.lines == (f"{day(0)}: the files hold 2 event(s) of tenant acme, its record 3",)


def test_another_manifest(done: World) -> None:
    key = f"{seal_prefix(day(1))}manifest.json"
    done.overwrite(key, done.contents(key)[key].replace(b'"tenants":"2"', b'"tenants":"3"'))
    found = judge(done, 1)
    assert (found["manifest"], found["root"]) == (False, False)


def test_another_day_record(done: World) -> None:
    first, second = (done.contents(f"{seal_prefix(day(n))}day.txt") for n in (0, 1))
    done.overwrite(*second, *first.values())
    assert judge(done, 1)["root"] is False
    assert judge(done, 1)["index"] is False
    assert judge(done, 0) == ALL_WELL


def test_lost_records(done: World) -> None:
    done.store.delete(only_file(done, seal_prefix(day(2)), ".parquet"))
    assert judge(done, 2) == {**ALL_WELL, "manifest": False, "counts": False, "root": False, "chains": False}


def test_a_log_that_somebody_else_signed(done: World) -> None:
    key = "log/checkpoint"
    done.overwrite(key, done.contents(key)[key].replace(b"\n4\n", b"\n3\n"))
    assert judge(done, 0) == {**ALL_WELL, "index": False}


def test_a_day_that_is_not_published(done: World) -> None:
    done.clock.now = at(4, "00:15:00")
    pipeline = done.pipeline()
    assert [report.day for report in pipeline.seal([day(3)])] == [day(3)]
    verdict = daychecks.index_is_day(pipeline.lake, done.policy, day(3))
    assert (verdict.status, verdict.reason) == (Status.FAILED, "day-index")


def test_the_profile_counts_by_hour_and_tenant(done: World) -> None:
    lake = done.pipeline().lake
    first = day_profile(lake, day(0))
    assert first.by_tenant == {"acme": 3, "globex": 1}
    assert {hour: count for hour, count in enumerate(first.by_hour) if count} == {9: 2, 10: 1, 23: 1}
    assert (len(first.by_hour), first.events) == (24, 4)
    assert day_profile(lake, day(1)).by_tenant == {}
    assert sum(day_profile(lake, day(1)).by_hour) == 0
    assert day_profile(lake, day(2)).by_hour[0] == 1
    with pytest.raises(ObjectMissing):
        day_profile(lake, day(3))


def test_publication_waits_for_the_checks(world: World, instance: dg.DagsterInstance) -> None:
    pipeline = world.pipeline()
    pipeline.land()
    assert len(list(pipeline.seal(DAYS))) == 3
    key = only_file(world, events_prefix(day(0)), ".parquet")
    drop_a_row(world, key)
    names = ("manifest_matches_bytes", "counts_reconcile", "root_recomputes", "chain_intact")
    job = defs.resolve_implicit_global_asset_job_def().get_subset(
        asset_selection={dg.AssetKey("published_day")},
        asset_check_selection={dg.AssetCheckKey(dg.AssetKey("sealed_events"), name) for name in names},
    )
    result = job.execute_in_process(
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        instance=instance,
        raise_on_error=False,
        tags=range_tags(DAYS),
        resources={"pipeline": resource(world)},
    )
    assert not result.success
    assert checks(result) == {
        "sealed_events.manifest_matches_bytes": False,
        "sealed_events.counts_reconcile": False,
        "sealed_events.root_recomputes": True,
        "sealed_events.chain_intact": True,
    }
    [found] = [f for f in result.get_asset_check_evaluations() if f.check_name == "counts_reconcile"]
    assert f"| {day(0)} | failed | altered |" in str(found.metadata["verdicts"].value)
    assert materialised(instance, "published_day") == {}
    assert world.contents("log/") == {}


def test_an_altered_log_fails_the_run(done: World, instance: dg.DagsterInstance) -> None:
    key = "log/tile/entries/000.p/4"
    data = bytearray(done.contents(key)[key])
    data[-2] ^= 1
    done.overwrite(key, bytes(data))
    result = run(done, instance, "daily", DAYS)
    assert not result.success
    assert checks(result)["published_day.log_consistent"] is False


def test_without_a_trusted_key_nothing_is_called_consistent(done: World, instance: dg.DagsterInstance) -> None:
    (done.directory / "log.key").unlink()
    result = run(done, instance, "daily", DAYS)
    assert not result.success
    assert "published_day.log_consistent" not in checks(result)


def test_checks_run_by_themselves_look_at_the_newest_day(done: World, instance: dg.DagsterInstance) -> None:
    graph = defs.resolve_asset_graph()
    # Those of these assets come with the assets themselves.
    within = {"landed_events", "siem_batches"}
    days = {check for check in graph.asset_check_keys if check.asset_key.to_user_string() not in within}
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection=days)
    result = job.execute_in_process(instance=instance, raise_on_error=False, resources={"pipeline": resource(done)})
    assert result.success
    assert len(checks(result)) == 8
    [found] = [f for f in result.get_asset_check_evaluations() if f.check_name == "index_is_day"]
    assert found.passed
    assert f"| {day(2)} | verified | ok | entry 3 of 4 |" in str(found.metadata["verdicts"].value)
