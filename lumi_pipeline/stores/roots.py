"""From a configuration's roots to the lake: which store is meant, what it says of every object, how readers open it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Self

from lumi_pipeline.config import Config, local_path
from lumi_pipeline.lake import Lake
from lumi_pipeline.stores.address import split_address
from lumi_pipeline.stores.lockedcopy import LockedCopyStore
from lumi_pipeline.stores.objectlock import ObjectLock, Retention
from transparency.filestore import FileStore


@dataclass(frozen=True, slots=True)
class LakeAddress:
    """All that it takes to open a lake, also in another process or on another machine; no secret is in it.

    The fields are those of :class:`~lumi_pipeline.config.Config`.
    """

    root: str
    kms_key: str | None
    object_lock: Retention | None
    locked_root: str | None

    @classmethod
    def of(cls, config: Config) -> Self:
        """The address that a configuration gives."""
        return cls(config.root, config.kms_key, config.object_lock, config.locked_root)

    def open(self, clock: Callable[[], datetime]) -> Lake:
        """Open the lake, with a locked copy if there is one; retention counts from ``clock``.

        Nothing is read or written yet, and no S3 credentials are looked for.
        """
        lock = ObjectLock(self.object_lock, clock) if self.object_lock else None
        path = local_path(self.root)
        if path is not None:
            lake = _local_lake(path)
        else:
            lake = _s3_lake(self.root, self.kms_key, None if self.locked_root else lock)
        if self.locked_root is None:
            return lake
        return replace(lake, store=LockedCopyStore(lake.store, _s3_lake(self.locked_root, self.kms_key, lock).store))


def open_lake(config: Config, clock: Callable[[], datetime]) -> Lake:
    """Open the lake of a configuration; see :meth:`LakeAddress.open`."""
    return LakeAddress.of(config).open(clock)


def _local_lake(root: Path) -> Lake:
    store = FileStore(root)
    return Lake(store, lambda key: str(store.path(key)))


def _s3_lake(address: str, kms_key: str | None, lock: ObjectLock | None) -> Lake:
    # Here and not above: botocore takes a while to load, and a lake on a disk does without.
    from lumi_pipeline.stores.s3 import S3Store  # noqa: PLC0415
    from lumi_pipeline.stores.s3client import S3Connection  # noqa: PLC0415

    bucket, prefix = split_address(address)
    store = S3Store(S3Connection(), bucket, prefix, kms_key, lock)
    return Lake(store, store.url, store.file_system)
