"""SIEM delivery: the assets ``siem_batches`` and ``siem_deliveries``, and the check that nothing is lost on the way.

A run of today's partition plans and sends whatever is there. A run of days that are over, as a Dagster backfill makes
it, also fills what a destination lacks of them.
"""

from datetime import date, timedelta
from typing import Final

import dagster as dg

from assets.backlog import first_partition
from assets.failures import plain_failures
from assets.ingest import OWNERS, landed_events
from assets.metadata import Metadata, delivery_metadata, plan_metadata, table
from assets.partitions import days_of
from assets.resources import PipelineResource
from lumi_pipeline.errors import LumiError, SiemError
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.rounds import Round, deliver_all, plan_all

GROUP: Final = "siem"
PATIENCE: Final = timedelta(seconds=60)
"""How long a run waits for a destination that asks for a pause; after that the next run carries on."""

DELIVERY_DAYS: Final = dg.DailyPartitionsDefinition(first_partition().isoformat(), end_offset=1)
"""The UTC days of recording, today included: events are sent while their day goes on."""


# Not a failure of the step: that would keep every other destination from being delivered to.
ALL_PLANNED: Final = dg.AssetCheckSpec(
    "all_planned",
    asset="siem_batches",
    description="There was a plan for every destination that had something waiting.",
)


@dg.asset(
    partitions_def=DELIVERY_DAYS,
    deps=[landed_events],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"json"},
    check_specs=[ALL_PLANNED],
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def siem_batches(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult:
    """Batches for every destination: encoded, packed and stored under `siem/`, without a word to the network.

    Whatever was landed and not planned yet is planned, whichever day the run is about.
    """
    with plain_failures(context.retry_number):
        rounds = plan_all(Exports(pipeline.open()))
    _show(context, rounds, {day: plan_metadata(rounds, day) for day in days_of(context)})
    failed = _failed(rounds)
    judged = dg.AssetCheckResult(check_name=ALL_PLANNED.name, passed=not failed, description="\n".join(failed) or None)
    return dg.MaterializeResult(check_results=[judged])


@dg.asset(
    partitions_def=DELIVERY_DAYS,
    deps=[siem_batches],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"https"},
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def siem_deliveries(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> None:
    """What every destination was sent, with a receipt for each batch; days that are over are filled where they lack.

    One destination that can't be reached keeps no other waiting, and loses nothing: its events wait for the next run.
    """
    with plain_failures(context.retry_number):
        rounds = deliver_all(Exports(pipeline.open()), PATIENCE, days_of(context))
    _show(context, rounds, {day: delivery_metadata(rounds, day) for day in days_of(context)})
    if failed := _failed(rounds):
        with plain_failures():
            raise SiemError("\n".join(failed))


@dg.asset_check(asset=siem_deliveries, name="deliveries_reconcile")
def deliveries_reconcile(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> dg.AssetCheckResult:
    """Every row of the days that are over is delivered, filtered, put aside or under way, at each destination."""
    with plain_failures():
        exports = Exports(pipeline.open())
        today = exports.clock().date()
        days = days_of(context) if context.has_partition_key or context.has_partition_key_range else []
        past = [day for day in days if day < today]
        rows: list[tuple[str, str, int, int, int]] = []
        for name in exports.names if past else ():
            first = max(past[0], exports.since(name))
            if first > past[-1]:
                continue
            with exports.account(name, Period(first, past[-1])) as account:
                rows += [(name, m.tenant_id, m.first, m.last, m.count) for m in account.missing()]
    found = table(("destination", "tenant", "from seq", "to seq", "events"), rows)
    return dg.AssetCheckResult(
        passed=not rows,
        description=f"{sum(row[-1] for row in rows):,} event(s) are not accounted for" if rows else None,
        metadata={"missing": dg.MetadataValue.md(found), "days": dg.MetadataValue.int(len(past))},
    )


def has_work(exports: Exports) -> list[str]:
    """The destinations for which there is something to plan or to send now."""
    now = exports.clock()
    waiting = []
    for name in exports.names:
        try:
            status = exports.status(name)
        except LumiError:
            # A run says what is wrong with it, and delivers to the others.
            waiting.append(name)
            continue
        rests = status.hold is not None and status.hold.until > now
        if status.unplanned or (status.open_events and not rests):
            waiting.append(name)
    return waiting


def _show(context: dg.AssetExecutionContext, rounds: list[Round], metadata: dict[date, Metadata]) -> None:
    """Attach what was done to each day."""
    for day, values in metadata.items():
        context.add_asset_metadata(values, partition_key=day.isoformat())
    for done in rounds:
        if done.held:
            context.log.info(done.held)


def _failed(rounds: list[Round]) -> list[str]:
    return [f"{done.name}: {done.error}" for done in rounds if done.error]
