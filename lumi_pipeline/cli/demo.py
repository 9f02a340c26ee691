"""``lumi demo``: a realistic outbox to try everything on."""

import shlex
from datetime import date
from pathlib import Path

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import PATH, json_option
from lumi_pipeline.cli.output import count, say, say_json, say_pairs
from lumi_pipeline.cli.progress import progress


@click.command(cls=Command, epilog=examples("lumi demo", "lumi demo --root /tmp/demo --days 30 --events 1000000"))
@click.option("--root", metavar="DIR", type=PATH, default=Path("data/local/demo"), show_default=True)
@click.option("--days", type=int, default=3, show_default=True, help="Days of history, the last one yesterday (UTC).")
@click.option("--tenants", type=int, default=5, show_default=True)
@click.option("--events", type=int, default=20_000, show_default=True, help="In all, over every day and tenant.")
@click.option("--seed", type=int, help="Another number makes other events.")
@json_option
def demo(root: Path, days: int, tenants: int, events: int, seed: int | None, as_json: bool) -> None:
    """Make a realistic outbox, keys and a lumi.toml.

    Everybody in it is invented. Where there is a demo already, nothing is added.
    """
    from lumi_pipeline.demo.build import DEFAULT_SEED, make_demo

    with progress("Recording", "events", events) as meter:
        report = make_demo(
            root,
            days=days,
            tenants=tenants,
            events=events,
            seed=DEFAULT_SEED if seed is None else seed,
            progress=meter.reach,
        )
    if as_json:
        say_json(
            {
                "config": str(report.config),
                "created": report.created,
                "events": report.events,
                "first_day": report.first_day.isoformat(),
                "last_day": report.last_day.isoformat(),
                "outbox": str(report.outbox),
                "seconds": round(report.seconds, 3),
                "seed": report.seed,
                "stories": [{"name": story.name, "summary": story.summary} for story in report.stories],
                "tenants": list(report.tenants),
            }
        )
        return
    what = f"{count(report.events, 'event')} of {count(len(report.tenants), 'tenant')}"
    period = _period(report.first_day, report.last_day)
    if report.created:
        say(f"Made a demo in {report.root}: {what}, {period}, in {report.seconds:.1f} s.")
    else:
        say(f"There is a demo in {report.root} already, with {what}, {period}. Nothing was added.")
    say_pairs([("outbox", report.outbox), ("configuration", report.config)])
    say(f"Seal and publish it with: lumi --config {shlex.quote(str(report.config))} run")


def _period(first: date, last: date) -> str:
    return str(first) if first == last else f"{first} to {last}"
