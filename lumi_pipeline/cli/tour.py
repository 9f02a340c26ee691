"""The last part of ``make run``: prove one event, verify the proof, and say what lies where and what to try next."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, ExitCode, Stop, examples
from lumi_pipeline.cli.options import Given, config_option
from lumi_pipeline.cli.output import say, say_pairs
from lumi_pipeline.cli.prove import make_proof, write_whole

if TYPE_CHECKING:
    from lumi_pipeline.pipeline import Pipeline


@click.command(cls=Command, hidden=True, epilog=examples("lumi --config data/local/demo/lumi.toml tour"))
@config_option
@click.pass_obj
def tour(given: Given) -> None:
    """Prove one event of the last sealed day and verify it, then show the way around."""
    from lumi_pipeline.proofs import verify_proof
    from lumi_pipeline.verdict import Status

    pipeline = given.pipeline()
    config = pipeline.config
    event_id = _some_event(pipeline)
    directory = config.file.parent if config.file else Path.cwd()
    path = directory / f"{event_id}.tlog-proof"
    proof = make_proof(pipeline, event_id)
    write_whole(path, proof)
    pinned = pipeline.trust()
    verdict = verify_proof(path.read_bytes(), pinned, str(path))
    if verdict.status is not Status.VERIFIED:
        raise Stop(f"{path} does not verify: {' '.join(verdict.lines)}", ExitCode.FAILURE)
    forged = verify_proof(_forge(proof), pinned, "a forged copy")
    say(f"\nOne event, proved and verified with nothing but the proof and the log's key ({_shown(path)}):")
    for line in verdict.lines:
        say(f"  {line}")
    say(f"The same proof with another outcome written into the event: {forged.status.name.lower()} ({forged.reason}).")
    say("\nWhat lies where:")
    say_pairs(
        [
            ("  outbox", _shown(config.outbox.path) if config.outbox.path else config.outbox.name),
            ("  events", f"{_place(pipeline, 'events')}/day=…/*.parquet (DuckDB, Polars, Spark)"),
            ("  public log", _place(pipeline, "log")),
            ("  the log's key", _place(pipeline, "log/log.vkey")),
            ("  SQL over it all", _shown(config.analyst_db)),
            ("  Dagster's runs", "make ui"),
        ]
    )
    lumi = _shown(Path(sys.executable).with_name("lumi"))
    say("\nWhat to try next:")
    if config.file is not None:
        say(f"  export LUMI_CONFIG={_quoted(config.file)}")
    days = pipeline.sealed_days()
    for command in (
        "status",
        "verify --all",
        "events --limit 10",
        "drill",
        f"evidence --tenant {verdict.facts['tenant']} --from {days[0]} --to {days[-1]} --out audit",
        # A key is a file on this side; with the log in S3, our own key file is what says so.
        f"verify {_quoted(path)}"
        + (f" --key {_quoted(config.root_path / 'log/log.vkey')}" if config.root_path is not None else ""),
    ):
        say(f"  {lumi} {command}")


def _some_event(pipeline: "Pipeline") -> str:
    """Return the id of an event in the middle of the newest sealed day that has any."""
    from lumi_pipeline.sealedday import current_files

    for day in reversed(pipeline.sealed_days()):
        for file in current_files(pipeline.lake, day):
            if file.rows:
                ids = [id_ for table in pipeline.lake.read_events(file) for id_ in table.column("event_id").to_pylist()]
                return str(ids[len(ids) // 2])
    raise Stop("no sealed day holds an event yet; seal some with: lumi run", ExitCode.FAILURE)


def _forge(proof: bytes) -> bytes:
    """Change the event's outcome inside the proof, as somebody would who had something to hide."""
    from transparency.proof import TlogProof

    parsed = TlogProof.parse(proof)
    extra = parsed.extra or b""
    told, untold = b'"outcome":"success"', b'"outcome":"failure"'
    changed = extra.replace(told, untold) if told in extra else extra.replace(untold, told)
    return replace(parsed, extra=changed).format()


def _place(pipeline: "Pipeline", key: str) -> str:
    """Return where something of the lake lies, as seen from here."""
    place = pipeline.lake.locate(key)
    return place if pipeline.config.root_path is None else _shown(Path(place))


def _shown(path: Path) -> str:
    """Return a path the short way, as seen from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _quoted(path: Path) -> str:
    return shlex.quote(_shown(path))
