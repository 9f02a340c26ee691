"""What S3 adds to a store: encryption, retention, uploads in parts, and how a real gateway refuses."""

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from lumi_pipeline.stores.objectlock import ObjectLock, Retention
from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3client import Limits, S3Connection
from tests.lake.world import Clock
from tests.s3 import KMS_KEY, S3
from transparency.errors import ObjectConflict, StoreError

PART = 5 * 2**20
"""The smallest part that S3 takes, but for the last."""
PARTS = Limits(multipart_from=PART, part_size=PART)
NOW = datetime.now(UTC).replace(microsecond=0)
LOCK = ObjectLock(Retention("compliance", 3), Clock(NOW), ("log/",))


def test_a_store_sees_only_what_lies_under_its_prefix(s3: S3) -> None:
    bucket = s3.bucket()
    whole, part, other = s3.store(bucket), s3.store(bucket, "lake/"), s3.store(bucket, "lake-2/")
    part.put_new("a/b", b"1")
    other.put_new("a/b", b"2")
    assert list(whole.list("")) == ["lake-2/a/b", "lake/a/b"]
    assert list(part.list("")) == list(other.list("a")) == ["a/b"]
    assert (part.get("a/b"), other.get("a/b")) == (b"1", b"2")
    assert part.url("a/b") == f"s3://{bucket}/lake/a/b"
    with pytest.raises(StoreError, match="object key"):
        part.put_new("/".join(["x" * 92] * 11), b"too long with its prefix")


def test_names_that_cannot_be_keys_are_passed_over(s3: S3) -> None:
    store = s3.store(prefix="lake/")
    names = ["lake/a", "lake/dir/", "lake/x//y", "lake/back\\slash", "lake/"]
    for name in [*names, *(["lake/line\nfeed"] if s3.kind == "ceph" else [])]:  # moto's own server takes no such name
        s3.admin.put_object(Bucket=store.bucket, Key=name, Body=b"")
    assert list(store.list("")) == ["a"]


def test_s3_keeps_the_hash_of_every_object(aws_like_s3: S3) -> None:
    store = aws_like_s3.store()
    store.put_new("a", b"abc")
    found = aws_like_s3.admin.head_object(Bucket=store.bucket, Key="a", ChecksumMode="ENABLED")
    assert found["ChecksumSHA256"] == "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
    assert store.get("a") == b"abc"


def test_objects_are_encrypted_with_the_key_that_is_set(ceph: S3) -> None:
    store = S3Store(S3Connection(PARTS), ceph.bucket(), "", KMS_KEY)
    for key, write in (("new", store.put_new), ("replaced", store.put)):
        for size in (3, PART + 3):
            name = f"{key}-{size}"
            write(name, b"x" * size)
            found = ceph.admin.head_object(Bucket=store.bucket, Key=name)
            assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", KMS_KEY)
            assert store.get(name) == b"x" * size


def test_a_key_that_is_not_there_is_named(ceph: S3) -> None:
    store = S3Store(S3Connection(PARTS), ceph.bucket(), "", "no-such-key")
    for size in (3, PART):
        with pytest.raises(StoreError, match="the KMS key no-such-key can't be used"):
            store.put_new("a", b"x" * size)
    assert list(store.list("")) == []


@pytest.mark.parametrize("mode", ["compliance", "governance"])
def test_what_is_under_retention_cannot_be_deleted(s3: S3, mode: str) -> None:
    lock = ObjectLock(Retention(mode, 3), Clock(NOW), ("log/",))
    store = S3Store(S3Connection(PARTS), s3.bucket(locked=True), "", None, lock)
    for key, size in (("log/small", 3), ("log/large", PART)):
        store.put_new(key, b"x" * size)
        found = s3.admin.head_object(Bucket=store.bucket, Key=key)
        assert found["ObjectLockMode"] == mode.upper()
        assert found["ObjectLockRetainUntilDate"] == NOW + timedelta(days=3)
        version = found["VersionId"]
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.admin.delete_object(Bucket=store.bucket, Key=key, VersionId=version)
        store.delete(key)  # leaves a mark that hides it
        assert list(store.list(key)) == []
        assert s3.admin.head_object(Bucket=store.bucket, Key=key, VersionId=version)["ContentLength"] == size


