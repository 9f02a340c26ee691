"""``lumi erase``: take the payload of events away, everywhere we hold it, and leave every proof as it is."""

from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import Given, config_option, json_option
from lumi_pipeline.cli.output import count, note, say, say_json, say_table, size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lumi_pipeline.erasure.erasing import ErasePlan, EraseReport
    from lumi_pipeline.erasure.orders import Gone
    from lumi_pipeline.erasure.parts import Touched
    from lumi_pipeline.erasure.planning import Chosen


@click.command(
    cls=Command,
    epilog=examples(
        'lumi erase --tenant acme --actor u-17 --reason "request of 3 May, ticket PRIV-12" --dry-run',
        'lumi erase --tenant acme --actor u-17 --reason "request of 3 May, ticket PRIV-12"',
        "lumi erase --resume",
        "lumi erase --tenant acme --event 019aa4f2-0000-7000-8000-000000000001 --already-gone"
        ' --reason "blanked past us on 4 May, no backup has it, INC-7"',
    ),
)
@click.option("--tenant", "tenant_id", metavar="TENANT", help="Whose events.")
@click.option("--actor", "actor_id", metavar="ID", help="All events by this actor.")
@click.option("--event", "event_ids", metavar="ID", multiple=True, help="This event; repeatable.")
@click.option("--reason", metavar="TEXT", help="Why, in words that an auditor can read; without personal data.")
@click.option(
    "--already-gone", is_flag=True, help="Only what neither outbox nor lake has any more, though nothing ordered that."
)
@click.option("--except-held", is_flag=True, help="Leave out what a legal hold covers, instead of refusing.")
@click.option("--dry-run", is_flag=True, help="Say what would be touched and what is out of reach; change nothing.")
@click.option("--resume", is_flag=True, help="Complete an interrupted erasure; erase again what came back since.")
@config_option
@json_option
@click.pass_context
def erase(
    ctx: click.Context,
    /,
    tenant_id: str | None,
    actor_id: str | None,
    event_ids: tuple[str, ...],
    reason: str | None,
    already_gone: bool,
    except_held: bool,
    dry_run: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Erase the payload of events: who it was by name, where from, and what changed.

    Columns and hashes that proofs are made of stay, so all that was proved stays proved. The erasure is first an event
    of the operator's own tenant. What is under a legal hold, or under Object Lock, is refused before anything is
    touched. It can't be undone.

    What somebody blanked without such an order is refused as well. With --already-gone it is put on record that neither
    outbox nor lake has it any more; its rows keep the time that they were marked with.
    """
    from lumi_pipeline.erasure.erasing import Eraser
    from lumi_pipeline.erasure.planning import Selection

    given: Given = ctx.obj
    chosen = tenant_id or actor_id is not None or event_ids or already_gone
    if resume and (chosen or dry_run):
        raise click.UsageError("--resume completes what was begun, and takes no other events", ctx)
    if not resume and (tenant_id is None or (actor_id is None) == (not event_ids)):
        raise click.UsageError("give --tenant, and either --actor or --event", ctx)
    pipeline = given.pipeline()
    eraser = Eraser(pipeline)
    if resume or tenant_id is None:
        completed = eraser.resume(_progress)
        reports = [*([completed] if completed else []), *eraser.again(_progress)]
        if as_json:
            say_json({"erasures": [_report_json(report) for report in reports]})
        else:
            _show_resumed(reports)
        return
    selection = Selection(tenant_id, actor_id, tuple(dict.fromkeys(event_ids)), already_gone)
    if dry_run:
        plan = eraser.plan(selection, except_held=except_held)
        if as_json:
            say_json(
                {
                    **_chosen_json(plan.chosen),
                    "not_landed": plan.not_landed,
                    "parts": _parts_json(plan.parts),
                    "tenant": tenant_id,
                }
            )
        else:
            _show_plan(plan)
        return
    if reason is None:
        raise click.UsageError("--reason says why, for the record", ctx)
    report = eraser.erase(selection, reason, except_held=except_held, progress=_progress)
    if as_json:
        say_json(_report_json(report))
    else:
        _show(report)


def _progress(part: str) -> None:
    note(f"erasing: {part}")


def _show_plan(plan: "ErasePlan") -> None:
    say(f"Would erase {_summary(plan.chosen)}.")
    _show_gone(plan.chosen.gone)
    _show_parts(plan.parts, "would be rewritten")
    if plan.not_landed:
        landed = f"Not landed yet: {count(plan.not_landed, 'event')} of the tenant"
        say(f"{landed}. Those of them that fit are erased as well, and not counted here.")
    say("Nothing was changed.")


def _show(report: "EraseReport") -> None:
    if report.order is None:
        before = report.chosen.erased_before if report.chosen else 0
        say(f"There is nothing to erase; {count(before, 'event')} had been erased before.")
        return
    events = count(len(report.order.events), "event")
    say(f"Erased {events} of tenant {report.order.tenant_id}; ordered by event {report.order.event_id}.")
    _show_gone(report.order.gone)
    _show_parts(report.parts, "rewritten", report.seconds)
    for hold, held in (report.chosen.held if report.chosen else {}).items():
        say(f"Left {count(held, 'event')} under {hold}.")


def _show_gone(gone: "Gone") -> None:
    from lumi_pipeline.erasure.orders import said_of_gone

    if said := said_of_gone(gone):
        say(f"Gone already, without an order: {said}. Such rows keep the time that they were marked with.")


def _show_resumed(reports: "Sequence[EraseReport]") -> None:
    touched = [report for report in reports if any(part.objects for part in report.parts.values())]
    if not touched:
        say("Nothing was left to erase.")
    for report in touched:
        _show(report)


def _show_parts(parts: "Mapping[str, Touched]", word: str, seconds: "Mapping[str, float] | None" = None) -> None:
    rows = [
        (name, part.events, part.objects, size(part.size), *((f"{seconds[name]:.1f}",) if seconds else ()))
        for name, part in parts.items()
    ]
    say_table(("where", "events", word, "bytes", *(("CPU seconds",) if seconds else ())), rows)
    for name, part in parts.items():
        for line in part.notes:
            say(f"{name}: {line}")


def _summary(chosen: "Chosen") -> str:
    days = f", {chosen.days[0]} to {chosen.days[-1]}" if chosen.days else ""
    held = f"; {count(sum(chosen.held.values()), 'event')} held are left" if chosen.held else ""
    before = f"; {count(chosen.erased_before, 'event')} had been erased before" if chosen.erased_before else ""
    return f"{count(len(chosen.events), 'event')}{days}{held}{before}"


def _chosen_json(chosen: "Chosen | None") -> dict[str, object]:
    if chosen is None:
        return {}
    return {
        "already_gone": _gone_json(chosen.gone),
        "days": [str(day) for day in chosen.days],
        "erased_before": chosen.erased_before,
        "events": len(chosen.events),
        "held": {hold.hold_id: held for hold, held in chosen.held.items()},
    }


def _report_json(report: "EraseReport") -> dict[str, object]:
    order = report.order
    if order is None:
        return {"erasure": None, **_chosen_json(report.chosen), "parts": {}}
    return {
        **_chosen_json(report.chosen),
        "already_gone": _gone_json(order.gone),
        "erased_at": order.at.isoformat(),
        "erasure": order.number,
        "event_id": order.event_id,
        "events": len(order.events),
        "parts": _parts_json(report.parts),
        "resumed": report.resumed,
        "seconds": {name: round(seconds, 3) for name, seconds in report.seconds.items()},
        "tenant": order.tenant_id,
    }


def _gone_json(gone: "Gone") -> dict[str, object]:
    from lumi_pipeline.erasure.orders import Place

    return {place.value: len(gone.get(place, {})) for place in Place}


def _parts_json(parts: "Mapping[str, Touched]") -> dict[str, object]:
    return {
        name: {"bytes": part.size, "events": part.events, "notes": list(part.notes), "objects": part.objects}
        for name, part in parts.items()
    }
