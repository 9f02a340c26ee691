"""Following a log: what it added since one looked last, and whether that is all it did.

A reader who comes back keeps one small value, :class:`Followed`. With it the next look costs what is new, and two
things can be found out that no single look shows: that the log has shown two histories (a *split view*), and that it
has become shorter. Both are told by a :class:`Contradiction`, which carries the two signed checkpoints: nobody but the
log's key can have made them, so whoever holds both holds the proof.

Reading goes through ``fetch`` and trusts nothing, as in verify.py; the rules for the new entries are those of a whole
log. Nothing here keeps anything: the caller stores what :func:`follow` returns once it has told whoever has to know.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from transparency.checkpoint import Checkpoint, SignedCheckpoint, parse_signed_checkpoint
from transparency.encoding import Json, b64encode, canonical_json, excerpt, parse_canonical_json, parse_day
from transparency.entries import DayRecord, Genesis
from transparency.errors import EncodingError, FormatError, StoreError, TileError, VerificationError
from transparency.history import History, check_genesis, check_record, read_entries
from transparency.keys import VerifierKey
from transparency.merkle import consistency_proof, verify_consistency
from transparency.note import MAX_NOTE_SIZE
from transparency.policy import Policy, PolicyVerdict
from transparency.rotation import Takeover
from transparency.tiles import MAX_ENTRY_SIZE, TILE_WIDTH, TileReader
from transparency.verify import Fetch, Progress, check_checkpoint, open_tree

_FORMAT = "lumi/followed/v2"
_MAX_STATE = 8 * (MAX_NOTE_SIZE + 2 * MAX_ENTRY_SIZE)
"""More than JSON makes of a note and two entries, with room for keys."""


class Contradiction(VerificationError):
    """The log contradicts the signed checkpoint that was seen before. Both are kept, byte for byte.

    The reasons: ``split-view``, no log that only grows signs both; ``rollback``, it is shorter now, be that an old copy
    or an attempt to take records back.

    ``path`` is there for a split view at two sizes. As a consistency proof it leads to the root of the larger tree, and
    for the smaller one to another root than was signed: so the two checkpoints and the path convince anybody.
    """

    def __init__(self, reason: str, message: str, before: bytes, shown: bytes, path: Sequence[bytes] = ()) -> None:
        super().__init__(reason, message)
        self.before = before
        self.shown = shown
        self.path = tuple(path)

    def __reduce__(self) -> tuple[type["Contradiction"], tuple[object, ...]]:
        """Pickle with all arguments."""
        return type(self), (self.reason, str(self), self.before, self.shown, self.path)


@dataclass(frozen=True, slots=True)
class Followed:
    """How far a reader has followed a log, and what it takes to go on from there.

    ``checkpoint`` is signed and was verified, ``genesis`` and ``last_record`` (None for a log of its genesis alone) are
    entries of its tree, ``takeovers`` the log keys that its records announced, in order, with the days.
    """

    checkpoint: bytes
    genesis: bytes
    last_record: bytes | None
    takeovers: tuple[Takeover, ...] = ()

    @property
    def announced(self) -> tuple[VerifierKey, ...]:
        """The log keys that its records announced, in order."""
        return tuple(takeover.key for takeover in self.takeovers)

    @property
    def head(self) -> Checkpoint:
        """What the checkpoint says."""
        return parse_signed_checkpoint(self.checkpoint).checkpoint

    def history(self) -> History:
        """The history that the next entry has to follow."""
        genesis = Genesis.parse(self.genesis)
        last = None if self.last_record is None else DayRecord.parse(self.last_record)
        return History.resumed(genesis, last, self.takeovers)

    def encode(self) -> bytes:
        """Write it as :meth:`parse` reads it: canonical JSON and a line feed."""
        takeovers: list[Json] = [_takeover_json(takeover) for takeover in self.takeovers]
        value: dict[str, Json] = {
            "checkpoint": self.checkpoint.decode(),
            "format": _FORMAT,
            "genesis": self.genesis.decode(),
            "last_record": None if self.last_record is None else self.last_record.decode(),
            "takeovers": takeovers,
        }
        return f"{canonical_json(value)}\n".encode()

    @classmethod
    def parse(cls, data: bytes) -> "Followed":
        """Read it; raise a FormatError, or VerificationError where its parts don't belong together."""
        if not data.endswith(b"\n"):
            raise EncodingError("it does not end with a line feed; it was cut off or altered")
        match parse_canonical_json(data[:-1], _MAX_STATE):
            case {
                "checkpoint": str(checkpoint),
                "format": str(name),
                "genesis": str(genesis),
                "last_record": str() | None as last,
                "takeovers": list(takeovers),
                **rest,
            } if name == _FORMAT and not rest:
                followed = cls(
                    checkpoint.encode(),
                    genesis.encode(),
                    None if last is None else last.encode(),
                    tuple(map(_parse_takeover, takeovers)),
                )
                _check_parts(followed)
                return followed
        raise EncodingError(f"it is not in the form {_FORMAT}")


@dataclass(frozen=True, slots=True)
class Step:
    """What one look at a log found: nothing contradicts what was seen before, and every new entry follows the rules.

    ``records`` are the new day records. ``policy`` says who signed and cosigned; whether the quorum was met is for the
    caller to judge, because a log may publish while a witness is away.
    """

    before: Followed | None
    followed: Followed
    policy: PolicyVerdict
    history: History
    records: tuple[DayRecord, ...]


