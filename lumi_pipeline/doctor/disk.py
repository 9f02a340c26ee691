"""The disks of this machine: what the root lies on, and whether there is room for what is pending."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow.compute as pc

from lumi_pipeline.doctor.examination import Examination
from lumi_pipeline.doctor.findings import Check, Finding, not_configured, not_tried, ok, problem, warning
from lumi_pipeline.doctor.mounts import existing, mount_of
from lumi_pipeline.errors import LumiError
from transparency.filestore import TEMPORARY

EVENT_BYTES: Final = 1024
"""Room for one pending event: as it is landed and again as it is sealed, compressed, until the day is published; in
the temporary directory once, uncompressed, while a day is sorted. A typical event has 400 bytes."""

RESERVE: Final = 2**30
"""What should be free beside that: about a day of an application that records ten events a second."""

_FOLDERS: Final = (TEMPORARY, "landings", "landed", "events", "seals", "log", "log-private")


def look_at_file_system(examination: Examination) -> Iterator[Finding]:
    """Find out whether all of the root is one file system, as links and renames need, and a local one."""
    root = examination.root_path
    if root is None:
        yield not_configured("the root is in S3")
        return
    device = existing(root).stat().st_dev
    elsewhere = [name for name in _FOLDERS if (root / name).exists() and (root / name).stat().st_dev != device]
    mount = mount_of(root)
    if elsewhere:
        yield problem(
            f"{', '.join(elsewhere)} in {root} {'is' if len(elsewhere) == 1 else 'are'} on another file system",
            "keep all of the root on one file system: objects are created by linking",
        )
    elif mount is not None and mount.is_remote:
        yield warning(
            f"{root} lies on {mount.kind} ({mount.point}), whose create-only links and fsync depend on its server",
            "prefer a local disk or S3",
        )
    else:
        yield ok(
            f"one file system ({mount.kind if mount else 'of a kind that nothing tells here'}), links and fsync work"
        )


def look_at_space(examination: Examination) -> Iterator[Finding]:
    """Hold the free space of the root and of the temporary directory against what is pending."""
    pending = _pending_events(examination)
    places = {"the temporary directory": Path(tempfile.gettempdir())}
    if examination.root_path is not None:
        places = {"the root": existing(examination.root_path), **places}
    sharing = Counter(place.stat().st_dev for place in places.values())
    for name, place in places.items():
        free = shutil.disk_usage(place).free
        needed = (pending or 0) * EVENT_BYTES * sharing[place.stat().st_dev]
        told = f"{name} ({place}) has {_gib(free)} free"
        advice = "clear space" if name == "the root" else "clear space, or set TMPDIR to a larger file system"
        if free < needed:
            yield problem(f"{told}; {pending:,} pending event(s) may take {_gib(needed)}", advice)
        elif free < needed + RESERVE:
            yield warning(f"{told}, little beside the {_gib(needed)} for what is pending", advice)
        elif pending is None:
            yield not_tried(f"{told}, but what is pending is unknown")
        else:
            yield ok(f"{told}, enough for {pending:,} pending event(s)")


def _pending_events(examination: Examination) -> int | None:
    """Events that are recorded and in no sealed day; None when that can't be found out, which other lines tell."""
    try:
        sealed = examination.last_sealed
        with examination.outbox.snapshot() as snapshot:
            recorded = pc.sum(snapshot.heads().column("next_seq")).as_py() or 0
    except LumiError:
        return None
    done = sum(tenant.record.next for tenant in sealed.tenants.tenants.values()) if sealed else 0
    return max(int(recorded) - done, 0)


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"


DISK_CHECKS: Final = (Check("root disk", look_at_file_system, "see 'root' in lumi.toml", ("root",)),)
SPACE: Final = Check("space", look_at_space, "see 'root' and TMPDIR")
