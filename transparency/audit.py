"""Checking a log's private journal against its public tree: the operator's side of ``lumi fsck``."""

from collections.abc import Iterator

from transparency.checkpoint import Checkpoint, parse_signed_checkpoint
from transparency.errors import LogError, ObjectMissing, StoreError, TransparencyError
from transparency.journal import Commit, Journal
from transparency.logview import PRIVATE_PREFIX, PUBLIC_PREFIX
from transparency.merkle import CompactRange, range_nodes
from transparency.policy import Policy, evaluate
from transparency.store import ObjectStore
from transparency.tiles import TileReader, new_tiles
from transparency.verify import Problem


def check_journal(
    store: ObjectStore,
    checkpoint: Checkpoint,
    policy: Policy,
    *,
    public_prefix: str = PUBLIC_PREFIX,
    private_prefix: str = PRIVATE_PREFIX,
) -> Iterator[Problem]:
    """Yield what is wrong with the commits and kept checkpoints of a log whose public ``checkpoint`` was verified.

    Every commit must lead from the one before to a size of the public tree, with the root the tree has at that size;
    for every commit there is a kept checkpoint that says the same, signed as the policy asks, and every tile of its
    size; so say those that were refreshed; and nothing else is there. An append that is committed but not published
    yet is a problem too: the next run completes it.
    """
    journal = Journal(store, private_prefix)
    tree = TileReader(lambda path: store.get(public_prefix + path), checkpoint.size, checkpoint.root)
    published = set(store.list(f"{public_prefix}tile/"))
    known = set()
    size = 0
    while size < checkpoint.size:
        key = journal.commit_key(size)
        try:
            commit = journal.commit_after(size)
            _check_commit(commit, checkpoint, tree)
            known |= {key, journal.cosigned_key(commit.new_size)}
            key = journal.cosigned_key(commit.new_size)
            _check_kept(journal.cosigned(commit.new_size), commit, checkpoint.origin, policy)
            for number in journal.refreshed(commit.new_size):
                key = journal.refreshed_key(commit.new_size, number)
                known.add(key)
                _check_kept(store.get(key), commit, checkpoint.origin, policy)
        except TransparencyError as error:
            if isinstance(error, StoreError) and not isinstance(error, ObjectMissing):
                raise  # it could not be read, which says nothing of what it holds
            yield Problem(key, str(error).removeprefix(f"{key}: "))
            return
        for tile in new_tiles(size, commit.new_size):
            if public_prefix + tile.path not in published:
                yield Problem(public_prefix + tile.path, f"is missing, although size {commit.new_size} was published")
        size = commit.new_size
    for folder in ("commits/", "cosigned/", "refreshed/", "staging/"):
        for key in store.list(private_prefix + folder):
            if key not in known:
                yield Problem(key, "belongs to no published append; if the next run does not clear it, move it away")


def _check_commit(commit: Commit, checkpoint: Checkpoint, tree: TileReader) -> None:
    if commit.new_size > checkpoint.size:
        raise LogError("leads past the public checkpoint: the append was not published yet; the next run completes it")
    hashes = tree.read_nodes(range_nodes(0, commit.new_size))
    if CompactRange.from_hashes(0, commit.new_size, hashes).root() != commit.new_root:
        raise LogError(f"was altered: its root is not the tree's at size {commit.new_size}")


def _check_kept(kept: bytes | None, commit: Commit, origin: str, policy: Policy) -> None:
    if kept is None:
        raise LogError("is missing, although this size was published; restore it from a backup")
    signed = parse_signed_checkpoint(kept)
    if signed.checkpoint != Checkpoint(origin, commit.new_size, commit.new_root):
        raise LogError("was altered: it is not the checkpoint of the size and root that were committed")
    evaluate(policy, signed, require_quorum=False)
