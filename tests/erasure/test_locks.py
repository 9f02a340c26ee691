"""S3: what nobody may delete yet refuses an erasure, and what may be deleted is gone in every version."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.errors import ErasureError
from lumi_pipeline.lake import Lake
from lumi_pipeline.stores.lockedcopy import LockedCopyStore
from lumi_pipeline.stores.objectlock import ObjectLock, Retention
from lumi_pipeline.stores.purging import kept_by, purge
from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3client import S3Connection
from lumi_pipeline.verdict import Status
from tests.erasure.forgetting import ERIKA, REASON, lived_in, status
from tests.lake.places import LocalPlace
from tests.lake.world import World, at
from tests.s3 import S3


def locked(s3: S3, mode: str) -> S3Store:
    """A store that keeps whatever is written for a day from now on."""
    lock = ObjectLock(Retention(mode, 1), lambda: datetime.now(UTC), ("events/", "seals/"))
    return S3Store(S3Connection(), s3.bucket(locked=True), "", None, lock)


def versions(s3: S3, store: S3Store, key: str) -> int:
    found = s3.admin.list_object_versions(Bucket=store.bucket, Prefix=store.prefix + key)
    return len(found.get("Versions", [])) + len(found.get("DeleteMarkers", []))


def test_every_version_goes_and_one_that_is_not_there_is_no_error(s3: S3) -> None:
    store = s3.store(s3.bucket(versioned=True))
    for data in (b"first", b"second"):
        store.put("events/a", data)
    store.put("events/ab", b"another")
    store.delete("events/a")
    assert versions(s3, store, "events/a") == 4
    purge(store, "events/a")
    purge(store, "events/a")
    assert (versions(s3, store, "events/a"), store.get("events/ab")) == (1, b"another")


def test_governance_is_bypassed_and_compliance_says_until_when(s3: S3) -> None:
    for mode, refused in (("governance", False), ("compliance", True)):
        store = locked(s3, mode)
        store.put_new("events/a", b"data")
        store.put_new("other", b"data")
        reason = kept_by(store, "events/a")
        assert (reason is not None) is refused
        assert kept_by(store, "other") is kept_by(store, "missing") is None
        if reason is None:
            purge(store, "events/a")
            assert versions(s3, store, "events/a") == 0
        else:
            assert "Object Lock (compliance)" in reason
            assert f"until {datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}" in reason


def test_an_erasure_is_refused_until_the_lock_of_a_copy_ends(s3: S3, tmp_path: Path) -> None:
    world = World.create(tmp_path / "world", at(0), LocalPlace.create)
    lived_in(world)
    for mode, refused in (("compliance", True), ("governance", False)):
        copy = locked(s3, mode)
        pipeline = world.pipeline(lambda store, copy=copy: LockedCopyStore(store, copy))  # type: ignore[misc]
        assert isinstance(pipeline.lake, Lake)
        pipeline.lake.store.catch_up()  # type: ignore[attr-defined]
        before = world.contents()
        if refused:
            with pytest.raises(ErasureError, match=r"Object Lock \(compliance\).*until \d{4}.*Nothing was touched"):
                Eraser(pipeline).erase(ERIKA, REASON)
            assert {key: data for key, data in world.contents().items() if key in before} == before
            assert not any(key.startswith("erasures/") for key in world.contents())
        else:
            assert Eraser(pipeline).erase(ERIKA, REASON).order is not None
            kept = [key for key in before if key.startswith("events/") and key not in world.contents()]
            assert len(kept) == 2
            assert [versions(s3, copy, key) for key in kept] == [0, 0]
            assert status(world) is Status.VERIFIED
