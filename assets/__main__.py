"""``python -m assets``: the Dagster job ``daily``, in this process, over the days that are missing."""

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click

from assets.backlog import backlog
from lumi_pipeline.cli.command import Command, ExitCode, Stop, examples
from lumi_pipeline.cli.ending import execute
from lumi_pipeline.cli.options import DAY, PATH
from lumi_pipeline.cli.output import count, note, say
from lumi_pipeline.config import load_config
from lumi_pipeline.days import day_range, last_complete_day
from lumi_pipeline.pipeline import Pipeline

PROGRAM = "python -m assets"


@click.command(
    cls=Command,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog=examples(PROGRAM, f"{PROGRAM} --config data/local/demo/lumi.toml", f"{PROGRAM} --to 2026-11-21"),
)
@click.option("--from", "first", type=DAY, help="The first day; what is done already is verified again.")
@click.option("--to", "last", type=DAY, help="The last day; default: the last complete one.")
@click.option("--config", metavar="FILE", type=PATH, help="Read this file instead of ./lumi.toml. LUMI_CONFIG")
def daily(first: date | None, last: date | None, config: Path | None) -> None:
    """Land, seal and publish the complete days not yet done, as a run of the Dagster job "daily" in this process.

    Dagster keeps its records of the run where dagster.yaml says (data/local/dagster), or in DAGSTER_HOME.
    """
    pipeline = Pipeline.open(load_config(config))
    if first is not None:
        _do(pipeline, _period(pipeline, first, last), config)
        return
    days = _waiting(pipeline, last)
    if not days and pipeline.genesis() is None:
        days = _first_days(pipeline, last, config)
    elif not days:
        say(f"Nothing to do: every complete day up to {last or last_complete_day(pipeline.clock())} is published.")
    while days:
        _do(pipeline, days, config)
        done, days = days, _waiting(pipeline, last)
        if days == done:
            raise Stop(f"the run over {_span(days)} went well, but these days are still to be done", ExitCode.FAILURE)


def _waiting(pipeline: Pipeline, last: date | None) -> list[date]:
    if last is not None:
        pipeline.missing_days(last)  # refuses a day that is not over
    return [day for day in backlog(pipeline) if last is None or day <= last]


def _period(pipeline: Pipeline, first: date, last: date | None) -> list[date]:
    """The days that were asked for, done or not."""
    last = last or last_complete_day(pipeline.clock())
    if first > last:
        raise Stop(f"the period would end on {last}, before it begins on {first}", ExitCode.USAGE)
    pipeline.missing_days(last)
    genesis = pipeline.genesis()
    if genesis is not None and first < genesis.first_day:
        raise Stop(f"{first} is before the first day of the log, {genesis.first_day}", ExitCode.USAGE)
    return list(day_range(first, last))


def _first_days(pipeline: Pipeline, last: date | None, config: Path | None) -> list[date]:
    """The days from the very first event on, which is only known once it is landed."""
    with pipeline.outbox.snapshot() as snapshot:
        recorded = len(snapshot.heads()) > 0
    if not recorded:
        say(f"Nothing to do: no event was ever recorded in the outbox {pipeline.outbox.name}.")
        return []
    _run("landing", {}, config)
    days = _waiting(pipeline, last)
    if not days:
        say("No day is complete yet: the first events are there, and their day can be sealed once it is over.")
    return days


def _do(pipeline: Pipeline, days: Sequence[date], config: Path | None) -> None:
    """Do one range of days in one run; when a day fails, publish at least what was sealed before it."""
    from assets.partitions import range_tags  # noqa: PLC0415 - Dagster takes a second to load, and may not be needed

    say(f"{count(len(days), 'day')} to do: {_span(days)}")
    try:
        _run("daily", range_tags(days), config)
    except Stop:
        sealed = pipeline.unpublished_days()
        if sealed and sealed != list(days):
            note(f"What was sealed before is published nevertheless: {_span(sealed)}")
            _run("daily", range_tags(sealed), config)
        raise


def _run(job_name: str, tags: dict[str, str], config: Path | None) -> None:
    from assets.embedded import run_job  # noqa: PLC0415 - as above

    outcome = run_job(job_name, config, tags)
    for finding in outcome.findings:
        note(finding)
    if outcome.failures:
        raise Stop("\n".join(outcome.failures), ExitCode.FAILURE)
    say(f"{count(outcome.passed, 'check')} passed")


def _span(days: Sequence[date]) -> str:
    return f"{days[0]} to {days[-1]}" if len(days) > 1 else str(days[0])


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code: 0 success, 1 failure, 2 usage."""
    return execute(daily, PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
