"""The object store protocol: five operations, one promise.

Everything durable goes through this interface, on a local disk as on S3. The promise that the crash safety of the
whole pipeline rests on is :meth:`ObjectStore.put_new`: of any number of writers that create one key with different
bytes, exactly one succeeds, and what it wrote survives a power failure once the call has returned.
"""

from collections.abc import Iterator
from typing import Protocol


class ObjectStore(Protocol):
    """Immutable objects under ``/``-separated keys (no leading ``/``, no empty, ``.`` or ``..`` component)."""

    def get(self, key: str) -> bytes:
        """Return the object's bytes; raise :class:`~transparency.errors.ObjectMissing` when there is none."""
        ...

    def put_new(self, key: str, data: bytes) -> None:
        """Create the object durably, atomically, only if absent.

        The same bytes already being there is success (a replay); other bytes raise
        :class:`~transparency.errors.ObjectConflict` and change nothing.
        """
        ...

    def put(self, key: str, data: bytes) -> None:
        """Create or replace the object durably and atomically. For what is no evidence, and the ``checkpoint``."""
        ...

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """Yield every key that starts with ``prefix`` and sorts after ``start_after``, in code point order."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; raise :class:`~transparency.errors.ObjectMissing` when there is none."""
        ...
