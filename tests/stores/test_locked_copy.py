"""The locked copy: whatever a public checkpoint commits to is in it, whoever crashed where."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from lumi_pipeline.stores.lockedcopy import LockedCopyStore
from lumi_pipeline.stores.objectlock import LOCKED_PREFIXES, ObjectLock, Retention
from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3client import S3Connection
from tests.crashing import CrashingStore, Killed, writes_of
from tests.lake.world import Clock
from tests.logs import RecordingKey, entries, snapshot
from tests.s3 import S3
from transparency.errors import ObjectConflict, ObjectMissing
from transparency.log import Log
from transparency.memorystore import MemoryStore
from transparency.store import ObjectStore

CHECKPOINT = "log/checkpoint"


def run(store: ObjectStore) -> None:
    """What a daily run writes: landed, sealed, published, cleared away."""
    store.put_new("landed/0/part", b"rows")
    store.put_new("events/day=1/part", b"rows")
    store.put_new("events/day=1/orphan", b"rows")
    store.put_new("seals/day=1/day.txt", b"record")
    Log(store, [RecordingKey()]).append(entries(3))
    for key in ("landed/0/part", "events/day=1/orphan"):
        if key in store.list(key):
            store.delete(key)


def locked_part(store: ObjectStore) -> dict[str, bytes]:
    return {key: data for key, data in snapshot(store).items() if key.startswith(LOCKED_PREFIXES)}


def test_the_copy_holds_what_is_locked_and_nothing_else() -> None:
    working, copy = MemoryStore(), MemoryStore()
    run(LockedCopyStore(working, copy))
    assert snapshot(copy) == {**locked_part(working), "events/day=1/orphan": b"rows"}
    assert "landed/0/part" not in snapshot(working)
    assert list(working.list("log-private/"))


def test_killed_at_any_write_of_either_store_the_copy_holds_what_is_public_and_the_next_run_completes_it() -> None:
    counts = [len(writes_of(lambda s: run(LockedCopyStore(s, MemoryStore())), MemoryStore()))]
    counts.append(len(writes_of(lambda s: run(LockedCopyStore(MemoryStore(), s)), MemoryStore())))
    assert min(counts) > 6
    without_copy = 0
    for which, count in enumerate(counts):
        for number in range(count):
            for when in ("before", "after"):
                stores = [MemoryStore(), MemoryStore()]
                mortal: list[ObjectStore] = [*stores]
                mortal[which] = CrashingStore(stores[which], **{when: number})
                with pytest.raises(Killed):
                    run(LockedCopyStore(*mortal))
                check_public_part_is_kept(*stores)
                without_copy += locked_part(stores[0]).keys() != locked_part(stores[1]).keys()
                run(LockedCopyStore(*stores))
                assert locked_part(stores[0]).items() <= snapshot(stores[1]).items()
    assert without_copy


def check_public_part_is_kept(working: ObjectStore, copy: ObjectStore) -> None:
    if CHECKPOINT in working.list(CHECKPOINT):
        assert locked_part(working).items() <= snapshot(copy).items()


def test_a_copy_that_is_set_up_later_gets_the_whole_history_with_the_next_checkpoint() -> None:
    working, copy = MemoryStore(), MemoryStore()
    run(working)
    Log(LockedCopyStore(working, copy), [RecordingKey()]).append([b"one more"])
    assert snapshot(copy) == locked_part(working)


def test_an_object_that_vanishes_while_it_is_copied_is_no_error() -> None:
    class Vanishing(MemoryStore):
        def get(self, key: str) -> bytes:
            raise ObjectMissing(key)

    working = Vanishing()
    working.put_new("events/a", b"")
    assert LockedCopyStore(working, MemoryStore()).catch_up() == 0


def test_a_copy_that_differs_is_an_error_and_stays() -> None:
    working, copy = MemoryStore(), MemoryStore()
    copy.put_new("seals/day=1/day.txt", b"other record")
    with pytest.raises(ObjectConflict, match="the locked copy in"):
        LockedCopyStore(working, copy).put_new("seals/day=1/day.txt", b"record")
    assert copy.get("seals/day=1/day.txt") == b"other record"


def on_s3(s3: S3) -> tuple[S3Store, S3Store]:
    lock = ObjectLock(Retention("compliance", 3), Clock(datetime.now(UTC)))
    return s3.store(), S3Store(S3Connection(), s3.bucket(locked=True), "copy/", None, lock)


@pytest.mark.parametrize("number", [0, 3])
def test_nobody_can_delete_what_was_published_and_a_replay_adds_no_version(s3: S3, number: int) -> None:
    """Killed before or amid the writes to the copy, then run twice."""
    working, copy = on_s3(s3)
    with pytest.raises(Killed):
        run(LockedCopyStore(working, CrashingStore(copy, before=number)))
    for _ in range(2):
        run(LockedCopyStore(working, copy))
    assert locked_part(working).items() <= snapshot(copy).items()
    versions = s3.admin.list_object_versions(Bucket=copy.bucket)["Versions"]
    names = [version["Key"] for version in versions if not version["Key"].endswith(CHECKPOINT)]
    assert len(names) == len(set(names))
    for version in versions:
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.admin.delete_object(Bucket=copy.bucket, Key=version["Key"], VersionId=version["VersionId"])


def test_every_checkpoint_is_kept_as_a_version_of_its_own(s3: S3) -> None:
    working, copy = on_s3(s3)
    log = Log(LockedCopyStore(working, copy), [RecordingKey()])
    for number in range(3):
        log.append(entries(1, number))
    versions = s3.admin.list_object_versions(Bucket=copy.bucket, Prefix=f"copy/{CHECKPOINT}")["Versions"]
    at = {"Bucket": copy.bucket, "Key": f"copy/{CHECKPOINT}"}
    kept = [s3.admin.get_object(**at, VersionId=version["VersionId"])["Body"].read() for version in versions]
    assert {checkpoint.split(b"\n")[1] for checkpoint in kept} == {b"1", b"2", b"3"}
