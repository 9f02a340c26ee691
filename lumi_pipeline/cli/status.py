"""``lumi status``: where everything stands."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import Given, config_option, json_option
from lumi_pipeline.cli.output import count, say, say_json, say_pairs
from lumi_pipeline.errors import OutboxError
from transparency.encoding import b64encode

if TYPE_CHECKING:
    from lumi_pipeline.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class _Outbox:
    """What the outbox holds: tenants, events in all, and events that were not landed yet."""

    tenants: int
    events: int
    waiting: int


@click.command(cls=Command, epilog=examples("lumi status", "lumi status --json"))
@config_option
@json_option
@click.pass_obj
def status(given: Given, as_json: bool) -> None:
    """Show where everything stands."""
    from transparency.logview import LogView

    pipeline = given.pipeline()
    config = pipeline.config
    sealed, missing, unpublished = pipeline.sealed_days(), pipeline.missing_days(), pipeline.unpublished_days()
    log = LogView(pipeline.lake.store).state()
    outbox = _read_outbox(pipeline)
    keys = {"evidence": config.evidence_key_file, "log": config.log_key_file}
    if as_json:
        say_json(
            {
                "config": None if config.file is None else str(config.file),
                "keys": {purpose: path.exists() for purpose, path in keys.items()},
                "log": {"published_size": log.published_size, "root": b64encode(log.root), "size": log.committed_size},
                "missing_days": [day.isoformat() for day in missing],
                "origin": config.origin,
                "outbox": None if isinstance(outbox, OutboxError) else asdict(outbox),
                "root": config.root,
                "sealed": {"days": len(sealed), **_ends(sealed)},
                "unpublished_days": [day.isoformat() for day in unpublished],
            }
        )
        return
    entries = count(log.published_size, "entry", "entries")
    say_pairs(
        [
            ("origin", config.origin),
            ("configuration", config.file or "none; the defaults"),
            ("outbox", outbox if isinstance(outbox, OutboxError) else f"{config.outbox_path}: {_describe(outbox)}"),
            ("lake", config.root_path),
            ("sealed", _period(sealed) if sealed else "no day yet"),
            ("to seal", _period(missing) if missing else "nothing is waiting"),
            ("to publish", _period(unpublished) if unpublished else "nothing is waiting"),
            ("log", f"{entries} published, root {b64encode(log.root)}" if log.published_size else "not published yet"),
            *((f"{purpose} key", path if path.exists() else f"none at {path}") for purpose, path in keys.items()),
        ]
    )
    if missing or unpublished:
        say("Seal and publish with: lumi run")


def _read_outbox(pipeline: "Pipeline") -> "_Outbox | OutboxError":
    from lumi_pipeline.landing import read_cursors
    from lumi_pipeline.sealing import load_sealed_day

    try:
        with pipeline.outbox.snapshot() as snapshot:
            heads = snapshot.heads()
    except OutboxError as error:
        return error
    days = pipeline.lake.sealed_days()
    cursors = read_cursors(pipeline.lake, load_sealed_day(pipeline.lake, days[-1]).tenants if days else None)
    events = landed = 0
    for head in heads.to_pylist():
        cursor = cursors.get(head["tenant_id"])
        events += head["next_seq"]
        landed += min(cursor.next_seq, head["next_seq"]) if cursor else 0
    return _Outbox(len(heads), events, events - landed)


def _describe(outbox: _Outbox) -> str:
    held = f"{count(outbox.events, 'event')} of {count(outbox.tenants, 'tenant')}"
    return f"{held}, {outbox.waiting:,} not landed yet"


def _ends(days: list[date]) -> dict[str, object]:
    return {"first": days[0].isoformat() if days else None, "last": days[-1].isoformat() if days else None}


def _period(days: list[date]) -> str:
    return f"{count(len(days), 'day')}, {days[0]} to {days[-1]}" if len(days) > 1 else str(days[0])
