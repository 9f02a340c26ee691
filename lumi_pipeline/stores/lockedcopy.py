"""A working store whose sealed days and log are also kept in another one, under retention: the locked copy.

Object Lock needs a versioned bucket, and there some S3 services ignore the condition of a create-only put (measured
with Ceph 16's gateway), which every commit rests on. So the working store stays a plain bucket: everybody reads it, and
all decisions fall in it. What they decided is then written a second time, where nobody can delete it.

- An object is created in the working store first: only what was decided there is copied. A crash between the two
  leaves an object without its copy.
- The public checkpoint is the one object that is replaced, and publishing it is the last thing a run does for
  everybody. So :meth:`LockedCopyStore.put` catches up first, by comparing two listings and copying what is missing,
  then writes the checkpoint to the copy, and only then to the working store. **Whatever a public checkpoint commits to
  is in the copy**, whoever crashed where; a copy that is set up later holds all history with the next publishing.
- Each checkpoint becomes a version of its own in the copy. It may hold one that was not public yet: it was committed
  and signed, and the run that comes next publishes it.
- Deleting goes to the working store alone. What is superfluous there stays in the copy until its retention ends.

A copy is never replaced by other bytes. Where it holds others than the working store, one of the two was altered; that
is an error when the object is written, and for ``lumi verify`` to tell when it was before.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from lumi_pipeline.stores.objectlock import LOCKED_PREFIXES
from lumi_pipeline.stores.purging import kept_by, purge
from transparency.errors import ObjectConflict, ObjectMissing
from transparency.store import ObjectStore


@dataclass(frozen=True, slots=True)
class LockedCopyStore:
    """``working``, with a second copy of what lies under ``prefixes`` in ``copy``. See the module for the order."""

    working: ObjectStore
    copy: ObjectStore
    prefixes: tuple[str, ...] = LOCKED_PREFIXES

    def get(self, key: str) -> bytes:
        """Return the working store's object."""
        return self.working.get(key)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """Yield the working store's keys."""
        return self.working.list(prefix, start_after=start_after)

    def put_new(self, key: str, data: bytes) -> None:
        """Create the object in the working store, then in the copy."""
        self.working.put_new(key, data)
        # A crash here leaves an object without its copy, which the next publishing makes.
        if key.startswith(self.prefixes):
            self._keep(key, data)

    def put(self, key: str, data: bytes) -> None:
        """Make the copy complete, then replace the object in the copy, then in the working store."""
        if key.startswith(self.prefixes):
            self.catch_up(replaced=key)
            self.copy.put(key, data)
            # A crash here leaves the copy one checkpoint ahead of what is public, until the next run publishes it.
        self.working.put(key, data)

    def delete(self, key: str) -> None:
        """Remove the object from the working store; its copy stays."""
        self.working.delete(key)

    def purge(self, key: str) -> None:
        """Remove the object for good, from the copy first: what is there no more is not copied again."""
        if key.startswith(self.prefixes):
            purge(self.copy, key)
            # A crash here leaves the object in the working store alone, where it is found and removed again.
        purge(self.working, key)

    def kept_by(self, key: str) -> str | None:
        """What keeps everybody from removing the object, in either store."""
        kept = kept_by(self.working, key)
        return kept_by(self.copy, key) if kept is None and key.startswith(self.prefixes) else kept

    def catch_up(self, replaced: str = "") -> int:
        """Copy what is missing in the copy, all but the key that is about to be ``replaced``; return how many."""
        copied = 0
        for prefix in self.prefixes:
            kept = set(self.copy.list(prefix))
            for key in self.working.list(prefix):
                if key not in kept and key != replaced:
                    with suppress(ObjectMissing):  # superfluous, and cleared away by another run just now
                        self._keep(key, self.working.get(key))
                        copied += 1
        return copied

    def _keep(self, key: str, data: bytes) -> None:
        """Create the copy of an object, unless it is there: asked first, as the condition may not be honoured here.

        Two runs that both find it missing leave two versions of the same bytes.
        """
        try:
            kept = self.copy.get(key)
        except ObjectMissing:
            self.copy.put_new(key, data)
            return
        if kept != data:
            raise ObjectConflict(
                f"{key}: the locked copy in {self.copy} holds other bytes; find out which were altered"
            )
