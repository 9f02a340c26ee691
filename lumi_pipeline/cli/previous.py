"""The verdict on the log that another one says it succeeds, as ``lumi verify --previous`` gives it."""

from datetime import timedelta

from lumi_pipeline.cli.fetch import log_fetch
from lumi_pipeline.cli.logs import failed, unconfirmed
from lumi_pipeline.cli.output import count
from lumi_pipeline.keyadvice import claimed_keys
from lumi_pipeline.verdict import Status, Verdict
from transparency.checkpoint import parse_signed_checkpoint
from transparency.entries import Genesis
from transparency.errors import FormatError, ObjectMissing, StoreError, VerificationError
from transparency.policy import Policy, evaluate
from transparency.succession import verify_previous
from transparency.tiles import TileReader


def judge_previous(target: str, previous: str, policy: Policy | None) -> Verdict:
    """Verify the log at ``previous`` up to where the one at ``target`` takes over: only the latter's key counts."""
    try:
        with log_fetch(target) as fetch, log_fetch(previous) as fetch_previous:
            signed = parse_signed_checkpoint(fetch("checkpoint"))
            standing = evaluate(policy or claimed_keys(fetch), signed)
            head = signed.checkpoint
            genesis = Genesis.parse(TileReader(fetch, head.size, head.root).read_entry(0))
            history = verify_previous(genesis, fetch_previous)
    except ObjectMissing as error:
        return Verdict(previous, Status.INCOMPLETE, "missing", (f"{error}.",))
    except (VerificationError, FormatError, StoreError) as error:
        return failed(previous, error)
    first_day, origin = history.genesis.first_day, history.genesis.origin
    entries = count((genesis.first_day - first_day).days + 1, "entry", "entries")
    line = (
        f"{origin}: {entries}, {first_day} to {genesis.first_day - timedelta(days=1)}, are those that {genesis.origin} "
        f"pins; that one goes on with {genesis.first_day}. What the key of {origin} has signed since says nothing."
    )
    verdict = Verdict(previous, Status.VERIFIED, "ok", (line,), {"origin": origin, "type": "previous"})
    return verdict if policy else unconfirmed(verdict, standing.log_key)
