"""``lumi feed``: give customers their own events, under a prefix that they alone read."""

from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, ExitCode, Stop, examples
from lumi_pipeline.cli.options import Given, config_option, json_option
from lumi_pipeline.cli.output import count, note, say, say_json, say_table, size

if TYPE_CHECKING:
    from lumi_pipeline.siem.feed import FeedReport, FeedsReport


@click.command(cls=Command, epilog=examples("lumi feed", "lumi feed --tenant acme --tenant globex"))
@click.option("--tenant", "tenants", metavar="TENANT", multiple=True, help="Publish for this tenant only; repeatable.")
@config_option
@json_option
@click.pass_context
def feed(ctx: click.Context, /, tenants: tuple[str, ...], as_json: bool) -> None:
    """Publish what was landed of each tenant to its feed: feeds/TENANT/ in the lake's store.

    Without --tenant this is done for the tenants that 'feeds' in lumi.toml lists. A customer needs to read that prefix
    and nothing else. Nothing new means nothing written, so it can run every few minutes.
    """
    from lumi_pipeline.siem.feed import publish_feeds
    from lumi_pipeline.siem.source import Source

    given: Given = ctx.obj
    pipeline = given.pipeline()
    chosen = list(dict.fromkeys(tenants)) or list(pipeline.config.feeds)
    if not chosen:
        raise click.UsageError('no tenant has a feed: give --tenant, or list tenants in lumi.toml: feeds = ["acme"]')
    source = Source.open(pipeline.lake, tuple(pipeline.lake_days()))
    unknown = [tenant for tenant in tenants if tenant not in source.cursors]
    if unknown:
        raise Stop(f"no event of {unknown[0]!r} was landed yet, so there is nothing to publish", ExitCode.FAILURE)
    report = publish_feeds(source, chosen)
    if as_json:
        say_json(_as_json(report))
    else:
        _show(report)
    if report.failed:
        reasons = "\n".join(f"{tenant}: {reason}" for tenant, reason in report.failed.items())
        raise Stop(f"{count(len(report.failed), 'feed')} could not be published\n{reasons}", ExitCode.FAILURE)


def _show(report: "FeedsReport") -> None:
    rows = [(f.tenant_id, f.events, f.entries, size(f.size), f.next) for f in report.published]
    if rows:
        say_table(("tenant", "new events", "new entries", "size", "next seq"), rows)
    for published in report.published:
        for part in published.withheld:
            seqs = f"seq {part.first}" if part.count == 1 else f"seqs {part.first} to {part.last}"
            note(f"{published.tenant_id}: {seqs} withheld: {part.reason}; 'lumi verify --all' says what is wrong there")
        if published.waiting:
            note(
                f"{published.tenant_id}: the chain's head does not fit seq {published.next}, which waits until it does"
            )
    if not rows:
        say("No feed was published.")


def _as_json(report: "FeedsReport") -> dict[str, object]:
    return {"failed": dict(report.failed), "feeds": [_published(published) for published in report.published]}


def _published(report: "FeedReport") -> dict[str, object]:
    return {
        "bytes": report.size,
        "entries": report.entries,
        "events": report.events,
        "next": report.next,
        "tenant": report.tenant_id,
        "waiting": report.waiting,
        "withheld": [[part.first, part.last, part.reason] for part in report.withheld],
    }
