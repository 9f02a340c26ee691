"""``lumi log``: the log's public site, served on one's own machine or written beside the tiles."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from lumi_pipeline.cli.command import Command, ExitCode, Stop, examples
from lumi_pipeline.cli.fetch import CHECKPOINT, Fetch
from lumi_pipeline.cli.options import PATH, Given, config_option, json_option
from lumi_pipeline.cli.output import say, say_json


@click.group(epilog=examples("lumi log serve", "lumi log site"))
def log() -> None:
    """Look at the public log, and keep its site up to date."""


@log.command(cls=Command, epilog=examples("lumi log serve", "lumi log serve ~/mirror/log --port 8080"))
@click.argument("directory", metavar="[PATH]", required=False, type=PATH)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="0 takes any free one.")
@config_option
@click.pass_obj
def serve(given: Given, directory: Path | None, host: str, port: int) -> None:
    """Serve a log to a browser on this machine, until Ctrl-C.

    Without PATH that is the log under the configured root, be it on a disk or in S3; PATH is a directory that holds a
    log, such as a copy that somebody gave you. Only the log's own files are served, and nothing is ever written. To
    publish a log, use a web server or a bucket instead.
    """
    from lumi_pipeline.serving import LogServer
    from lumi_pipeline.site import site_page

    fetch = _fetch(given, directory)
    with LogServer(host, port, fetch, site_page(given.config().record_due)) as server, _stopping_on_signals():
        say(f"The log is at {server.url} (Ctrl-C stops).")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    say("Stopped.")


@log.command(cls=Command, epilog=examples("lumi log site", "lumi log site --replace"))
@click.option("--replace", is_flag=True, help="Also where there is a page that this software did not write.")
@config_option
@json_option
@click.pass_obj
def site(given: Given, replace: bool, as_json: bool) -> None:
    """Write this version's page, index.html, beside the log's tiles.

    `lumi run` and `lumi publish` do so too; this is for a new version of this software, and for a log whose page was
    lost. The page is no evidence: it shows what is there, and what it shows does not change with it.
    """
    from lumi_pipeline.site import PAGE_KEY, SiteState, refresh_site

    pipeline = given.pipeline()
    before = refresh_site(pipeline.lake.store, pipeline.config.record_due, replace_foreign=replace)
    if before is SiteState.FOREIGN and not replace:
        raise Stop(
            f"{PAGE_KEY} is a page that this software did not write; replace it with: lumi log site --replace",
            ExitCode.FAILURE,
        )
    if as_json:
        say_json({"before": before.value, "key": PAGE_KEY})
    else:
        say(f"{PAGE_KEY} is up to date." if before is SiteState.CURRENT else f"Wrote {PAGE_KEY}.")


def _fetch(given: Given, directory: Path | None) -> Fetch:
    """Return what reads the log's files; end with an error if there is none."""
    from lumi_pipeline.cli.fetch import directory_fetch, log_directory
    from lumi_pipeline.publicfiles import PUBLIC
    from transparency.errors import ObjectMissing

    if directory is not None:
        found = log_directory(directory)
        if found is None:
            raise Stop(f"{directory} holds no log: there is no file 'checkpoint'", ExitCode.FAILURE)
        return directory_fetch(found)
    store = given.pipeline().lake.store
    try:
        store.get(f"{PUBLIC}{CHECKPOINT}")
    except ObjectMissing:
        raise Stop("nothing is published yet; 'lumi run' publishes every day that is over", ExitCode.FAILURE) from None
    return lambda path: store.get(f"{PUBLIC}{path}")


@contextmanager
def _stopping_on_signals() -> Iterator[None]:
    """End as Ctrl-C does when somebody ends the process in the usual way (SIGTERM)."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
