"""``lumi siem quarantine`` and ``unblock``: what a person decides about events and batches that don't go on alone."""

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import config_option, json_option
from lumi_pipeline.cli.output import count, say, say_json, say_table
from lumi_pipeline.cli.siemasked import exports_of


@click.command(
    cls=Command,
    epilog=examples(
        "lumi siem quarantine splunk-prod",
        "lumi siem quarantine splunk-prod --show 12.0.17.18",
        "lumi siem quarantine splunk-prod --release 12.0.17.18",
    ),
)
@click.argument("name", metavar="DESTINATION")
@click.option("--show", "shown", metavar="KEY", help="Print the event as it was sent.")
@click.option("--release", "released", metavar="KEY", multiple=True, help="Send it again; 'all' for all.")
@click.option("--discard", "discarded", metavar="KEY", multiple=True, help="Give it up, with a --reason.")
@click.option("--reason", metavar="TEXT", default="", help="Why, in words that an auditor can read.")
@config_option
@json_option
@click.pass_context
def quarantine(
    ctx: click.Context,
    /,
    name: str,
    shown: str | None,
    released: tuple[str, ...],
    discarded: tuple[str, ...],
    reason: str,
    as_json: bool,
) -> None:
    """List the events that a destination does not take; show one, send it again, or give it up."""
    from lumi_pipeline.siem import attending
    from lumi_pipeline.siem.ledger import Key

    if (shown is not None) + bool(released) + bool(discarded) > 1:
        raise click.UsageError("--show, --release and --discard are three different things; one at a time", ctx)
    exports = exports_of(ctx.obj)
    if shown is not None:
        record = attending.quarantined_record(exports, name, Key.parse(shown))
        say(record.decode("utf-8", "replace") or "no record could be made of it; 'lumi prove' makes one of the event")
        return
    if released:
        if released == ("all",):
            keys = [entry.key for entry in attending.quarantined(exports, name) if not entry.key.is_refusal]
        else:
            keys = [Key.parse(key) for key in released]
        events = attending.release(exports, name, keys)
        said = f"{count(events, 'event')} will be sent again by 'lumi siem deliver {name}'."
        say_json({"released": str(events)}) if as_json else say(said)
        return
    if discarded:
        events = attending.discard(exports, name, [Key.parse(key) for key in discarded], reason)
        said = f"{count(events, 'event')} given up, with a receipt each."
        say_json({"given_up": str(events)}) if as_json else say(said)
        return
    found = attending.quarantined(exports, name)
    if as_json:
        entries = [(q.event_id, str(q.key), q.reason, str(q.seq), q.tenant_id) for q in found]
        names = ("event_id", "key", "reason", "seq", "tenant")
        say_json({"events": [dict(zip(names, entry, strict=True)) for entry in entries]})
    elif found:
        say_table(
            ("key", "tenant", "seq", "event", "reason"),
            [(str(q.key), q.tenant_id, q.seq, q.event_id, q.reason) for q in found],
        )
    else:
        say("No event is in quarantine.")


@click.command(
    cls=Command,
    epilog=examples(
        "lumi siem unblock splunk-prod",
        'lumi siem unblock splunk-prod --give-up 056565aaa34c --reason "its file is lost; sent by a forced backfill"',
        'lumi siem unblock splunk-prod --give-up --all --reason "the index was dropped, OPS-8"',
    ),
)
@click.argument("name", metavar="DESTINATION")
@click.argument("batches", metavar="[BATCH]...", nargs=-1)
@click.option("--give-up", is_flag=True, help="Give these blocked batches up instead, with a --reason.")
@click.option("--all", "everything", is_flag=True, help="With --give-up: all batches that are blocked.")
@click.option("--reason", metavar="TEXT", default="", help="Why, in words that an auditor can read.")
@config_option
@json_option
@click.pass_context
def unblock(
    ctx: click.Context,
    /,
    name: str,
    batches: tuple[str, ...],
    give_up: bool,
    everything: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Let a destination try again now, after what blocked it was corrected; also batches that are blocked.

    BATCH is a blocked batch's id as 'lumi siem status' shows it, or how it begins.
    """
    from lumi_pipeline.siem import attending

    if not give_up and (reason or batches or everything):
        raise click.UsageError("BATCH, --all and --reason say what is given up and why, which needs --give-up", ctx)
    if give_up and everything == bool(batches):
        raise click.UsageError(
            f"--give-up needs the batches that are given up, or --all; 'lumi siem status {name}' lists them", ctx
        )
    exports = exports_of(ctx.obj)
    if give_up:
        given_up = attending.give_up(exports, name, reason, None if everything else batches)
        events = sum(found.key.count for found in given_up)
        if as_json:
            say_json({"given_up": {"batches": len(given_up), "events": str(events)}})
        else:
            what = count(len(given_up), "blocked batch", "blocked batches")
            say(f"{what} given up, {count(events, 'event')}, with a receipt each.")
        return
    released = attending.unblock(exports, name)
    if as_json:
        say_json({"unblocked": {"batches": released}})
    else:
        also = f", {count(released, 'batch', 'batches')} that had been blocked included" if released else ""
        say(f"{name} is tried again by the next 'lumi siem deliver'{also}.")
