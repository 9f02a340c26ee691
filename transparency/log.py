"""Appending to a log and publishing it, so that a crash at any moment leaves nothing that the next run cannot finish.

The order of the steps is the safety::

    1. recover    complete an append that another run committed and did not finish
    2. stage      keep the new entries under a name made of the old size and the new root
    3. commit     create commits/<old size>, which only one run can: from here on the append is part of the log
    4. sign       the new root, shown to be an extension of the root committed before
    5. tiles      publish entry bundles and tiles; nobody looks at them before a checkpoint names their size
    6. cosign     collect witnesses' signatures, keep the checkpoint for ever as cosigned/<size>
    7. publish    replace the public checkpoint with the highest one kept
    8. clear      remove what was staged: the append is finished

Whoever finds a commit whose entries are still staged repeats 4 to 8. All of it is deterministic (Ed25519 too), and
what is not, the witnesses' times, is decided by the first who keeps it; so any number of runs, one after the other or
at the same time, produce the same bytes. A root is signed only if it was committed, and a size is committed only
once: **never are two roots signed for one size**.
"""

from collections.abc import Callable, Sequence

from transparency.checkpoint import Checkpoint, parse_signed_checkpoint, sign_checkpoint, verify_checkpoint
from transparency.cosignature import merge_cosignatures
from transparency.errors import ConcurrentAppend, LogError, LumiError, ObjectConflict, VerificationError
from transparency.growth import Growth, grow
from transparency.journal import Commit, Kept
from transparency.keys import SigningKey
from transparency.logview import PRIVATE_PREFIX, PUBLIC_PREFIX, LogState, LogView
from transparency.merkle import EMPTY_ROOT
from transparency.note import format_note, parse_note
from transparency.signers import SameSigners, Signers
from transparency.store import ObjectStore
from transparency.tiles import MAX_ENTRY_SIZE

Cosign = Callable[[bytes], bytes]
"""Gets a signed checkpoint and returns it with witnesses' signature lines added, or as it is."""


