"""``lumi fsck``: recompute everything public from the log's entries."""

from pathlib import Path

import click

from lumi_pipeline.cli.command import VerifyingCommand, examples
from lumi_pipeline.cli.options import Given, config_option, json_option
from lumi_pipeline.cli.trust import read_trust, trust_options
from lumi_pipeline.cli.verdicts import show_verdicts


@click.command(cls=VerifyingCommand, epilog=examples("lumi fsck", "lumi fsck --key log.vkey --json"))
@trust_options
@config_option
@json_option
@click.pass_context
def fsck(ctx: click.Context, /, key_texts: tuple[str, ...], policy_file: Path | None, as_json: bool) -> None:
    """Recompute everything public from the log's entries.

    That includes the files of every earlier size, the log's journal and the records of the sealed days. Trusts the
    configured policy file or log key, unless --key or --policy say otherwise. Exit codes are those of `lumi verify`.
    """
    from lumi_pipeline.cli.history import judge_published

    given: Given = ctx.obj
    pipeline = given.pipeline()
    policy = read_trust(key_texts, policy_file) or pipeline.trust()
    ctx.exit(show_verdicts([judge_published(pipeline, policy)], as_json=as_json))
