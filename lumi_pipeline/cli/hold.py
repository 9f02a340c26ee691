"""``lumi hold``: legal holds, which keep rows from being erased."""

from datetime import date
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import DAY, Given, config_option, json_option
from lumi_pipeline.cli.output import note, say, say_json

if TYPE_CHECKING:
    from lumi_pipeline.erasure.holds import Hold, Holds


@click.group(epilog=examples('lumi hold add --tenant acme --reason "case 4711"', "lumi hold list"))
def hold() -> None:
    """Legal holds: what is held is neither erased nor removed."""


@hold.command(
    cls=Command,
    epilog=examples(
        'lumi hold add --tenant acme --reason "case 4711"',
        'lumi hold add --tenant acme --actor u-17 --from 2026-01-01 --to 2026-06-30 --reason "case 4711"',
    ),
)
@click.option("--tenant", "tenant_id", required=True, metavar="TENANT", help="Whose events.")
@click.option("--actor", "actor_id", metavar="ID", help="Only events by this actor.")
@click.option("--from", "first", type=DAY, metavar="DAY", help="Only events recorded from this day on, UTC.")
@click.option("--to", "last", type=DAY, metavar="DAY", help="Only events recorded up to this day, included.")
@click.option("--reason", required=True, metavar="TEXT", help="Why, in words that an auditor can read.")
@config_option
@json_option
@click.pass_obj
def add(
    given: Given,
    tenant_id: str,
    actor_id: str | None,
    first: date | None,
    last: date | None,
    reason: str,
    *,
    as_json: bool,
) -> None:
    """Place a legal hold on a tenant's events. It is an event of the operator's own tenant."""
    from lumi_pipeline.landings import read_cursors

    pipeline = given.pipeline()
    sealed = pipeline.last_sealed()
    known = tenant_id in read_cursors(pipeline.lake, sealed.tenants if sealed else None)
    placed = _holds(given).place(tenant_id, reason, actor_id, first, last)
    if not known:
        note(f"No event of tenant {tenant_id} was landed so far, so nothing is held yet. Is the name right?")
    if as_json:
        say_json(_as_json(placed))
    else:
        say(f"Placed {placed}. Lift it with: lumi hold release {placed.hold_id} --reason …")


@hold.command(
    cls=Command,
    epilog=examples('lumi hold release 019aa4f2-0000-7000-8000-000000000001 --reason "case 4711 is closed"'),
)
@click.argument("hold_id", metavar="HOLD")
@click.option("--reason", required=True, metavar="TEXT", help="Why, in words that an auditor can read.")
@config_option
@json_option
@click.pass_obj
def release(given: Given, hold_id: str, reason: str, *, as_json: bool) -> None:
    """Release a legal hold, by its id or the beginning of it. This is an event of the operator's own tenant, too."""
    released = _holds(given).release(hold_id, reason)
    if as_json:
        say_json(_as_json(released))
    else:
        say(f"Released {released}.")


@hold.command("list", cls=Command, epilog=examples("lumi hold list", "lumi hold list --json"))
@config_option
@json_option
@click.pass_obj
def list_(given: Given, *, as_json: bool) -> None:
    """List the holds that are in force, as the operator's verified chain tells them."""
    active = _holds(given).active()
    if as_json:
        say_json({"holds": [_as_json(placed) for placed in active]})
        return
    for placed in active:
        say(f"{placed.placed_at:%Y-%m-%d}  {placed}")
    if not active:
        say("There is no legal hold.")


def _holds(given: Given) -> "Holds":
    from lumi_pipeline.erasure.holds import Holds

    return Holds(given.pipeline().operator)


def _as_json(placed: "Hold") -> dict[str, object]:
    return {
        "actor": placed.actor_id,
        "from": None if placed.first is None else str(placed.first),
        "hold": placed.hold_id,
        "placed_at": placed.placed_at.isoformat(),
        "reason": placed.reason,
        "tenant": placed.tenant_id,
        "to": None if placed.last is None else str(placed.last),
    }
