"""``lumi verify``: offline verification of evidence, proofs and logs, or of our own whole history."""

from collections.abc import Iterator
from datetime import date
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import VerifyingCommand, examples
from lumi_pipeline.cli.options import DAY, Given, config_option, json_option
from lumi_pipeline.cli.trust import own_trust, read_trust, trust_options
from lumi_pipeline.cli.verdicts import show_verdicts

if TYPE_CHECKING:
    from lumi_pipeline.verdict import Verdict
    from transparency.policy import Policy


@click.command(
    cls=VerifyingCommand,
    epilog=examples(
        "lumi verify evidence-acme-2026-10-01-2026-12-31.zip --key log.vkey",
        "lumi verify receipt.tlog-proof --key log.vkey",
        "lumi verify https://audit.example.com/log --policy witnesses.policy",
        "lumi verify https://audit.example.com/log-2 --key log-2.vkey --previous https://audit.example.com/log",
        "lumi verify --all",
    ),
)
@click.argument("targets", metavar="PATH-OR-URL...", nargs=-1)
@trust_options
@click.option("--all", "everything", is_flag=True, help="Verify our own history: lake, log and outbox.")
@click.option("--previous", metavar="PATH-OR-URL", help="Check also the log that this one says it succeeds.")
@click.option("--from", "first", type=DAY, help="With --all: the first day to recompute.")
@click.option("--to", "last", type=DAY, help="With --all: the last day to recompute.")
@config_option
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    targets: tuple[str, ...],
    key_texts: tuple[str, ...],
    policy_file: Path | None,
    everything: bool,
    previous: str | None,
    first: date | None,
    last: date | None,
    as_json: bool,
) -> None:
    """Verify evidence bundles, proof files and logs, offline.

    Nothing is believed of whoever made them. Trust comes from your side: keys you were given another way (of the log,
    and if you like of witnesses, any one of which then has to have cosigned), or a policy file that says whose
    signatures you ask for. Without a log's key the best verdict is "consistent, key unconfirmed".

    \b
    Exit code: 0 verified; 1 altered, or with declared breaks; 2 usage, or
    nothing we recognise; 3 could not complete, or the key is unconfirmed.
    """
    given: Given = ctx.obj
    if everything == bool(targets):
        raise click.UsageError("name what to verify, or use --all for our own history", ctx)
    if first and last and first > last:
        raise click.UsageError(f"the period would end on {last}, before it begins on {first}", ctx)
    if previous and len(targets) != 1:
        raise click.UsageError("--previous needs exactly one log", ctx)
    if not everything and (first or last):
        raise click.UsageError("--from and --to belong to --all", ctx)
    policy = read_trust(key_texts, policy_file or given.config().policy_file)
    verdicts = _verdicts(given, targets, policy, first, last)
    if previous:
        verdicts = chain(verdicts, _previous(targets[0], previous, policy))
    ctx.exit(show_verdicts(verdicts, as_json=as_json))


def _verdicts(
    given: Given, targets: tuple[str, ...], policy: "Policy | None", first: date | None, last: date | None
) -> "Iterator[Verdict]":
    if targets:
        from lumi_pipeline.cli.targets import judge

        return (judge(target, policy, None if policy else own_trust(given)) for target in targets)
    from lumi_pipeline.cli.history import judge_history

    pipeline = given.pipeline()
    return judge_history(pipeline, policy or pipeline.trust(), first, last)


def _previous(target: str, previous: str, policy: "Policy | None") -> "Iterator[Verdict]":
    from lumi_pipeline.cli.previous import judge_previous

    yield judge_previous(target, previous, policy)
