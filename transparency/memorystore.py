"""An object store in memory, with the semantics of the real ones: for tests and dry runs."""

from collections.abc import Iterator
from threading import Lock

from transparency.errors import ObjectConflict, ObjectMissing
from transparency.objectkeys import check_key


class MemoryStore:
    """Objects in a dictionary; safe to use from several threads. See :class:`transparency.store.ObjectStore`."""

    __slots__ = ("_lock", "_objects")

    def __init__(self) -> None:
        """Start empty."""
        self._objects: dict[str, bytes] = {}
        self._lock = Lock()

    def get(self, key: str) -> bytes:
        """Return the object's bytes, or raise :class:`ObjectMissing`."""
        check_key(key)
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectMissing(f"{key}: there is no such object") from None

    def put_new(self, key: str, data: bytes) -> None:
        """Create the object; the same bytes being there is success, other bytes raise :class:`ObjectConflict`."""
        check_key(key)
        with self._lock:
            if self._objects.setdefault(key, data) != data:
                raise ObjectConflict(f"{key}: already holds other bytes; nothing was written")

    def put(self, key: str, data: bytes) -> None:
        """Create or replace the object."""
        check_key(key)
        with self._lock:
            self._objects[key] = data

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """Yield the keys with this prefix after ``start_after``, in code point order, as they are at the call."""
        with self._lock:
            keys = sorted(key for key in self._objects if key.startswith(prefix) and key > start_after)
        return iter(keys)

    def delete(self, key: str) -> None:
        """Remove the object, or raise :class:`ObjectMissing`."""
        check_key(key)
        with self._lock:
            if self._objects.pop(key, None) is None:
                raise ObjectMissing(f"{key}: there is no such object")
