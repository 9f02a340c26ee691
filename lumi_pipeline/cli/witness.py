"""``lumi witness``: show the newest checkpoint to the witnesses."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, ExitCode, examples
from lumi_pipeline.cli.options import Given, config_option, json_option
from lumi_pipeline.cli.output import count, note, say, say_json

if TYPE_CHECKING:
    from lumi_pipeline.witnessing import Cosigning, Reply
    from transparency.encoding import Json


@click.group(epilog=examples("lumi witness submit"))
def witness() -> None:
    """Have the log's checkpoints cosigned by the witnesses of the policy."""


@witness.command(cls=Command, epilog=examples("lumi witness submit", "lumi witness submit --json"))
@config_option
@json_option
@click.pass_context
def submit(ctx: click.Context, /, as_json: bool) -> None:
    """Show the newest checkpoint to every witness once more, and publish the fresher cosignatures.

    Publishing a day does so by itself. Once more is for witnesses that were away then, and for readers who want to see
    that a checkpoint was the newest not long ago. The cosignatures that were there first are kept.

    Exit code: 0 when those that cosigned now make the policy's quorum, 1 when not.
    """
    given: Given = ctx.obj
    cosigning = given.pipeline().submit()
    if as_json:
        say_json(cosigning_json(cosigning))
    else:
        say_cosigning(cosigning)
        if cosigning.fresh_quorum and cosigning.cosigned_by:
            say(f"The quorum is met: {cosigning.quorum} needed.")
        else:
            note(f"The quorum is not met by these: {cosigning.quorum} needed. What was public stays public.")
    ctx.exit(ExitCode.SUCCESS if cosigning.fresh_quorum and cosigning.cosigned_by else ExitCode.FAILURE)


def say_cosigning(cosigning: "Cosigning") -> None:
    """Say what each witness did; who did not cosign is told on standard error."""
    for reply in cosigning.replies:
        if reply.time is not None:
            say(f"Cosigned by {reply.witness} at {_moment(reply.time)}: {count(cosigning.size, 'entry', 'entries')}.")
    for reply in cosigning.replies:
        if reply.problem is not None:
            note(f"witness {reply.witness}: {reply.problem}")


def cosigning_json(cosigning: "Cosigning") -> "dict[str, Json]":
    """The same for machines."""
    replies: list[Json] = [_reply(reply) for reply in cosigning.replies]
    return {
        "fresh_quorum": cosigning.fresh_quorum,
        "quorum_met": cosigning.quorum_met,
        "size": cosigning.size,
        "witnesses": replies,
    }


def _reply(reply: "Reply") -> "dict[str, Json]":
    moment = None if reply.time is None else _moment(reply.time)
    return {"cosigned_at": moment, "name": reply.witness, "problem": reply.problem}


def _moment(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
