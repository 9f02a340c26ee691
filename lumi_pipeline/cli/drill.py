"""``lumi drill``: attack copies of a sealed day, and see what finds it."""

from datetime import date
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import VerifyingCommand, examples
from lumi_pipeline.cli.options import DAY, Given, config_option, json_option
from lumi_pipeline.cli.output import count, say, say_json, say_table
from lumi_pipeline.cli.progress import progress

if TYPE_CHECKING:
    from lumi_pipeline.drill.running import DrillReport


@click.command(cls=VerifyingCommand, epilog=examples("lumi drill", "lumi drill --day 2026-11-26 --keep --json"))
@click.option("--day", type=DAY, metavar="DAY", help="The day to attack; default: the newest that has enough events.")
@click.option("--keep", is_flag=True, help="Leave the attacked copies where they are, to look at.")
@config_option
@json_option
@click.pass_context
def drill(ctx: click.Context, /, *, day: date | None, keep: bool, as_json: bool) -> None:
    """Attack copies of a sealed day, and see what finds it.

    Copies a published day to a scratch directory, with its outbox where that is SQLite, and signs the copy with keys
    that are thrown away. Then each attack an insider could think of is made on a copy of its own, and only the checks
    of `lumi verify`, `lumi fsck`, `lumi land` and `lumi monitor` may find it. Nothing of yours is touched, and your
    keys sign nothing.

    \b
    Exit code: 0 every attack was detected that has to be; 1 one was not;
    2 usage; 3 could not complete, or an attack could not be tried.
    """
    from lumi_pipeline.drill.running import hold_drill

    given: Given = ctx.obj
    with progress("Attacking", "attacks") as meter:
        report = hold_drill(given.pipeline(), day, keep=keep, progress=meter.reach)
    if as_json:
        say_json(
            {
                "attacks": [finding.to_json() for finding in report.findings],
                "day": report.target.day.isoformat(),
                "detected": report.detected,
                "exit_code": report.status.value,
                "expected": report.expected,
                "kept": str(report.kept) if report.kept else None,
                "tenant": report.target.tenant_id,
            }
        )
    else:
        _show(report)
    ctx.exit(report.status.value)


def _show(report: "DrillReport") -> None:
    from lumi_pipeline.drill.running import Outcome

    say(f"Attacked {report.target.day}, tenant {report.target.tenant_id}, on copies with keys of their own.\n")
    rows = []
    for finding in report.findings:
        found_by = finding.found_by or _NOT_FOUND[finding.outcome.value]
        rows.append((f"{finding.attack.area.value[0]}: {finding.attack.told}", found_by, finding.reason or "-"))
    say_table(("attack", "found by", "reason"), rows)
    say()
    for finding in report.findings:
        if finding.outcome is Outcome.BEYOND:
            say(f"Not for a check here to find: {finding.attack.told}.\n  Who finds it: {finding.attack.beyond}.")
    not_tried = report.count(Outcome.NOT_TRIED)
    if not_tried:
        say(f"Not tried: {count(not_tried, 'attack')} on the outbox, because only an SQLite file can be copied.")
    if report.kept:
        say(f"The copies are in {report.kept}; remove them when you have seen enough.")
    say(f"{report.detected} of {report.expected} detected")


_NOT_FOUND = {"undetected": "NOTHING", "beyond": "no check here, see below", "not-tried": "not tried"}
