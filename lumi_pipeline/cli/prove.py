"""``lumi prove``: write the proof file of one event."""

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import PATH, Given, config_option
from lumi_pipeline.cli.output import say, size

if TYPE_CHECKING:
    from lumi_pipeline.pipeline import Pipeline


@click.command(
    cls=Command,
    epilog=examples(
        "lumi prove 0199f3c2-8b1e-7c40-9d53-1f0f6f1f2a77",
        "lumi prove 0199f3c2-8b1e-7c40-9d53-1f0f6f1f2a77 --redact -o receipt.tlog-proof",
    ),
)
@click.argument("event_id")
@click.option("-o", "--output", metavar="FILE", type=PATH, help="Default: EVENT_ID.tlog-proof; - for standard output.")
@click.option("--redact", is_flag=True, help="Withhold the event's payload; the proof stays valid.")
@config_option
@click.pass_obj
def prove(given: Given, event_id: str, output: Path | None, redact: bool) -> None:
    """Write the proof of one event.

    The file holds all that anyone with the log's key needs to check the event offline. Its day has to be sealed and
    published.
    """
    event_id = event_id.lower()
    proof = make_proof(given.pipeline(), event_id, redact=redact)
    if output == Path("-"):
        sys.stdout.buffer.write(proof)
        return
    path = output or Path(f"{event_id}.tlog-proof")
    write_whole(path, proof)
    say(f"Wrote {path} ({size(len(proof))}). Check it with: lumi verify {path} --key LOG-VKEY")


def make_proof(pipeline: "Pipeline", event_id: str, *, redact: bool = False) -> bytes:
    """Prove one event of a pipeline's log."""
    from lumi_pipeline.errors import ProofNotFound
    from lumi_pipeline.proving import prove_event

    genesis = pipeline.genesis()
    if genesis is None:
        raise ProofNotFound("nothing is sealed yet; 'lumi run' seals and publishes every complete day")
    return prove_event(pipeline.lake, genesis, event_id, redact=redact)


def write_whole(path: Path, data: bytes) -> None:
    """Write a result file so that a reader finds the old one or the new one, never half of it."""
    if path.exists() and not path.is_file():
        path.write_bytes(data)  # a device or a pipe, which nothing may replace
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        temporary.write_bytes(data)
        # A crash before this line leaves the temporary file; the result's name still holds what it held.
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
