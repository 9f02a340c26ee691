"""What to tell somebody whose key does not fit: the log may have replaced it, or it is another log's.

What is said here comes from the log itself, unverified: it tells whom to ask, and never whom to trust.
"""

from transparency.checkpoint import SignedCheckpoint, parse_signed_checkpoint
from transparency.errors import FormatError, StoreError, VerificationError
from transparency.history import History, read_history
from transparency.keys import VerifierKey
from transparency.note import signatures_by
from transparency.policy import Policy
from transparency.tiles import TileReader
from transparency.verify import Fetch


def claimed_keys(fetch: Fetch) -> Policy:
    """The keys that a log says are its own: good for finding contradictions, not for trust.

    That is the one that it publishes as its first and, where that one does not sign any more, those announced since.
    """
    first = Policy.pinning(fetch("log.vkey").decode("utf-8", errors="replace").removesuffix("\n"))
    signed = parse_signed_checkpoint(fetch("checkpoint"))
    if signatures_by(signed.note, first.log_keys):
        return first
    return Policy((*first.log_keys, *(takeover.key for takeover in _history(fetch, signed).takeovers)))


def explain_log(fetch: Fetch, policy: Policy) -> str | None:
    """Say what a log's own records tell of the trusted keys, none of which has signed it; None if they tell nothing."""
    try:
        signed = parse_signed_checkpoint(fetch("checkpoint"))
        history = _history(fetch, signed)
    except (FormatError, StoreError, VerificationError):
        return None
    given = policy.pinned_keys(signed.checkpoint.origin)
    keys = [history.genesis.key, *(takeover.key for takeover in history.takeovers)]
    for key in given:
        if key in keys[:-1]:
            after = history.takeovers[keys.index(key)]
            return (
                f"The log itself says that the key you trust, {key.vkey}, was replaced: its record of "
                f"{after.announced} announces {after.key.vkey}. Have its operator confirm that by another way; then "
                "trust the new key, and for proofs both."
            )
    if not given:
        return None
    return (
        f"The key you trust, {given[0].vkey}, is in none of its records: it began with {keys[0].vkey}. You have the "
        "key of another log of that name, or somebody shows you another log."
    )


def explain_proof(signed: SignedCheckpoint, first: VerifierKey, given: tuple[VerifierKey, ...]) -> str | None:
    """The same for a proof file, which names the key that the log began with and no announcement."""
    signers = ", ".join(line.key_id.hex() for line in signed.note.signatures if line.name == signed.checkpoint.origin)
    if not signers or signatures_by(signed.note, [first]):
        return None
    said = f"It is signed with the key {signers} of {signed.checkpoint.origin}, and the log began with {first.vkey}"
    if given and first not in given:
        return f"{said}, which you don't trust either: these are not the keys of this log."
    return (
        f"{said}. It has probably replaced that key since: get the present one from its operator, not from here, and "
        "trust both (--key twice)."
    )


def _history(fetch: Fetch, signed: SignedCheckpoint) -> History:
    head = signed.checkpoint
    return read_history(TileReader(fetch, head.size, head.root), head.origin)
