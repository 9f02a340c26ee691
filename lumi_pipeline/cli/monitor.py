"""``lumi monitor``: follow a log from run to run, from cron."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from lumi_pipeline.cli.command import VerifyingCommand, examples
from lumi_pipeline.cli.options import PATH, Given, config_option, json_option
from lumi_pipeline.cli.trust import own_trust, read_trust, trust_options
from lumi_pipeline.cli.verdicts import show_verdicts


class _TimeOfDay(click.ParamType[timedelta]):
    """A time of day, written HH:MM."""

    name = "time"

    def convert(self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Parse the time or end with a usage error."""
        from lumi_pipeline.due import parse_due

        if isinstance(value, timedelta):
            return value
        try:
            return parse_due(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    cls=VerifyingCommand,
    epilog=examples(
        "lumi monitor https://audit.example.com/log --key log.vkey",
        "lumi monitor https://audit.example.com/log --policy witnesses.policy --state acme.json --quiet",
    ),
)
@click.argument("target", metavar="PATH-OR-URL")
@trust_options
@click.option("--state", "state_file", metavar="FILE", type=PATH, help="Keep here how far the log was followed.")
@click.option("--due", metavar="HH:MM", type=_TimeOfDay(), help="Expect yesterday's record by this time, UTC. [02:00]")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing of new records that are in order.")
@config_option
@json_option
@click.pass_context
def monitor(
    ctx: click.Context,
    /,
    target: str,
    key_texts: tuple[str, ...],
    policy_file: Path | None,
    state_file: Path | None,
    due: timedelta | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Follow a log: hold it against what it showed before, and check every record that is new.

    Made for cron: it says nothing when nothing changed. Each run reads what was added since the one before, and proves
    that nothing old was touched. Found are two histories of one log (both signed checkpoints are kept), a log that got
    shorter, records that break the rules, declare breaks or are overdue, keys announced, and a missing quorum of
    witnesses. Without --key or --policy the best verdict is "consistent, key unconfirmed".

    The state is kept under ~/.local/state/lumi, unless --state says where. What is found is told before it is kept: a
    run that dies in between tells it again.

    \b
    Exit code: 0 in order; 1 something is wrong; 2 usage, or not a log;
    3 could not complete, or the key is unconfirmed.
    """
    from lumi_pipeline.cli.fetch import is_url, log_fetch
    from lumi_pipeline.cli.progress import progress
    from lumi_pipeline.cli.watching import Watch
    from lumi_pipeline.following import default_state, open_state

    given: Given = ctx.obj
    config = given.config()
    policy = read_trust(key_texts, policy_file or config.policy_file)
    path = state_file or default_state(target if is_url(target) else str(Path(target).absolute()))
    watch = Watch(
        target,
        policy,
        None if policy else own_trust(given),
        datetime.now(UTC),
        config.record_due if due is None else due,
    )
    with open_state(path) as state, log_fetch(target) as fetch:
        with progress("Following", "entries") as meter:
            found = watch.look(fetch, state, meter.reach)
        code = 0
        if as_json or (found.urgent if quiet else found.changed):
            code = show_verdicts(found.verdicts, as_json=as_json)
        sys.stdout.flush()
        # A crash here, or a reader that is gone, leaves the state before: what was found is then told once more.
        if found.followed is not None:
            state.save(found.followed)
    ctx.exit(code)
