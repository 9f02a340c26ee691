"""Asking a witness to cosign a checkpoint (C2SP tlog-witness, "add-checkpoint"): what is sent, and what answers mean.

::

    POST <url>/add-checkpoint          200  signature lines
    old <size the witness knows>       409  <the size that it knows>     text/x.tlog.size
    <base64 hash>                      400, 403, 404, 422
    …
    (empty line)
    <signed checkpoint>

A witness signs only what extends all that it signed before. So its refusals are news: one that has seen a larger tree
under our name, or one that ours does not extend, has met another history, and whoever signed that has our key.

Nothing here opens a connection: :func:`ask` is given a function that sends one body and returns the answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transparency.checkpoint import Checkpoint, SignedCheckpoint
from transparency.cosignature import merge_cosignatures, verify_cosignatures
from transparency.encoding import b64encode, decode_text, excerpt, parse_decimal
from transparency.errors import EncodingError, FormatError, VerificationError, WitnessConflict, WitnessError
from transparency.merkle import consistency_proof
from transparency.note import Note, Signature, format_note, parse_signature_lines
from transparency.policy import Witness
from transparency.tiles import TileReader

MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are looked at: far more than a hundred signature lines of the types we know."""

MAX_AHEAD = 3600
"""Seconds that a witness's clock may be ahead of ours. A time in the far future could never be made fresher."""

MAX_BEHIND = 24 * 3600
"""Seconds that a cosignature may be old, or the witness's clock behind ours: it says when the checkpoint was seen."""

_SIZE_TYPE = "text/x.tlog.size"
_MAX_SIZE_LINE = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request: the HTTP status, the Content-Type without parameters, the body."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class KnownSize:
    """A witness's word for which size it knows, where another one was submitted (HTTP 409)."""

    size: int


Post = Callable[[bytes], Answer]
"""Sends a body to one witness's ``add-checkpoint`` and returns the answer, whatever its status."""


def ask(witness: Witness, signed: SignedCheckpoint, tree: TileReader, *, known: int, post: Post, now: int) -> Signature:
    """Return the witness's verified cosignature of a checkpoint that the log has signed.

    ``tree`` reads the checkpoint's own tree. ``known`` is the size that this witness presumably knows: if it names
    another, that is shown once. ``now`` (POSIX seconds) is what its time is held against.

    Raises :class:`WitnessError` when it does not cosign, :class:`WitnessConflict` when that is because it has seen
    another history, and what ``post`` raises.
    """
    old = min(known, signed.checkpoint.size)
    answer = read_answer(witness, signed, old, post(request_body(signed, tree, old)), now)
    if isinstance(answer, KnownSize):
        old = answer.size
        answer = read_answer(witness, signed, old, post(request_body(signed, tree, old)), now)
    if isinstance(answer, KnownSize):
        raise WitnessError(
            f"it knew {old} entries of this log, and {answer.size} when it was asked again; another run is submitting "
            "at the same time: submit again"
        )
    return answer


def request_body(signed: SignedCheckpoint, tree: TileReader, old: int) -> bytes:
    """Return the body that submits a checkpoint to a witness that knows ``old`` entries of the log.

    The proof is made of hashes that were checked against the checkpoint's root. To a witness that knows nothing, and
    to one that knows this very size, there is nothing to prove, and it is empty (:func:`merkle.consistency_proof`).
    """
    head = signed.checkpoint
    if (tree.size, tree.root) != (head.size, head.root):
        raise ValueError("this is not the tree of the checkpoint")
    proof = consistency_proof(tree, old, head.size)
    lines = "".join(f"{b64encode(digest)}\n" for digest in proof)
    return f"old {old}\n{lines}\n".encode() + format_note(own_signatures(signed))


def own_signatures(signed: SignedCheckpoint) -> Note:
    """Return the checkpoint with the log's own signatures alone: those of other witnesses are no witness's business."""
    origin = signed.checkpoint.origin
    return Note(signed.note.text, tuple(line for line in signed.note.signatures if line.name == origin))


def read_answer(
    witness: Witness, signed: SignedCheckpoint, old: int, answer: Answer, now: int
) -> Signature | KnownSize:
    """Judge the answer to a submission from size ``old``; return the verified cosignature, or the size to show.

    The errors say what is wrong and what to do; the caller names the witness.
    """
    if answer.status == 200:
        return _read_cosignature(witness, signed, answer.body, now)
    if answer.status == 409:
        return _read_known_size(signed, old, answer)
    raise _refusal(signed, old, answer)


