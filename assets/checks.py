"""Asset checks: what is verified again after each step, before anything builds on it.

The domain judges, day by day; here its verdicts become results, and what its functions say of themselves is what
Dagster shows. The checks of a sealed day stand between it and its publication.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from inspect import getdoc
from typing import Final

import dagster as dg

from assets.evidence import tenant_evidence
from assets.failures import plain_failures
from assets.metadata import verdict_metadata
from assets.partitions import days_of, months_of
from assets.publishing import published_day
from assets.resources import PipelineResource
from assets.sealing import sealed_events
from lumi_pipeline import daychecks
from lumi_pipeline.errors import ConfigError
from lumi_pipeline.evidence.monthly import MonthlyEvidence
from lumi_pipeline.lake import Lake
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.verdict import Status, Verdict
from lumi_pipeline.verification import verify_published

DayCheck = Callable[[Lake, date], Verdict]

_SEALED: Final[Mapping[str, DayCheck]] = {
    "manifest_matches_bytes": daychecks.manifest_matches_bytes,
    "counts_reconcile": daychecks.counts_reconcile,
    "root_recomputes": daychecks.root_recomputes,
    "chain_intact": daychecks.chains_intact,
}


@dg.multi_asset_check(
    name="sealed_events_checks",
    specs=[
        dg.AssetCheckSpec(name, asset=sealed_events, blocking=True, description=getdoc(check))
        for name, check in _SEALED.items()
    ],
)
def sealed_events_checks(
    context: dg.AssetCheckExecutionContext, pipeline: PipelineResource
) -> Iterator[dg.AssetCheckResult]:
    """Judge the sealed days before they are published."""
    with plain_failures():
        opened = pipeline.open()
        days = _days(context, opened)
    for name, check in _SEALED.items():
        yield _result(sealed_events, name, [check(opened.lake, day) for day in days])


@dg.multi_asset_check(
    name="published_day_checks",
    specs=[
        dg.AssetCheckSpec(
            "log_consistent",
            asset=published_day,
            blocking=True,
            description=getdoc(verify_published),
        ),
        dg.AssetCheckSpec(
            "index_is_day",
            asset=published_day,
            blocking=True,
            description=getdoc(daychecks.index_is_day),
        ),
    ],
)
def published_day_checks(
    context: dg.AssetCheckExecutionContext, pipeline: PipelineResource
) -> Iterator[dg.AssetCheckResult]:
    """Judge the log after publishing, and the place of each day in it."""
    with plain_failures():
        opened = pipeline.open()
        policy = opened.publishing_policy()
        if policy is None:
            raise ConfigError("there is no key to check the log against; set 'log_key_file' or 'policy_file'")
        days = _days(context, opened)
    yield _result(published_day, "log_consistent", [verify_published(opened.lake, policy)])
    places = [daychecks.index_is_day(opened.lake, policy, day) for day in days]
    yield _result(published_day, "index_is_day", places)


@dg.asset_check(asset=tenant_evidence, name="bundles_verify")
def bundles_verify(context: dg.AssetCheckExecutionContext, pipeline: PipelineResource) -> dg.AssetCheckResult:
    """Each listed tenant has its bundle of the month, and every stored bundle of the month verifies."""
    with plain_failures():
        evidence = MonthlyEvidence(pipeline.open())
        # For a check that somebody runs by itself, the newest month that can have evidence.
        partitioned = context.has_partition_key or context.has_partition_key_range
        months = months_of(context) if partitioned else evidence.published_months()[-1:]
        verdicts = [verdict for month in months for verdict in evidence.judge(month)]
    return _result(tenant_evidence, "bundles_verify", verdicts)


def _days(context: dg.AssetCheckExecutionContext, pipeline: Pipeline) -> list[date]:
    """The days of the run; for a check that somebody runs by itself, the newest sealed day."""
    if context.has_partition_key or context.has_partition_key_range:
        return days_of(context)
    return pipeline.sealed_days()[-1:]


def _result(asset: dg.AssetsDefinition, name: str, verdicts: Sequence[Verdict]) -> dg.AssetCheckResult:
    failed = [verdict for verdict in verdicts if verdict.status is not Status.VERIFIED]
    declared = all(verdict.reason == daychecks.DECLARED_BREAK for verdict in failed)
    return dg.AssetCheckResult(
        asset_key=asset.key,
        check_name=name,
        passed=not failed,
        # Breaks that were acknowledged are sealed for everyone to see; they are no reason to hold the day back.
        severity=dg.AssetCheckSeverity.WARN if failed and declared else dg.AssetCheckSeverity.ERROR,
        description="\n".join(line for verdict in failed for line in verdict.lines) or None,
        metadata=verdict_metadata(verdicts),
    )
