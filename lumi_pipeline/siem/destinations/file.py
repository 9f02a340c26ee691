"""Local files: each batch's body becomes one file, ``DAY/DELIVERY.ndjson.gz`` under ``path``, never changed again.

For a shipper that reads files, for an archive, and for trying things out. A file appears whole and on disk or not at
all, and writing it again is harmless, so there is no doubt about what was delivered and nothing is there twice.
"""

import errno
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem.destination import Assurance, Limits, Outcome, Outgoing, Result
from lumi_pipeline.siem.options import Option, number, path
from lumi_pipeline.siem.plain import Plain
from lumi_pipeline.siem.settings import DestinationSettings, Route
from transparency.errors import ObjectConflict, StoreError
from transparency.filestore import FileStore

_MIB: Final = 1 << 20

OPTIONS: Final[Mapping[str, Option]] = {
    "path": Option(path, required=True, routable=True),
    # The largest event has 4 MiB of text, of which JSON may make six times as much.
    "max_bytes": Option(number(32 * _MIB, 512 * _MIB), 64 * _MIB),
    "max_events": Option(number(1, 1_000_000), 100_000),
}

_PASSING: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ESTALE}
)
"""Errors that pass without anybody changing a setting: a full disk is emptied, a network disk comes back."""


def open_destination(settings: DestinationSettings) -> "FileDestination":
    """Open a destination of checked settings."""
    return FileDestination(settings)


class FileDestination(Plain):
    """One directory, or one for each route."""

    mapping = "file/1"

    def __init__(self, settings: DestinationSettings) -> None:
        self.settings = settings
        largest = int(str(settings.options["max_bytes"]))
        self.limits = Limits(largest, int(str(settings.options["max_events"])), largest)
        self._lock = Lock()
        self._stores: dict[Path, FileStore] = {}

    def send(self, outgoing: Outgoing) -> Outcome:
        """Write one file; the same being there already is as good."""
        key = f"{outgoing.day.isoformat()}/{outgoing.delivery_id}.{self.suffix}"
        try:
            self._store(_directory(outgoing.route)).put_new(key, outgoing.body)
        except ObjectConflict:
            return Outcome(Result.BLOCKED, f"{key} is there already, with other content; move it away")
        except StoreError as error:
            # Should it be there all the same, the next attempt finds it.
            cause = error.__cause__
            passing = isinstance(cause, OSError) and cause.errno in _PASSING
            return Outcome(Result.RETRY if passing else Result.BLOCKED, str(error))
        return Outcome(Result.DELIVERED, f"wrote {key}", assurance=Assurance.STORED, facts={"file": key})

    def check(self) -> Sequence[str]:
        """Write a file without a name into each directory."""
        found = []
        for directory in dict.fromkeys(_directory(route) for route in self.settings.routes):
            try:
                directory.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=directory) as file:
                    file.write(b"\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise SiemError(
                    f"{self.settings.name}: can't write files in {directory}: {error.strerror}; correct 'path'"
                ) from None
            found.append(f"{directory} can be written to")
        return found

    def close(self) -> None:
        """Nothing is open."""

    def _store(self, directory: Path) -> FileStore:
        with self._lock:
            return self._stores.setdefault(directory, FileStore(directory))


def _directory(route: Route) -> Path:
    return Path(str(route.options["path"]))
