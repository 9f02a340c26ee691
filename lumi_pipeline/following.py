"""What ``lumi monitor`` keeps between its runs: how far it has followed a log, and the evidence of what it found.

All of it lies beside one file, the state: ``STATE`` itself, ``STATE.lock``, and ``STATE.evidence/`` with the signed
checkpoints of every contradiction, byte for byte.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from lumi_pipeline.errors import ConcurrentRun, ConfigError
from transparency.checkpoint import parse_signed_checkpoint
from transparency.encoding import b64encode
from transparency.errors import FormatError, ObjectMissing, StoreError, VerificationError
from transparency.filestore import FileStore
from transparency.monitor import Contradiction, Followed

_NAMED_BY: Final = 16
"""Hexadecimal digits of its own hash in the name of a file of evidence."""


class MonitorState:
    """The state of one monitor; made by :func:`open_state`."""

    def __init__(self, path: Path) -> None:
        """Read the state at ``path``; :class:`~lumi_pipeline.errors.ConfigError` if that is something else."""
        self.path = path
        self._store = FileStore(path.parent)
        self.followed = self._load()

    @property
    def evidence(self) -> Path:
        """The directory that contradictions are kept in."""
        return self.path.with_name(f"{self.path.name}.evidence")

    def save(self, followed: Followed) -> None:
        """Keep how far the log was followed, in one step.

        A crash before this leaves the state before, from which the next run finds the same again.
        """
        if followed != self.followed:
            self._store.put(self.path.name, followed.encode())
            self.followed = followed

    def keep(self, found: Contradiction) -> list[Path]:
        """Keep both signed checkpoints of a contradiction, and the path between them; return the files.

        Whoever finds the same again finds the files there. A crash leaves some of them, and the next run adds the rest.
        """
        files = [self._keep(f"checkpoint-{_size(data)}", data) for data in (found.before, found.shown)]
        if found.path:
            sizes = sorted((_size(found.before), _size(found.shown)))
            lines = "".join(f"{b64encode(node)}\n" for node in found.path)
            files.append(self._keep(f"path-{sizes[0]}-{sizes[1]}", lines.encode()))
        return files

    def _keep(self, name: str, data: bytes) -> Path:
        key = f"{self.evidence.name}/{name}-{sha256(data).hexdigest()[:_NAMED_BY]}"
        self._store.put_new(key, data)
        return self._store.path(key)

    def _load(self) -> Followed | None:
        try:
            return Followed.parse(self._store.get(self.path.name))
        except ObjectMissing:
            return None
        except (FormatError, VerificationError) as error:
            raise ConfigError(
                f"{self.path} is not the state of a monitor: {error}; move it away to follow the log anew"
            ) from None


@contextmanager
def open_state(path: Path) -> Iterator[MonitorState]:
    """Hold a monitor's state, which need not exist yet, while the block runs; no other run gets it meanwhile.

    Raises ConcurrentRun while another run has it, ConfigError when there is something else in its place, StoreError
    when it can't be read or written.
    """
    path = path.absolute()
    if path.is_dir():
        raise ConfigError(f"{path} is a directory; --state names a file, which need not be there yet")
    lock = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StoreError(f"{lock}: {error.strerror}; name another file with --state") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConcurrentRun(f"another run has {path}; wait for it to end") from None
        yield MonitorState(path)
    finally:
        os.close(handle)


def default_state(target: str) -> Path:
    """Where the state of a log's monitor is kept if nobody says: in the user's own directory, by the log's address."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "lumi" / "monitor" / f"{sha256(target.encode()).hexdigest()[:_NAMED_BY]}.json"


def _size(data: bytes) -> int:
    return parse_signed_checkpoint(data).checkpoint.size
