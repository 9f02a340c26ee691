"""From a configuration's roots to the lake: which store is meant, what it says of every object, how readers open it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from lumi_pipeline.config import Config
from lumi_pipeline.lake import Lake
from lumi_pipeline.stores.address import split_address
from lumi_pipeline.stores.lockedcopy import LockedCopyStore
from lumi_pipeline.stores.objectlock import ObjectLock
from transparency.filestore import FileStore


def open_lake(config: Config, clock: Callable[[], datetime]) -> Lake:
    """Open the lake at ``root``, with a locked copy if one is configured; retention counts from ``clock``.

    Nothing is read or written yet, and no S3 credentials are looked for.
    """
    lock = ObjectLock(config.object_lock, clock) if config.object_lock else None
    if config.root_path is not None:
        lake = _local_lake(config.root_path)
    else:
        lake = _s3_lake(config.root, config.kms_key, None if config.locked_root else lock)
    if config.locked_root is None:
        return lake
    return replace(lake, store=LockedCopyStore(lake.store, _s3_lake(config.locked_root, config.kms_key, lock).store))


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