class Log(LogView):
    """A log that can be appended to. It knows nothing of what its entries mean: they are bytes.

    ``signers`` are the secret keys of the log, all with its origin as their name: those that sign every checkpoint, or
    what says for each size who signs. ``cosign`` is called for each new checkpoint once its tiles are public; whatever
    it raises is passed on and leaves the append committed, for the next run to complete, unless another run has
    completed it meanwhile.
    """

    def __init__(
        self,
        store: ObjectStore,
        signers: Sequence[SigningKey] | Signers,
        *,
        cosign: Cosign | None = None,
        public_prefix: str = PUBLIC_PREFIX,
        private_prefix: str = PRIVATE_PREFIX,
    ) -> None:
        """Use the log in ``store``, an empty one if there is nothing; nothing is read or written yet."""
        super().__init__(store, public_prefix=public_prefix, private_prefix=private_prefix)
        self._signers = SameSigners(tuple(signers)) if isinstance(signers, Sequence) else signers
        self._origin = self._signers.origin
        self._cosign = cosign

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self._origin

    def append(self, entries: Sequence[bytes], *, old_size: int | None = None) -> LogState:
        """Append entries, of at most 65,535 bytes each, as one commit with one checkpoint, and publish it.

        First completes what another run left unfinished. When it returns, the entries are public for good.
        ``old_size`` is the size of the log that the entries were made for, where that matters: if the log turns out
        to have another size, perhaps because these very entries were committed before a crash, nothing is appended.

        Raises :class:`ConcurrentAppend` when another run was first or the size is not ``old_size`` (nothing of ours
        was signed), :class:`LogError` when the log or its key is not as it should be, and what the store or ``cosign``
        raise; after such an error the entries may have been committed: see :meth:`recover` before trying again.
        """
        _check_entries(entries)
        last = self._complete_last_commit()
        size, root = (0, EMPTY_ROOT) if last is None else (last.new_size, last.new_root)
        if old_size not in {None, size}:
            raise ConcurrentAppend(
                f"the entries were made for a log of {old_size} entries, but it has {size}; nothing of them was signed "
                "or published; look at the log's state and run again"
            )
        if entries:
            self._signers.keys(size + len(entries))  # a key that is missing is missed before anything is written
            self._check_signers(size, root)
            self._commit(grow(self.tiles(size, root), entries), entries)
        return self.state()

    def recover(self) -> LogState:
        """Complete what another run committed and did not finish, if anything, and return the state."""
        self._complete_last_commit()
        return self.state()

    def refresh(self) -> bytes:
        """Ask the witnesses once more about the newest checkpoint, and publish it with what they answer.

        First completes what another run left unfinished. Returns the checkpoint as it was kept last. What was kept
        first for this size stays as it is: it says since when the checkpoint was cosigned.

        Raises :class:`ConcurrentAppend` when the log grew meanwhile, :class:`LogError` when it has no checkpoint yet,
        and what ``cosign`` raises.
        """
        last = self._complete_last_commit()
        kept = self._journal.newest_kept()
        if kept is None or self._cosign is None:
            raise LogError("there is no checkpoint yet, or no witness to show it to")
        try:
            cosigned = self._checked_cosigned(kept.checkpoint, self._cosign(kept.checkpoint))
        except LumiError:
            if self._journal.last_commit() == last:
                raise
            raise ConcurrentAppend("another run extended the log meanwhile; nothing is lost: run again") from None
        cosigned = self._keep_refreshed(kept, cosigned)
        self._publish()
        return cosigned

    def _keep_refreshed(self, kept: Kept, cosigned: bytes) -> bytes:
        """Keep a checkpoint that has fresher cosignatures than ``kept``; return the one that is kept last."""
        while cosigned != kept.checkpoint:
            fresh = Kept(kept.size, kept.number + 1, cosigned)
            try:
                # A crash before this loses the answers, and witnesses are asked again; after it, the next publishing
                # makes them public.
                self._journal.keep_refreshed(fresh)
            except ObjectConflict:  # another run refreshed it at the same time; ours goes on top
                kept = Kept(
                    kept.size, fresh.number, self._store.get(self._journal.refreshed_key(kept.size, fresh.number))
                )
                lines = [line for line in parse_note(cosigned).signatures if line.name != self._origin]
                cosigned = format_note(merge_cosignatures(parse_note(kept.checkpoint), lines))
            else:
                return cosigned
        return cosigned

    def _complete_last_commit(self) -> Commit | None:
        """Step 1: make sure that the last commit is finished; return it."""
        # What is public is read before the commits, which can only be more by then: no false alarm from other runs.
        signed_size = max(self._published_size(), self._journal.newest_cosigned())
        last = self._journal.last_commit()
        if signed_size > (0 if last is None else last.new_size):
            raise LogError(
                f"a checkpoint of {signed_size} entries was signed, but the log's commits end before; restore them "
                "from a backup (nothing is signed meanwhile, because it could contradict that checkpoint)"
            )
        if last is None:
            return None
        entries = self._journal.staged(last)
        if entries is None:  # it is finished; at worst a slow run put an older checkpoint over the public one
            self._check_signers(last.new_size, last.new_root)
            self._publish()
            return last
        root = self._journal.root_at(last.old_size)
        self._check_signers(last.old_size, root)
        growth = grow(self.tiles(last.old_size, root), entries)
        if (growth.new_size, growth.new_root) != (last.new_size, last.new_root):
            raise LogError(f"{last.staging} does not hold the entries that were committed; restore it from a backup")
        self._finish(last, growth)
        return last

    def _commit(self, growth: Growth, entries: Sequence[bytes]) -> None:
        """Do steps 2 to 8 for new entries."""
        commit = Commit(growth.old_size, growth.new_size, growth.new_root)
        # 2. A crash after this leaves entries that nobody committed to: cleared when this size has a successor.
        self._journal.stage(commit, entries)
        # 3. A crash after this leaves an append that is decided, and everything needed to finish it.
        try:
            self._journal.commit(commit)
        except ConcurrentAppend:
            self._journal.unstage(commit)  # ours alone: the same entries would have made the same commit
            raise
        self._finish(commit, growth)

    def _finish(self, commit: Commit, growth: Growth) -> None:
        """Do steps 4 to 8, as the run that made the commit or one that found it; repeating them changes nothing.

        ``growth`` was checked by who made it: its new root extends the old one (grow), and is the commit's.
        """
        # 4. The signature is only in memory yet. What was signed before a crash is signed again, with the same bytes.
        checkpoint = Checkpoint(self._origin, commit.new_size, commit.new_root)
        kept = self._journal.cosigned(commit.new_size)
        if kept is None:
            signed = sign_checkpoint(checkpoint, self._signers.keys(checkpoint.size))
        else:
            signed = self._checked_kept(checkpoint, kept)
        # 5. A crash in between leaves some tiles of a size that no checkpoint names yet.
        for path, data in growth.files.items():
            self._store.put_new(self._public + path, data)
        # 6. A crash before this has at worst troubled witnesses for a checkpoint that they will be asked about again;
        # a crash after it leaves the checkpoint as it will be published.
        if kept is None:
            cosigned = self._cosigned(checkpoint, signed)
            self._checked_kept(checkpoint, self._journal.keep_cosigned(commit.new_size, cosigned))
        # 7. A crash before this leaves everything public but the checkpoint; see there for one during it.
        self._publish()
        # 8. A crash before this makes the next run repeat steps 4 to 7 for nothing.
        self._journal.clear_staging(commit.old_size)

    def _cosigned(self, checkpoint: Checkpoint, signed: bytes) -> bytes:
        """Return the new checkpoint with the witnesses' signatures, or as another run has kept it meanwhile.

        That run may have gone on to larger sizes, and witnesses then refuse this one, rightly.
        """
        if self._cosign is None:
            return signed
        try:
            return self._checked_cosigned(signed, self._cosign(signed))
        except LumiError:
            kept = self._journal.cosigned(checkpoint.size)
            if kept is None:
                raise
            return kept

    def _publish(self) -> None:
        """Step 7: make the public checkpoint the newest one that is kept.

        The store has no compare-and-swap, so a slow run may put its checkpoint over a newer one. Having written, it
        looks again and puts the newer one back. A crash between the two leaves the older checkpoint public, true but
        late; the next run puts the newer one back.
        """
        published = None
        while (newest := self._journal.newest_kept()) not in {None, published}:
            published = newest
            if newest is not None and newest.checkpoint != self.checkpoint():
                self._store.put(self._checkpoint_key, newest.checkpoint)

    def _check_signers(self, size: int, root: bytes) -> None:
        """Refuse to go on from a tree that our keys did not sign, before anything is committed with them.

        For the empty tree, log.vkey (for readers to compare) is what claims the log for the first key.
        """
        if size == 0:
            key, vkey = f"{self._public}log.vkey", self._signers.verifiers(0)[0].vkey
            try:
                # A crash after this leaves a log without entries that belongs to this key.
                self._store.put_new(key, f"{vkey}\n".encode())
            except ObjectConflict:
                raise LogError(f"{key} shows that this log was begun with another key than {vkey}; use that") from None
            return
        key = self._journal.cosigned_key(size)
        kept = self._journal.cosigned(size)
        if kept is None:
            raise LogError(f"{key} is missing, though this size was committed and nothing is staged for it; restore it")
        signed = parse_signed_checkpoint(self._checked_kept(Checkpoint(self._origin, size, root), kept))
        try:
            verify_checkpoint(signed, self._signers.verifiers(size))
        except VerificationError as error:
            raise LogError(
                f"the configured key did not sign the last checkpoint of this log ({key}): {error}; use the log's own "
                "key, and both while it is being replaced"
            ) from None

    def _checked_kept(self, checkpoint: Checkpoint, kept: bytes) -> bytes:
        """Return a signed checkpoint that was kept, having checked that it says exactly this."""
        if parse_signed_checkpoint(kept).checkpoint != checkpoint:
            raise LogError(
                f"{self._journal.cosigned_key(checkpoint.size)} is not a checkpoint of {checkpoint.origin} with the "
                "root that was committed for this size; nothing was signed; find out who wrote it"
            )
        return kept

    def _checked_cosigned(self, signed: bytes, cosigned: bytes) -> bytes:
        """Return what cosigning gave, having checked that it only added signature lines, or replaced witnesses'."""
        before, after = parse_signed_checkpoint(signed).note, parse_signed_checkpoint(cosigned).note
        signers = {(line.name, line.key_id) for line in after.signatures}
        own = {line for line in before.signatures if line.name == self._origin}
        complete = all((line.name, line.key_id) in signers for line in before.signatures)
        if after.text != before.text or not complete or not own <= set(after.signatures):
            raise LogError("cosigning returned another checkpoint than it was given; it was not published")
        return cosigned


def _check_entries(entries: Sequence[bytes]) -> None:
    for number, entry in enumerate(entries):
        if len(entry) > MAX_ENTRY_SIZE:
            raise LogError(f"entry {number} of the append has {len(entry)} bytes; a log entry has {MAX_ENTRY_SIZE}")
