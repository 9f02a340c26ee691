"""Where a bundle, or a sample of one, is made before it has its name: one run at a time, durable before it is moved."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lumi_pipeline.errors import EvidenceError


@contextmanager
def working_folder(target: Path, name: str) -> Iterator[Path]:
    """Make an empty folder beside ``target``, whose name begins with a dot; it is removed at the end unless moved away.

    What a killed run left there is cleared first. Raises :class:`~lumi_pipeline.errors.EvidenceError` when another run
    is at work there, ``target`` exists, or the operating system refuses.
    """
    folder = target.parent / f".{name}.new"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _locked(folder)
    except OSError as error:
        raise EvidenceError(f"{target} can't be made: {error.strerror}; choose another --out") from None
    try:
        # Looked for under the lock: a run that was faster has put it there by now.
        if os.path.lexists(target):
            raise EvidenceError(f"{target} is there already; evidence is never overwritten: move it away, or set --out")
        _clear(folder)
        yield folder
    except OSError as error:
        raise EvidenceError(f"{error.filename or folder} can't be written: {error.strerror}") from None
    finally:
        if _is_still(folder, descriptor):  # once it was moved away, a folder of that name is another run's
            shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def put_in_place(made: Path, target: Path) -> None:
    """Give a whole bundle, a folder or a file, its name, with everything in it on the disk before."""
    for path in [*made.iterdir(), made] if made.is_dir() else [made]:
        _sync(path)
    # A crash before this line leaves only the folder with the dot; after it the bundle is whole.
    made.rename(target)
    _sync(target.parent)


def _locked(folder: Path) -> int:
    """Make the folder if it isn't there and lock it. The lock ends with the process, so no crash leaves one behind."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # the run that had it ended just now
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(folder, descriptor):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise EvidenceError(f"another run is writing this evidence in {folder}; wait until it ends") from None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # what was locked has been moved or removed meanwhile


def _is_still(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(folder.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
