"""``lumi prune``: let days leave that are older than the retention policy, and keep every proof and record."""

from datetime import date
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import DAY, Given, config_option, json_option
from lumi_pipeline.cli.output import count, note, say, say_json, say_table, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lumi_pipeline.pruning.choosing import DayPlan


@click.command(
    cls=Command,
    epilog=examples("lumi prune --before 2025-01-01 --dry-run", "lumi prune --before 2025-01-01"),
)
@click.option("--before", type=DAY, required=True, help="Prune the days before this one.")
@click.option("--dry-run", is_flag=True, help="Say what would leave and what has to stay; change nothing.")
@config_option
@json_option
@click.pass_obj
def prune(given: Given, before: date, *, dry_run: bool, as_json: bool) -> None:
    """Remove the events of old days from lake and outbox, as 'retention_days' allows.

    A day leaves only when it is sealed, published, and verified once more just before. What is under a legal hold
    stays. The records stay as well, so the days after it verify as before, and 'lumi verify --all' says what was
    pruned, and by which event. It can't be undone. What was interrupted is completed by running it again.
    """
    from lumi_pipeline.pruning.pruner import Pruner

    pruner = Pruner(given.pipeline())
    if dry_run:
        plans = pruner.plan(before)
        if as_json:
            say_json({"days": [_as_json(plan) for plan in plans]})
        else:
            say(f"Would prune {_summary(plans)}.")
            _show(plans)
            say("Nothing was changed.")
        return
    report = pruner.prune(before, lambda what: note(f"pruning: {what}"))
    if as_json:
        say_json(
            {
                "completed": [str(day) for day in report.completed],
                "days": [_as_json(plan) for plan in report.plans],
                "event_ids": sorted({pruned.event_id for pruned in report.days}),
                "outbox_rows": report.rows,
            }
        )
        return
    for day in report.completed:
        say(f"Completed the pruning of {day}, which had been interrupted.")
    if not report.plans:
        say(f"There is nothing to prune before {before}.")
        return
    events = ", ".join(sorted({pruned.event_id for pruned in report.days}))
    say(f"Pruned {_summary(report.plans)}; {count(report.rows, 'row')} left the outbox. On record in event {events}.")
    _show(report.plans)


def _summary(plans: "Sequence[DayPlan]") -> str:
    days = f", {plans[0].day} to {plans[-1].day}" if plans else ""
    return f"{count(sum(plan.events for plan in plans), 'event')} of {count(len(plans), 'day')}{days}"


def _show(plans: "Sequence[DayPlan]") -> None:
    if plans:
        rows = [(str(plan.day), plan.events, plan.tenants, len(plan.kept), size(plan.size)) for plan in plans]
        say_table(("day", "events", "tenants", "tenants that stay", "bytes before"), rows)
    for hold in dict.fromkeys(hold for plan in plans for hold in plan.held):
        say(f"Stays: what is under {hold}.")


def _as_json(plan: "DayPlan") -> dict[str, object]:
    return {
        "bytes": plan.size,
        "day": str(plan.day),
        "events": plan.events,
        "held_by": [hold.hold_id for hold in plan.held],
        "kept": list(plan.kept),
        "tenants": plan.tenants,
    }
