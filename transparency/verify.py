"""Offline verification: of a whole log, of one day in it, and of the files that a log has published.

The reader brings the policy (which keys, which witnesses) and a function that fetches the log's files; neither files
nor server are trusted. Nothing is used before it has been checked against the signed root. What does not verify is a
:class:`~transparency.errors.VerificationError`, malformed bytes included; what cannot be fetched is the error of who
fetches. docs/formats.md gives the rules and their order. The reasons:

``checkpoint-format``, ``checkpoint-origin``, ``checkpoint-signature``, ``witness-signature``, ``witness-quorum``,
``tile``, ``genesis-inclusion``, ``genesis``, ``genesis-origin``, ``genesis-key``, ``day-inclusion``, ``day-record``,
``day-origin``, ``day-index``, ``day-sealed``, ``log-key``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from transparency.checkpoint import Checkpoint, SignedCheckpoint, parse_signed_checkpoint
from transparency.entries import DayRecord, Genesis
from transparency.errors import FormatError, ObjectMissing, TileError, VerificationError
from transparency.history import check_genesis, check_record, read_history
from transparency.keys import VerifierKey
from transparency.merkle import leaf_hash, verify_inclusion
from transparency.policy import Policy, PolicyVerdict, evaluate
from transparency.rotation import Takeover
from transparency.store import ObjectStore
from transparency.tiles import TILE_HEIGHT, TILE_WIDTH, Tile, TileReader, encode_bundle, encode_hashes

Fetch = Callable[[str], bytes]
"""Returns the log's file at a path below its prefix (``checkpoint``, ``tile/0/000``) or raises ObjectMissing."""

Progress = Callable[[int, int], None]
"""Told how many entries are done, and of how many."""


@dataclass(frozen=True, slots=True)
class VerifiedGenesis:
    """A signed checkpoint, how it stands under the policy, and the genesis of the log that signed it."""

    checkpoint: Checkpoint
    policy: PolicyVerdict
    genesis: Genesis


