"""``lumi evidence``: write the bundle that an auditor checks alone."""

from datetime import date
from pathlib import Path

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import DAY, PATH, Given, config_option, json_option
from lumi_pipeline.cli.output import count, say, say_json, size
from lumi_pipeline.cli.progress import progress


@click.command(
    cls=Command,
    epilog=examples(
        "lumi evidence --tenant acme --from 2026-10-01 --to 2026-12-31 --out audit",
        "lumi evidence --tenant acme --from 2026-10-01 --to 2026-10-31 --out audit --zip",
    ),
)
@click.option("--tenant", "tenant_id", required=True, metavar="TENANT", help="Whose events.")
@click.option("--from", "first", required=True, type=DAY, metavar="DAY", help="First day, UTC.")
@click.option("--to", "last", required=True, type=DAY, metavar="DAY", help="Last day, included.")
@click.option("--out", required=True, type=PATH, metavar="DIR", help="Where the bundle goes.")
@click.option("--zip", "zipped", is_flag=True, help="One ZIP file instead of a folder.")
@config_option
@json_option
@click.pass_obj
def evidence(given: Given, tenant_id: str, first: date, last: date, out: Path, *, zipped: bool, as_json: bool) -> None:
    """Write all events of a tenant in a period, with the proof that they are all and unaltered.

    The bundle holds one CSV, the proofs, and two verifiers that need nothing of ours. It is verified before it gets its
    name; what does not verify is never left behind. Every day of the period has to be sealed and published.
    """
    from lumi_pipeline.evidence.judging import judge_bundle
    from lumi_pipeline.evidence.period import Asked
    from lumi_pipeline.evidence.writer import write_bundle

    if first > last:
        raise click.UsageError(f"the period would end on {last}, before it begins on {first}")
    pipeline = given.pipeline()
    trust = pipeline.trust()
    asked = Asked(tenant_id, first, last)
    with progress(f"Evidence of {tenant_id}", "rows") as meter:
        report = write_bundle(
            pipeline,
            asked,
            out,
            lambda path: judge_bundle(path, trust, asked.name),
            zipped=zipped,
            progress=meter.advance,
        )
    if as_json:
        say_json(
            {
                "bytes": report.size,
                "days": report.days,
                "path": str(report.path),
                "rows": report.rows,
                "verdict": report.verdict.to_json(),
            }
        )
        return
    found = f"{count(report.rows, 'event')}, {count(report.days, 'day')}"
    say(f"Wrote {report.path} ({found}, {size(report.size)}); it verifies.")
    if report.verdict.reason == "declared-break":
        say("Finding: some of these days were sealed with declared breaks; auditors will see them.")
    say(f"Check it with: lumi verify {report.path} --key LOG-VKEY")
