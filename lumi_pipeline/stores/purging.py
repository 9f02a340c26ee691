"""Removing an object for good, with everything that a store keeps of it besides; and whether that is possible yet."""

from contextlib import suppress
from typing import Protocol, runtime_checkable

from transparency.errors import ObjectMissing
from transparency.store import ObjectStore


@runtime_checkable
class KeepsVersions(Protocol):
    """A store in which deleting an object may leave it behind: older versions, copies, what is under retention."""

    def purge(self, key: str) -> None:
        """Remove the object and all that is kept of it; one that is not there is no error."""
        ...

    def kept_by(self, key: str) -> str | None:
        """What keeps everybody from removing the object, and until when, in words; None when it can be removed."""
        ...


def purge(store: ObjectStore, key: str) -> None:
    """Remove an object for good; one that is gone already is no error. A crash in between leaves some of it."""
    if isinstance(store, KeepsVersions):
        store.purge(key)
        return
    if key in store.list(key):
        with suppress(ObjectMissing):  # another run removes the same
            store.delete(key)


def kept_by(store: ObjectStore, key: str) -> str | None:
    """What keeps everybody from removing an object, and until when, in words; None when it can be removed."""
    try:
        return store.kept_by(key) if isinstance(store, KeepsVersions) else None
    except ObjectMissing:
        return None