@dataclass(frozen=True, slots=True)
class VerifiedDay:
    """A day record that is in the log where it must be, with all that was checked on the way to it."""

    checkpoint: Checkpoint
    policy: PolicyVerdict
    genesis: Genesis
    record: DayRecord


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """A log whose every published byte follows from its entries, and whose entries follow the rules.

    It says what the log has committed to, not that this is true: see entries.py for what is the operator's word, and
    the policy's verdict for whether others may have been shown another log.

    ``last_day`` is None for a log that has only its genesis. ``breaks`` is the sum over all days and ``broken_days``
    names those that declare any: they verify, and are a finding. ``takeovers`` and ``evidence_takeovers`` are the keys
    announced since the genesis, in order.
    """

    checkpoint: Checkpoint
    policy: PolicyVerdict
    genesis: Genesis
    last_day: date | None
    breaks: int
    broken_days: tuple[date, ...]
    takeovers: tuple[Takeover, ...]
    evidence_takeovers: tuple[Takeover, ...]

    @property
    def log_keys(self) -> tuple[VerifierKey, ...]:
        """The key of the genesis and those announced since, in order."""
        return (self.genesis.key, *(takeover.key for takeover in self.takeovers))

    @property
    def evidence_keys(self) -> tuple[VerifierKey, ...]:
        """The same of the evidence key."""
        return (self.genesis.evidence_key, *(takeover.key for takeover in self.evidence_takeovers))


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one published object."""

    key: str
    message: str


@dataclass(frozen=True, slots=True)
class FsckReport:
    """A log that verifies, the number of objects looked at, and what is wrong with any of them."""

    log: LogVerdict
    objects: int
    problems: tuple[Problem, ...]


def check_checkpoint(
    data: bytes, policy: Policy, *, require_quorum: bool = True
) -> tuple[SignedCheckpoint, PolicyVerdict]:
    """Read a signed checkpoint and verify it under a policy; with ``require_quorum`` false, as ``evaluate`` does."""
    try:
        signed = parse_signed_checkpoint(data)
    except FormatError as error:
        raise VerificationError("checkpoint-format", str(error)) from None
    return signed, evaluate(policy, signed, require_quorum=require_quorum)


def open_tree(fetch: Fetch, head: Checkpoint) -> TileReader:
    """Return a reader of a verified checkpoint's tree for which a missing file is a failure of the log.

    Otherwise it would do with the full tile in place of a partial one, and partial ones have to stay.
    """

    def fetch_present(path: str) -> bytes:
        try:
            return fetch(path)
        except ObjectMissing:
            raise VerificationError("tile", f"{path} is missing, and the checkpoint's size needs it") from None

    return TileReader(fetch_present, head.size, head.root)


def verify_day_inclusion(  # noqa: PLR0917 - the parts of a proof, in the order in which they are checked
    policy: Policy,
    checkpoint: bytes,
    genesis: bytes,
    genesis_path: Sequence[bytes],
    day_record: bytes,
    index: int,
    path: Sequence[bytes],
) -> VerifiedDay:
    """Check that a log of this policy commits to the day record, at the one index where it may be.

    This is the upper half of every proof file (docs/formats.md, "Proof files"): of one day only, so neither the days
    around it nor announcements of keys are looked at. ``checkpoint`` is the signed checkpoint; ``genesis`` and
    ``day_record`` are the entries' bytes with their inclusion paths in it. The genesis is needed because it fixes the
    first day. Its key must be one that the policy pins for the log: a reader follows the replacement of a key by
    pinning both.
    """
    start = verify_genesis(policy, checkpoint, genesis, genesis_path)
    return VerifiedDay(start.checkpoint, start.policy, start.genesis, verify_day_record(start, day_record, index, path))


def verify_genesis(policy: Policy, checkpoint: bytes, genesis: bytes, genesis_path: Sequence[bytes]) -> VerifiedGenesis:
    """Check that a log of this policy signed the checkpoint, and that the log begins with this genesis."""
    signed, verdict = check_checkpoint(checkpoint, policy)
    head = signed.checkpoint
    _verify_inclusion(genesis, 0, genesis_path, head, "genesis-inclusion")
    start = check_genesis(genesis, head.origin)
    if start.key not in policy.pinned_keys(head.origin):
        raise VerificationError(
            "genesis-key",
            f"the log began with the key {start.key.vkey}, which is not trusted; if the log has replaced its key, "
            "trust the old one as well, or verify the whole log, which follows the announcement",
        )
    return VerifiedGenesis(head, verdict, start)


def verify_day_record(start: VerifiedGenesis, day_record: bytes, index: int, path: Sequence[bytes]) -> DayRecord:
    """Check that the log whose beginning is verified has this day record at ``index``, and may have it there."""
    _verify_inclusion(day_record, index, path, start.checkpoint, "day-inclusion")
    return check_record(day_record, index, start.genesis)


def verify_log(
    fetch: Fetch,
    policy: Policy,
    progress: Progress | None = None,
    on_record: Callable[[DayRecord], None] | None = None,
) -> LogVerdict:
    """Check a whole log: its checkpoint, every tile and entry bundle of its tree, and every entry.

    Each file is compared with what its entries make of it: a tile or bundle is fully determined by its hashes, and
    those by the signed root. The partial files of the checkpoint's size must be there. Memory does not grow with the
    log, but for the days that declare breaks and the keys announced. ``on_record`` gets each day record once it is
    checked; the verdict on the whole comes with the return. A missing checkpoint raises ObjectMissing: then there is
    no log to judge.
    """
    signed, verdict = check_checkpoint(fetch("checkpoint"), policy)
    head = signed.checkpoint

    def reached(index: int) -> None:
        if progress is not None and index % TILE_WIDTH == 0:
            progress(index, head.size)

    history = read_history(open_tree(fetch, head), head.origin, reached, on_record)
    history.check_signers(verdict.log_keys)
    if progress is not None:
        progress(head.size, head.size)
    return LogVerdict(
        head,
        verdict,
        history.genesis,
        history.last.day if history.last is not None else None,
        history.breaks,
        tuple(history.broken_days),
        tuple(history.takeovers),
        tuple(history.evidence_takeovers),
    )


def fsck(store: ObjectStore, policy: Policy, prefix: str = "log/", progress: Progress | None = None) -> FsckReport:
    """Verify the log that ``store`` publishes under ``prefix``, then look at every object that is there.

    Beyond :func:`verify_log` this recomputes the partial tiles and bundles of earlier sizes, and reports objects that
    do not belong there and a ``log.vkey`` that is not of the log.
    """

    def fetch(path: str) -> bytes:
        return store.get(prefix + path)

    log = verify_log(fetch, policy, progress)
    published = _Published(log, TileReader(fetch, log.checkpoint.size, log.checkpoint.root))
    problems = []
    objects = 0
    vkey_seen = False
    for key in store.list(prefix):
        path = key.removeprefix(prefix)
        objects += 1
        vkey_seen = vkey_seen or path == "log.vkey"
        message = published.examine(path, fetch)
        if message is not None:
            problems.append(Problem(key, message))
    if not vkey_seen:
        problems.append(Problem(f"{prefix}log.vkey", "missing: readers find the log's key here, to compare it"))
    return FsckReport(log, objects, tuple(problems))


class _Published:
    """Says of any object under the public prefix whether it belongs there and is right."""

    def __init__(self, log: LogVerdict, reader: TileReader) -> None:
        self._size = log.checkpoint.size
        self._first_key = log.genesis.key
        self._reader = reader
        self._bundle_index = -1
        self._bundle: list[bytes] = []

    def examine(self, path: str, fetch: Fetch) -> str | None:
        """Return what is wrong with the object, or None."""
        if path in {"checkpoint", "index.html"}:  # the one is verified already, the other is no evidence
            return None
        if path == "log.vkey":
            right = fetch(path) == f"{self._first_key.vkey}\n".encode()
            return None if right else "not the first key of this log, which is what it has to be for ever"
        try:
            tile = Tile.parse(path)
        except TileError:
            return "does not belong to a log"
        if (tile.index * TILE_WIDTH + tile.width) << TILE_HEIGHT * (tile.level or 0) > self._size:
            return f"beyond the published {self._size} entries, as an interrupted publication leaves it; publish again"
        return None if fetch(path) == self._recompute(tile) else "not what the entries of the log make of it"

    def _recompute(self, tile: Tile) -> bytes:
        start = tile.index * TILE_WIDTH
        if tile.level is not None:
            level = TILE_HEIGHT * tile.level
            nodes = [(level, index) for index in range(start, start + tile.width)]
            return encode_hashes(self._reader.read_nodes(nodes))
        # Listings are sorted, so all widths of a bundle come together: it is read once.
        if self._bundle_index != tile.index:
            stop = min(start + TILE_WIDTH, self._size)
            self._bundle_index, self._bundle = tile.index, list(self._reader.read_entries(start, stop))
        return encode_bundle(self._bundle[: tile.width])


def _verify_inclusion(entry: bytes, index: int, path: Sequence[bytes], head: Checkpoint, reason: str) -> None:
    try:
        verify_inclusion(leaf_hash(entry), index, head.size, path, head.root)
    except VerificationError as error:
        message = f"not entry {index} of the {head.size} that {head.origin} commits to: {error}"
        raise VerificationError(reason, message) from None
