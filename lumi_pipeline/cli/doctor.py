"""``lumi doctor``: whether the environment keeps its promises."""

from typing import TYPE_CHECKING, Final

import click

from lumi_pipeline.cli.command import Command, ExitCode, examples
from lumi_pipeline.cli.options import Given, config_option, json_option
from lumi_pipeline.cli.output import count, safe, say, say_json

if TYPE_CHECKING:
    from lumi_pipeline.doctor.findings import Result

_COLOURS: Final = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "cyan"}


@click.command(cls=Command, epilog=examples("lumi doctor", "lumi doctor --json"))
@config_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, /, as_json: bool) -> None:
    """Try what the pipeline relies on: outbox, roots, keys, clocks. One line each, with what to do.

    Nothing that counts is changed, and a pipeline may be running meanwhile. The exit code is 1 if there is a problem;
    a warning is for you to weigh, and what is skipped was not tried.
    """
    from lumi_pipeline.doctor.checkup import checks_of, examine
    from lumi_pipeline.doctor.examination import Examination
    from lumi_pipeline.doctor.findings import Status

    given: Given = ctx.obj
    examination = Examination(given.config())
    checks = checks_of(examination)
    width = max(len(check.name) for check in checks)
    results = []
    for result in examine(examination, checks):
        results.append(result)
        if not as_json:
            _show(result, width)
    found = [result.finding.status for result in results]
    problems = found.count(Status.PROBLEM)
    if as_json:
        say_json({"checks": [result.to_json() for result in results], "problems": problems})
    else:
        say()
        say(f"{count(problems, 'problem')}, {count(found.count(Status.WARNING), 'warning')} in {len(found)} lines.")
    ctx.exit(ExitCode.FAILURE if problems else ExitCode.SUCCESS)


def _show(result: "Result", width: int) -> None:
    found = result.finding
    status = click.style(f"{found.status.value:<7}", fg=_COLOURS[found.status.value])
    remedy = f" → {found.remedy}" if found.remedy else ""
    # A message of several lines would look like several findings.
    text = " ".join(f"{result.name:<{width}}  {found.detail}{remedy}".splitlines())
    click.echo(f"{status}  {safe(text)}")
