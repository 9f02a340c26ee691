"""Landing the outbox, every few minutes: the asset ``landed_events``."""

from typing import Final

import dagster as dg

from assets import lines
from assets.failures import plain_failures
from assets.metadata import breaks_table, landing_metadata
from assets.resources import PipelineResource
from lumi_pipeline.chain import BreakKind
from lumi_pipeline.landing import LandingReport

OWNERS: Final = ["team:audit-platform"]
GROUP: Final = "audit_log"

# Not blocking: what was landed may be of today, and must not keep yesterday from being sealed. A day with a break in
# it is stopped by its own seal.
CHAIN_INTACT: Final = dg.AssetCheckSpec(
    "chain_intact",
    asset="landed_events",
    description="Every landed row links to the one before it, and its hashes recompute from its columns.",
)
HEADS_EQUAL: Final = dg.AssetCheckSpec(
    "heads_equal",
    asset="landed_events",
    description="Each chain ends exactly where the outbox says: the last landed row's hash is the chain head.",
)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"sqlite", "parquet"},
    check_specs=[CHAIN_INTACT, HEADS_EQUAL],
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def landed_events(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> dg.MaterializeResult:
    """What the outbox gained since the last landing: read in one snapshot, verified, kept as found under `landed/`.

    Rows with breaks are kept too, with the list of breaks: nothing is lost, and their day is not sealed before
    somebody has looked.
    """
    with plain_failures(context.retry_number):
        report = pipeline.open().land()
    if report.number is not None:
        context.log.info(lines.landed(report))
    return dg.MaterializeResult(metadata=landing_metadata(report), check_results=_judge(report))


def _judge(report: LandingReport) -> list[dg.AssetCheckResult]:
    at_head = tuple(found for found in report.breaks if found.kind is BreakKind.HEAD)
    inside = tuple(found for found in report.breaks if found.kind is not BreakKind.HEAD)
    return [
        dg.AssetCheckResult(
            check_name=spec.name,
            passed=not breaks,
            description=f"{len(breaks)} break(s)" if breaks else None,
            metadata={"rows": report.rows, "breaks": dg.MetadataValue.md(breaks_table(breaks))},
        )
        for spec, breaks in ((CHAIN_INTACT, inside), (HEADS_EQUAL, at_head))
    ]