def fresher(signed: SignedCheckpoint, lines: Sequence[Signature]) -> bytes:
    """Return the checkpoint with verified cosignatures added, each in the place of an older one by the same witness."""
    return format_note(merge_cosignatures(signed.note, lines))


def _read_cosignature(witness: Witness, signed: SignedCheckpoint, body: bytes, now: int) -> Signature:
    key = witness.key
    try:
        lines = parse_signature_lines(decode_text(body, MAX_ANSWER, "the answer"))
        by_key = {(line.name, line.key_id): line for line in lines}
        line = by_key.get((key.name, key.key_id))
        if line is None:
            names = ", ".join(f"{excerpt(line.name)} ({line.key_id.hex()})" for line in lines[:5])
            raise WitnessError(
                f"it cosigned as {names}, and the policy has {key.name} ({key.key_id.hex()}); if its operator has "
                "changed the key, get the new one from there and change the policy"
            )
        [cosignature] = verify_cosignatures(Note(signed.note.text, (line,)), [key])
    except FormatError as error:
        raise WitnessError(f"what it answered is no cosignature: {error}; tell its operator") from None
    except VerificationError as error:
        raise WitnessError(f"{error}; it was not used: tell its operator") from None
    if not now - MAX_BEHIND <= cosignature.time <= now + MAX_AHEAD:
        difference = cosignature.time - now
        raise WitnessError(
            f"its cosignature is of {abs(difference)} seconds {'after' if difference > 0 else 'before'} the time here; "
            "it was not used: one of the two clocks is wrong"
        )
    return line


def _read_known_size(signed: SignedCheckpoint, old: int, answer: Answer) -> KnownSize:
    head = signed.checkpoint
    try:
        size = _parse_size(answer)
    except EncodingError as error:
        if old == head.size:  # the specification has no body for a conflict of roots
            raise _another_root(head) from None
        raise WitnessError(
            f"it knows another size than {old}, and does not say which: {error}; tell its operator"
        ) from None
    if size > head.size:
        raise WitnessConflict(
            f"it has cosigned {size} entries of {head.origin}, and here are {head.size}: {_SUSPICION}"
        )
    if size == old == head.size:
        raise _another_root(head)
    if size == old:
        raise WitnessError(f"it refuses the size {old}, and says that this is the size it knows; tell its operator")
    return KnownSize(size)


def _parse_size(answer: Answer) -> int:
    if answer.content_type != _SIZE_TYPE:
        raise EncodingError(f"the content type is {excerpt(answer.content_type)}, not {_SIZE_TYPE}")
    text = decode_text(answer.body, _MAX_SIZE_LINE, "the answer")
    if not text.endswith("\n"):
        raise EncodingError("it does not end with a line feed")
    return parse_decimal(text[:-1])


def _another_root(head: Checkpoint) -> WitnessConflict:
    return WitnessConflict(
        f"it has cosigned {head.size} entries of {head.origin} with another root than this one: {_SUSPICION}"
    )


_SUSPICION = (
    "Somebody else signs with this log's key, or this log was set back to an earlier state; publish nothing more "
    "before you know which"
)


def _refusal(signed: SignedCheckpoint, old: int, answer: Answer) -> WitnessError:
    head = signed.checkpoint
    keys = ", ".join(line.key_id.hex() for line in own_signatures(signed).signatures)
    if answer.status == 422 and old == head.size:  # some say so to another root
        return _another_root(head)
    if answer.status == 422 and old > 0:
        # Our proof leads from the tree that we had at that size: its hashes were checked against the root.
        return WitnessConflict(
            f"what it has cosigned for {old} entries of {head.origin} is not the beginning of the {head.size} here: "
            f"{_SUSPICION}"
        )
    said = f" It says: {excerpt(answer.body[:300].decode('utf-8', errors='replace').strip(), 200)}" * bool(answer.body)
    if answer.status == 404:
        return WitnessError(
            f"it does not know the log {head.origin}, or nothing is at that address (HTTP 404): have its operator add "
            f"the log's vkey, or correct the address in the policy.{said}"
        )
    if answer.status == 403:
        return WitnessError(
            f"it trusts none of the keys that signed ({keys}) for {head.origin} (HTTP 403): give its operator the "
            f"log's vkey, as 'lumi keys show' prints it.{said}"
        )
    if answer.status in {400, 413, 415, 422}:
        return WitnessError(f"it does not understand the request (HTTP {answer.status}).{said}")
    if 300 <= answer.status < 400:
        return WitnessError(
            f"it sends requests elsewhere (HTTP {answer.status}), which is not followed: put the address where it "
            "really is into the policy"
        )
    return WitnessError(f"it is busy or in trouble (HTTP {answer.status}); submit again later.{said}")