def test_only_what_the_lock_is_for_is_locked(s3: S3) -> None:
    store = S3Store(S3Connection(), s3.bucket(locked=True), "lake/", None, LOCK)
    store.put_new("landed/log/a", b"1")
    version = s3.admin.head_object(Bucket=store.bucket, Key="lake/landed/log/a")["VersionId"]
    s3.admin.delete_object(Bucket=store.bucket, Key="lake/landed/log/a", VersionId=version)


def test_a_replaced_object_stays_as_an_older_version(s3: S3) -> None:
    store = S3Store(S3Connection(), s3.bucket(locked=True), "", None, LOCK)
    store.put("log/checkpoint", b"one")
    store.put("log/checkpoint", b"two")
    assert store.get("log/checkpoint") == b"two"
    versions = s3.admin.list_object_versions(Bucket=store.bucket)["Versions"]
    assert len(versions) == 2
    for version in versions:
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.admin.delete_object(Bucket=store.bucket, Key="log/checkpoint", VersionId=version["VersionId"])


def test_a_bucket_without_object_lock_is_named(ceph: S3) -> None:
    store = S3Store(S3Connection(), ceph.bucket(), "", None, LOCK)
    with pytest.raises(StoreError, match="only a bucket that was made with Object Lock enabled"):
        store.put_new("log/a", b"")


def test_creating_once_holds_in_a_locked_bucket_where_the_service_honours_it(aws_like_s3: S3) -> None:
    store = S3Store(S3Connection(), aws_like_s3.bucket(locked=True), "", None, LOCK)
    store.put_new("log/a", b"one")
    store.put_new("log/a", b"one")
    with pytest.raises(ObjectConflict):
        store.put_new("log/a", b"two")
    assert len(aws_like_s3.admin.list_object_versions(Bucket=store.bucket)["Versions"]) == 1


def test_cephs_gateway_does_not_honour_it_in_versioned_buckets(ceph: S3) -> None:
    """Why the locked copy is a second bucket, and nothing is ever decided in it."""
    plain, versioned = ceph.store(), ceph.store(ceph.bucket(versioned=True))
    for store in (plain, versioned):
        store.put_new("a", b"one")
    with pytest.raises(ObjectConflict):
        plain.put_new("a", b"two")
    versioned.put_new("a", b"two")
    assert versioned.get("a") == b"two"


def test_a_large_object_is_written_in_parts_and_created_once(s3: S3) -> None:
    store = s3.store(limits=PARTS)
    data = b"a" * PART + b"b" * PART + b"c"
    store.put_new("new", data)
    store.put_new("new", data)
    with pytest.raises(ObjectConflict):
        store.put_new("new", data[:-1])
    with pytest.raises(ObjectConflict):
        store.put_new("new", b"small")
    assert store.get("new") == data
    assert s3.admin.head_object(Bucket=store.bucket, Key="new")["ETag"].endswith('-3"')
    store.put("new", data[:-1])
    assert store.get("new") == data[:-1]


def test_an_upload_that_fails_is_not_left_behind(s3: S3) -> None:
    too_small = s3.store(limits=Limits(multipart_from=10, part_size=10))
    with pytest.raises(StoreError, match="EntityTooSmall"):
        too_small.put_new("a", b"x" * 25)
    assert list(too_small.list("")) == []
    assert s3.admin.list_multipart_uploads(Bucket=too_small.bucket).get("Uploads", []) == []


def test_a_real_gateway_refuses_what_the_settings_get_wrong(ceph: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = ceph.bucket()
    for operation in (lambda s: s.get("a"), lambda s: s.put_new("a", b""), lambda s: list(s.list(""))):
        with pytest.raises(StoreError, match="there is no bucket no-such-bucket"):
            operation(ceph.store("no-such-bucket"))
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
            with pytest.raises(StoreError, match="the access key is unknown there"):
                operation(ceph.store(bucket))
        with monkeypatch.context() as patch:
            patch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
            with pytest.raises(StoreError, match="the signature is wrong"):
                operation(ceph.store(bucket))
