"""``lumi prove``: write the proof file of one event, or of one tenant's day."""

import secrets
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import DAY, PATH, Given, config_option
from lumi_pipeline.cli.output import count, say, size

if TYPE_CHECKING:
    from lumi_pipeline.pipeline import Pipeline
    from transparency.entries import Genesis


@click.command(
    cls=Command,
    epilog=examples(
        "lumi prove 0199f3c2-8b1e-7c40-9d53-1f0f6f1f2a77",
        "lumi prove 0199f3c2-8b1e-7c40-9d53-1f0f6f1f2a77 --redact -o receipt.tlog-proof",
        "lumi prove --tenant acme --day 2026-10-25",
    ),
)
@click.argument("event_id", required=False)
@click.option("--tenant", "tenant_id", metavar="TENANT", help="Prove what the log says of this tenant on --day.")
@click.option("--day", type=DAY, metavar="DAY", help="With --tenant: the day, UTC.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=PATH,
    help="Default: EVENT_ID.tlog-proof or TENANT-DAY.tlog-proof; - for standard output.",
)
@click.option("--redact", is_flag=True, help="Withhold the event's payload; the proof stays valid.")
@config_option
@click.pass_obj
def prove(
    given: Given, event_id: str | None, tenant_id: str | None, day: date | None, output: Path | None, redact: bool
) -> None:
    """Write the proof of one event, or of one tenant's day.

    The file holds all that anyone with the log's key needs to check it offline. The day has to be sealed and published.
    With --tenant and --day it proves how many events the tenant had on that day, none included; or, if the tenant had
    no event up to then, that it was not in the log yet.
    """
    if event_id is not None and tenant_id is None and day is None:
        event_id = event_id.lower()
        proof = make_proof(given.pipeline(), event_id, redact=redact)
        _write(proof, output, f"{event_id}.tlog-proof")
    elif event_id is None and tenant_id is not None and day is not None:
        if redact:
            raise click.UsageError("--redact is for events: the proof of a day holds no payload")
        _write_tenant_day(given.pipeline(), tenant_id, day, output)
    else:
        raise click.UsageError("give either EVENT_ID, or both --tenant and --day")


def _write_tenant_day(pipeline: "Pipeline", tenant_id: str, day: date, output: Path | None) -> None:
    from lumi_pipeline.hashing import tenant_key
    from lumi_pipeline.proving import prove_tenant_day

    proof = prove_tenant_day(pipeline.lake, _genesis(pipeline), tenant_id, day)
    if not _write(proof.data, output, f"{tenant_id}-{day}.tlog-proof"):
        return
    if proof.events is None:
        say(f"It proves that {tenant_id} was not a tenant yet on {day}; if that is a surprise, check the spelling.")
    else:
        say(f"It proves that {tenant_id} had {count(proof.events, 'event')} on {day}. It holds the tenant's key,")
        say(f"not its name; the key is {tenant_key(tenant_id).hex()}")


def _write(proof: bytes, output: Path | None, default: str) -> bool:
    """Write a proof file; return whether something may be printed too."""
    if output == Path("-"):
        sys.stdout.buffer.write(proof)
        return False
    path = output or Path(default)
    write_whole(path, proof)
    say(f"Wrote {path} ({size(len(proof))}). Check it with: lumi verify {path} --key LOG-VKEY")
    return True


def make_proof(pipeline: "Pipeline", event_id: str, *, redact: bool = False) -> bytes:
    """Prove one event of a pipeline's log."""
    from lumi_pipeline.proving import prove_event

    return prove_event(pipeline.lake, _genesis(pipeline), event_id, redact=redact)


def _genesis(pipeline: "Pipeline") -> "Genesis":
    from lumi_pipeline.errors import ProofNotFound

    genesis = pipeline.genesis()
    if genesis is None:
        raise ProofNotFound("nothing is sealed yet; 'lumi run' seals and publishes every complete day")
    return genesis


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
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # the name that was asked for
    finally:
        temporary.unlink(missing_ok=True)