def follow(fetch: Fetch, policy: Policy, before: Followed | None, progress: Progress | None = None) -> Step:
    """Look at a log again, or for the first time (``before`` None), when all of it is read.

    Raises :class:`Contradiction`, VerificationError with a reason of ``verify_log``, FormatError, and what ``fetch``
    raises; then nothing of the new state is to be kept.
    """
    data = fetch("checkpoint")
    signed, verdict = check_checkpoint(data, policy, require_quorum=False)
    head = signed.checkpoint
    tree = open_tree(fetch, head)
    if before is not None:
        _compare(before, signed, tree, fetch)
    elif head.size == 0:
        raise VerificationError("genesis", f"the log {head.origin} is empty: it has no genesis")
    records, followed, history = _read_on(before, signed, tree, progress)
    history.check_signers(verdict.log_keys)
    return Step(before, followed, verdict, history, records)


def last_due_day(now: datetime, due: timedelta) -> date:
    """The newest day whose record should be public by ``now``: ``due`` after the midnight that ends it."""
    return (now - due).date() - timedelta(days=1)


def overdue_days(history: History, now: datetime, due: timedelta) -> tuple[date, date] | None:
    """The first and the last day without a record that should have one by now, or None."""
    first = history.genesis.first_day if history.last is None else history.last.day + timedelta(days=1)
    last = last_due_day(now, due)
    return (first, last) if first <= last else None


def _takeover_json(takeover: Takeover) -> Json:
    begun = None if takeover.begun is None else takeover.begun.isoformat()
    return {"announced": takeover.announced.isoformat(), "begun": begun, "key": takeover.key.vkey}


def _parse_takeover(value: Json) -> Takeover:
    match value:
        case {"announced": str(announced), "begun": str() | None as begun, "key": str(vkey), **rest} if not rest:
            began = None if begun is None else parse_day(begun)
            return Takeover(VerifierKey.parse(vkey), parse_day(announced), began)
    raise EncodingError("it names a key that was announced in another form")


def _check_parts(followed: Followed) -> None:
    """Check that the parts of a stored state can be of one log."""
    head = followed.head
    genesis = check_genesis(followed.genesis, head.origin)
    if (head.size == 1) != (followed.last_record is None) or head.size < 1:
        raise EncodingError(f"it has the checkpoint of {head.size} entries, and not their last record")
    announces = None
    if followed.last_record is not None:
        announces = check_record(followed.last_record, head.size - 1, genesis).next_key
    days = [takeover.announced for takeover in followed.takeovers]
    waiting = [takeover.key for takeover in followed.takeovers if takeover.begun is None]
    if days != sorted(set(days)) or waiting != ([] if announces is None else [announces]):
        raise EncodingError("the keys in it are not those that records up to its last one can have announced")


def _compare(before: Followed, signed: SignedCheckpoint, tree: TileReader, fetch: Fetch) -> None:
    """Raise Contradiction unless the checkpoint's tree begins with the tree seen before, or is that tree."""
    was, head = before.head, signed.checkpoint
    if head.origin != was.origin:
        raise VerificationError(
            "checkpoint-origin", f"this address served the log {excerpt(was.origin)}, and now {excerpt(head.origin)}"
        )
    if head.size < was.size:
        raise _shorter(before, signed, fetch)
    try:
        path = consistency_proof(tree, was.size, head.size)
    except TileError as error:
        raise VerificationError("tile", str(error)) from None
    try:
        verify_consistency(was.size, head.size, was.root, head.root, path)
    except VerificationError:  # the path comes from files that the new root vouches for, so it is the old one's fault
        raise _split_view(before, signed, path) from None


def _shorter(before: Followed, signed: SignedCheckpoint, fetch: Fetch) -> Contradiction:
    """Say what it means that the log is shorter: the files of the longer tree, if they are still there, may tell."""
    was, head = before.head, signed.checkpoint
    try:
        path = consistency_proof(TileReader(fetch, was.size, was.root), head.size, was.size)
    except (VerificationError, FormatError, StoreError):
        known = "whether it is another history can't be told, because the longer tree's files can't be read any more"
    else:
        known = "it is an older state of the same history: an old copy, or records were taken back"
        try:
            if head.size:  # from an empty tree there is nothing to prove
                verify_consistency(head.size, was.size, head.root, was.root, path)
        except VerificationError:
            return _split_view(before, signed, path)
    message = f"{head.origin} has {head.size} entries and had {was.size} before; {known}"
    return Contradiction("rollback", message, before.checkpoint, signed.data)


def _split_view(before: Followed, signed: SignedCheckpoint, path: Sequence[bytes]) -> Contradiction:
    was, head = before.head, signed.checkpoint
    return Contradiction(
        "split-view",
        f"{head.origin} has signed two histories: it showed {was.size} entries with the root {b64encode(was.root)} "
        f"before, and {head.size} with the root {b64encode(head.root)} now; neither is the beginning of the other",
        before.checkpoint,
        signed.data,
        path,
    )


def _read_on(
    before: Followed | None, signed: SignedCheckpoint, tree: TileReader, progress: Progress | None
) -> tuple[tuple[DayRecord, ...], Followed, History]:
    """Read the entries that are new, and check the rules for each."""
    head = signed.checkpoint
    start = 0 if before is None else before.head.size
    entries = read_entries(tree, start)
    if before is None:
        genesis = next(entries)
        history, start = History(check_genesis(genesis, head.origin)), 1
        last = None
    else:
        genesis, history, last = before.genesis, before.history(), before.last_record
    records = []
    for index, last in enumerate(entries, start=start):
        record = check_record(last, index, history.genesis)
        history.add(record)
        records.append(record)
        if progress is not None and index % TILE_WIDTH == 0:
            progress(index, head.size)
    return tuple(records), Followed(signed.data, genesis, last, tuple(history.takeovers)), history
