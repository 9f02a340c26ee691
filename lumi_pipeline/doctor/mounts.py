"""Which file system a path lies on."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TABLE: Final = Path("/proc/self/mountinfo")
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_REMOTE: Final = re.compile(r"(nfs4?|cifs|smb3|smbfs|9p|afs|ceph|glusterfs|lustre|gpfs|beegfs|ocfs2|gfs2|fuse\..+)")
_LOCAL_FUSE: Final = frozenset({"fuse.fuse-overlayfs", "fuse.ntfs-3g"})


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: its kind (``ext4``, ``nfs4``, …) and where it is mounted."""

    kind: str
    point: str

    @property
    def is_remote(self) -> bool:
        """Whether it is one of the network's, where locks and fsync may mean less."""
        return _REMOTE.fullmatch(self.kind) is not None and self.kind not in _LOCAL_FUSE


def mount_of(path: Path) -> Mount | None:
    """The file system of a path, or of the nearest directory above that exists; None where nothing tells (no /proc)."""
    place = existing(path).resolve()
    try:
        table = _TABLE.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    return find_mount(table, place)


def find_mount(table: str, path: Path) -> Mount | None:
    """Find a path's mount in a table as proc(5) describes mountinfo: fields, ``-``, kind, source, options."""
    found: Mount | None = None
    for line in table.splitlines():
        fields, _, rest = line.partition(" - ")
        point = _ESCAPE.sub(lambda code: chr(int(code[1], 8)), fields.split(" ")[4])
        # Of several mounts on one point the last covers the others.
        if path.is_relative_to(point) and (found is None or len(point) >= len(found.point)):
            found = Mount(rest.split(" ")[0], point)
    return found


def existing(path: Path) -> Path:
    """The path, or the nearest directory above it that exists."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
