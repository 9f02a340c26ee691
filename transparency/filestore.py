"""An object store on a local file system: every object is a file, every write survives a power failure.

A write goes to a temporary file first, which is flushed to disk and then given its real name in one step: by
``link`` where the name must be new (it fails when the name is taken, whoever else is trying), by ``rename`` where an
object is replaced. So a reader sees a whole object or none, and a crash leaves at worst a temporary file, which lies
in a directory of its own, outside every listing and outside what a web server publishes, until it is swept.

All of a store must lie on one file system, because neither ``link`` nor ``rename`` crosses into another.
"""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from transparency.errors import ObjectConflict, ObjectMissing, StoreError
from transparency.objectkeys import check_key, is_key

TEMPORARY = ".tmp"
"""First component of no key: the directory of temporary files, directly under the root."""

STALE_AFTER = timedelta(days=1)
"""How old a temporary file must be before it counts as left behind. No write takes that long."""


class FileStore:
    """Objects as files under ``root``, which is made when first written to. See :class:`~.store.ObjectStore`.

    New files get the permissions that the process's umask gives them. A file system cannot hold both an object ``a``
    and objects under ``a/``; the second of the two is refused. Everything the operating system refuses (permissions,
    a full disk, …) is raised as :class:`StoreError` with the key and the reason.
    """

    __slots__ = ("_durable", "_root", "_temporaries")

    def __init__(self, root: Path) -> None:
        """Use the directory ``root``; nothing is touched yet."""
        self._root = root.absolute()
        self._temporaries = self._root / TEMPORARY
        self._durable: set[Path] = set()  # directories that this object has made, or found, and synced

    def __repr__(self) -> str:
        """Show where the objects are."""
        return f"FileStore({str(self._root)!r})"

    def path(self, key: str) -> Path:
        """Return the file of an object, for readers that want a path; it need not exist."""
        check_key(key)
        if key.split("/", 1)[0] == TEMPORARY:
            raise StoreError(f"{key}: {TEMPORARY}/ is kept for temporary files")
        return self._root / key

    def get(self, key: str) -> bytes:
        """Return the object's bytes, or raise :class:`ObjectMissing`."""
        path = self.path(key)
        with self._explain("read", key):
            return path.read_bytes()

    def put_new(self, key: str, data: bytes) -> None:
        """Create the object durably; the same bytes being there is success, others raise :class:`ObjectConflict`."""
        path = self.path(key)
        with self._explain("create", key):
            if path.exists():
                self._confirm(key, path, data)
                return
            with self._temporary_file(data) as temporary:
                self._make_directory(path.parent)
                try:
                    path.hardlink_to(temporary)
                except FileExistsError:
                    self._confirm(key, path, data)
                    return
                # A crash here: the object is there, but a power failure may yet take its name away. Nobody has been
                # told that it exists, and a replay (_confirm) makes it last.
                _sync_directory(path.parent)

    def put(self, key: str, data: bytes) -> None:
        """Create or replace the object durably."""
        path = self.path(key)
        with self._explain("replace", key), self._temporary_file(data) as temporary:
            self._make_directory(path.parent)
            temporary.replace(path)
            # A crash here: readers see the new object, and after a power failure either the old or the new one.
            _sync_directory(path.parent)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        """Yield the keys with this prefix after ``start_after``, in code point order of the whole key.

        Only directories that can hold such keys are read. Files whose names cannot be keys are not objects.
        """
        parent = prefix[: prefix.rfind("/") + 1]
        if not parent or (is_key(parent[:-1]) and parent.split("/", 1)[0] != TEMPORARY):
            yield from self._walk(parent, prefix, start_after)

    def delete(self, key: str) -> None:
        """Remove the object durably, or raise :class:`ObjectMissing`. Directories stay: others may be writing there."""
        path = self.path(key)
        with self._explain("delete", key):
            path.unlink()
            _sync_directory(path.parent)

    def sweep(self, older_than: timedelta = STALE_AFTER) -> int:
        """Remove temporary files that a crash left behind; return their number.

        This happens by itself with the first write of each ``FileStore``. A file younger than ``older_than`` may be
        that of a writer at work. Should one be removed under a writer all the same (a clock that jumped), its
        ``link`` or ``rename`` fails with a :class:`StoreError`, and nothing false is stored.
        """
        swept = 0
        with self._explain("sweep", TEMPORARY):
            for path in list(self._temporaries.iterdir()) if self._temporaries.is_dir() else []:
                with suppress(FileNotFoundError):  # finished by its writer, or swept by somebody else
                    if time.time() - path.stat().st_mtime > older_than.total_seconds():
                        path.unlink()
                        swept += 1
        return swept

    def _walk(self, parent: str, prefix: str, start_after: str) -> Iterator[str]:
        """Yield the wanted keys under the directory ``parent``, which is empty or ends with ``/``.

        Sorting directories with their ``/`` makes the order that of whole keys: ``a-b`` comes before ``a/b``.
        """
        for name in sorted(self._names(parent)):
            key = parent + name
            if not name.endswith("/"):
                if key.startswith(prefix) and key > start_after:
                    yield key
            elif (key.startswith(prefix) or prefix.startswith(key)) and (
                key > start_after or start_after.startswith(key)
            ):
                yield from self._walk(key, prefix, start_after)

    def _names(self, parent: str) -> Iterator[str]:
        """Yield the names in a directory that can be part of keys, those of directories with a ``/`` at the end."""
        with (
            self._explain("list", parent),
            suppress(FileNotFoundError, NotADirectoryError),  # removed meanwhile, or never there: nothing to list
            os.scandir(self._root / parent) as entries,
        ):
            for entry in entries:
                if is_key(entry.name) and (parent or entry.name != TEMPORARY):
                    yield entry.name + "/" if entry.is_dir() else entry.name

    def _confirm(self, key: str, path: Path, data: bytes) -> None:
        """Accept what is there if it is ``data``, and make it durable: its writer may have crashed before doing so."""
        with path.open("rb") as file:
            if file.read(len(data) + 1) != data:
                raise ObjectConflict(f"{key}: already holds other bytes in {self._root}; nothing was written")
            os.fsync(file.fileno())
        self._make_directory(path.parent)
        _sync_directory(path.parent)

    @contextmanager
    def _temporary_file(self, data: bytes) -> Iterator[Path]:
        """Yield a flushed temporary file with these bytes; remove it afterwards if it is still there."""
        first_write = self._temporaries not in self._durable
        self._make_directory(self._temporaries)
        if first_write:
            self.sweep()
        path = self._temporaries / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # A crash here, or anywhere before the link or rename: a temporary file that a later run sweeps.
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _make_directory(self, directory: Path) -> None:
        """Make a directory under the root, and make the names of all directories on the way durable.

        Also of those that exist already: another process may have made them a moment ago and not synced them yet.
        """
        if directory in self._durable and directory.is_dir():
            return
        if directory == self._root:
            _make_root(directory)
        else:
            self._make_directory(directory.parent)
            directory.mkdir(exist_ok=True)
            _sync_directory(directory.parent)
        self._durable.add(directory)

    @contextmanager
    def _explain(self, doing: str, key: str) -> Iterator[None]:
        """Turn errors of the operating system into ours, with the key and the reason."""
        try:
            yield
        except OSError as error:
            missing = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
            if missing and doing in {"read", "delete"}:
                raise ObjectMissing(f"{key}: there is no such object in {self._root}") from error
            raise StoreError(f"{key}: cannot {doing} it in {self._root}: {error.strerror or error}") from error


def _make_root(root: Path) -> None:
    """Make the root of a store, with the directories above it as needed, durably."""
    made = [directory for directory in (root, *root.parents) if not directory.exists()]
    root.mkdir(parents=True, exist_ok=True)
    for directory in made:
        _sync_directory(directory.parent)


def _sync_directory(directory: Path) -> None:
    """Flush a directory, so that the names that were made in it or removed from it stay so."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
