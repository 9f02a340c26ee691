"""Evidence for auditors, month by month: the asset ``tenant_evidence``."""

import dagster as dg

from assets import lines
from assets.failures import plain_failures
from assets.finishing import finishing
from assets.ingest import GROUP, OWNERS
from assets.metadata import evidence_metadata
from assets.partitions import MONTHS, months_of
from assets.publishing import published_day
from assets.resources import PipelineResource
from lumi_pipeline.errors import EvidenceError
from lumi_pipeline.evidence.monthly import MonthlyEvidence


@dg.asset(
    partitions_def=MONTHS,
    deps=[published_day],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"csv"},
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def tenant_evidence(context: dg.AssetExecutionContext, pipeline: PipelineResource) -> None:
    """A month's evidence bundles under `evidence/`, one ZIP file for each tenant that `evidence_tenants` lists.

    The month has to be over and published. A bundle that is there already is verified, and nothing is written.
    """
    with plain_failures(context.retry_number), finishing(context) as finished:
        opened = pipeline.open()
        evidence = MonthlyEvidence(opened)
        for month in months_of(context):
            report = evidence.make(month)
            context.log.info(lines.evidence(report))
            if report.failed:
                raise EvidenceError("\n".join(f"{tenant}: {why}" for tenant, why in report.failed.items()))
            finished[f"{month:%Y-%m}"] = evidence_metadata(opened.lake, report)
