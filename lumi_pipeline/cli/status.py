"""``lumi status``: where everything stands."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, ExitCode, examples
from lumi_pipeline.cli.options import Given, config_option, json_option
from lumi_pipeline.cli.output import count, note, say, say_json, say_pairs
from transparency.encoding import b64encode

if TYPE_CHECKING:
    from lumi_pipeline.status import PipelineStatus


@click.command(cls=Command, epilog=examples("lumi status", "lumi status --json"))
@config_option
@json_option
@click.pass_context
def status(ctx: click.Context, /, as_json: bool) -> None:
    """Show where everything stands: what is recorded, landed, sealed and published, and what is left to do.

    What can't be read is named, and the exit code is 1.
    """
    from lumi_pipeline.status import survey

    given: Given = ctx.obj
    pipeline = given.pipeline()
    config = pipeline.config
    found = survey(pipeline)
    keys = {"evidence": config.evidence_key_file, "log": config.log_key_file}
    if as_json:
        present = {purpose: path.exists() for purpose, path in keys.items()}
        say_json({**found.to_json(), "config": None if config.file is None else str(config.file), "keys": present})
    else:
        nothing = "unknown, see below" if found.problems else "nothing is waiting"
        say_pairs(
            [
                ("origin", config.origin),
                ("configuration", config.file or "none; the defaults"),
                ("outbox", f"{config.outbox.name}: {_recorded(found)}"),
                ("lake", config.root_path or config.root),
                ("sealed", _sealed(found)),
                ("to seal", _period(found.missing) if found.missing else nothing),
                ("to publish", _period(found.unpublished) if found.unpublished else nothing),
                ("log", _log(found)),
                ("delivery", _delivery(found)),
                *((f"{purpose} key", path if path.exists() else f"none at {path}") for purpose, path in keys.items()),
            ]
        )
        for day, report in found.waiting.items():
            say(f"{day} is stopped by broken chains (report {report}). Repair the cause, or see: lumi acknowledge -h")
        if (found.missing and not found.waiting) or found.unpublished:
            say("Seal and publish with: lumi run")
        for problem in found.problems:
            note(f"problem: {problem}")
    ctx.exit(ExitCode.FAILURE if found.problems else ExitCode.SUCCESS)


def _recorded(found: "PipelineStatus") -> str:
    if found.recorded is None or found.tenants is None:
        return "can't be read"
    held = f"{count(found.recorded, 'event')} of {count(found.tenants, 'tenant')}"
    return held if found.landed is None else f"{held}, {max(found.recorded - found.landed, 0):,} not landed yet"


def _delivery(found: "PipelineStatus") -> str | None:
    states = ", ".join(f"{name} {health}" for name, health in found.destinations.items())
    return f"{states}; more with: lumi siem status" if states else None


def _sealed(found: "PipelineStatus") -> str:
    if found.sealed is None:
        return "can't be read"
    return _period(found.sealed_days) if found.sealed_days else "no day yet"


def _log(found: "PipelineStatus") -> str:
    if found.log_root is None:
        return "not published yet"
    return f"{count(found.size, 'entry', 'entries')} published, root {b64encode(found.log_root)}"


def _period(days: Sequence[date]) -> str:
    return f"{count(len(days), 'day')}, {days[0]} to {days[-1]}" if len(days) > 1 else str(days[0])
