"""What the doctor finds about buckets: reaching them, keys, retention, lifecycle."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lumi_pipeline.doctor.findings import Finding, Status
from lumi_pipeline.doctor.probes import HELD_FOR, PREFIX, STALE_AFTER, new_key
from lumi_pipeline.evidence.drafts import DRAFTS
from lumi_pipeline.recorder import system_clock
from lumi_pipeline.stores.objectlock import Retention
from tests.doctor.setups import Setup, look, look_at_everything, on_files, told
from tests.s3 import KMS_KEY, S3
from tests.s3answers import Answer, answering, holding, refusal

pytestmark = pytest.mark.slow  # the server is started first

ENDED = {"ID": "uploads", "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}


def on_s3(directory: Path, bucket: str, **settings: object) -> Setup:
    return on_files(directory, f"s3://{bucket}/lake").having(**settings)


def versions(s3: S3, bucket: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = s3.admin.list_object_versions(Bucket=bucket).get("Versions", [])
    return found


def held_until(s3: S3, bucket: str, version: dict[str, object]) -> datetime:
    found = s3.admin.head_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    until: datetime = found["ObjectLockRetainUntilDate"]
    return until


def test_a_plain_bucket_is_well_and_keeps_nothing(s3: S3, tmp_path: Path) -> None:
    bucket = s3.bucket()
    setup = on_s3(tmp_path, bucket)
    assert look(setup, "root bucket").detail.endswith("versioning Off, Object Lock off")
    for name in ("root", "root create-only", "root clock", "root checksums"):
        assert look(setup, name).status == Status.OK, name
    for name in ("root encryption", "root object lock"):
        found = look(setup, name)
        assert (found.status, found.detail.startswith("not configured: ")) == (Status.SKIPPED, True)
    assert list(s3.store(bucket).list("")) == []


def test_a_bucket_that_is_not_there_is_one_problem(s3: S3, tmp_path: Path) -> None:  # noqa: ARG001 - it has to run
    setup = on_s3(tmp_path, "there-is-no-such-bucket")
    found = look(setup, "root bucket")
    assert (found.status, "there is no bucket" in found.detail) == (Status.PROBLEM, True)
    assert look(setup, "root create-only").status == Status.SKIPPED


def test_a_clock_that_is_off_is_found(s3: S3, tmp_path: Path) -> None:
    setup = on_s3(tmp_path, s3.bucket())
    for lead, status in ((10, Status.WARNING), (-10, Status.WARNING), (100, Status.PROBLEM), (-100, Status.PROBLEM)):
        found = look(setup, "root clock", lambda lead=lead: system_clock() + timedelta(seconds=lead))
        assert (found.status, "S3's clock" in found.detail) == (status, True)


def test_create_only_puts_that_versions_disable_are_found(ceph: S3, tmp_path: Path) -> None:
    bucket = ceph.bucket(versioned=True)
    found = look(on_s3(tmp_path, bucket), "root create-only")
    assert (found.status, "are not honoured" in found.detail) == (Status.PROBLEM, True)
    assert "locked_root" in str(found.remedy)
    assert versions(ceph, bucket) == []


def test_create_only_puts_that_versions_keep_are_well(aws_like_s3: S3, tmp_path: Path) -> None:
    bucket = aws_like_s3.bucket(versioned=True)
    assert look(on_s3(tmp_path, bucket), "root create-only").status == Status.OK
    assert versions(aws_like_s3, bucket) == []


def test_a_locked_copy_may_do_without_create_only_puts(ceph: S3, tmp_path: Path) -> None:
    locked = {"locked_root": f"s3://{ceph.bucket(locked=True)}/copy", "object_lock": Retention("compliance", 1)}
    setup = on_s3(tmp_path, ceph.bucket(), **locked)
    assert look(setup, "root create-only").status == Status.OK
    found = look(setup, "locked root create-only")
    assert (found.status, "nothing rests on that" in found.detail) == (Status.OK, True)


def test_the_kms_key_is_used(ceph: S3, tmp_path: Path) -> None:
    found = look(on_s3(tmp_path, ceph.bucket(), kms_key=KMS_KEY), "root encryption")
    assert (found.status, KMS_KEY in found.detail) == (Status.OK, True)


def test_a_kms_key_that_is_not_there_is_found(ceph: S3, tmp_path: Path) -> None:
    found = look(on_s3(tmp_path, ceph.bucket(), kms_key="no-such-key"), "root encryption")
    assert (found.status, "the KMS key no-such-key can't be used" in found.detail) == (Status.PROBLEM, True)


@pytest.mark.parametrize("mode", ["compliance", "governance"])
def test_retention_is_tried_for_minutes(s3: S3, tmp_path: Path, mode: str) -> None:
    bucket = s3.bucket(locked=True)
    found = look(on_s3(tmp_path, bucket, object_lock=Retention(mode, 3650)), "root object lock")
    left = versions(s3, bucket)
    if mode == "compliance":
        assert (found.status, "could not be deleted" in found.detail) == (Status.OK, True)
        assert len(left) == 1
        assert str(left[0]["Key"]).startswith(f"lake/{PREFIX}")
        assert held_until(s3, bucket, left[0]) < datetime.now(UTC) + 2 * HELD_FOR
    else:
        assert (found.status, "may bypass" in found.detail) == (Status.WARNING, True)
        assert left == []


def test_retention_of_days_that_the_bucket_gives_by_itself_does_not_hold_probes(s3: S3, tmp_path: Path) -> None:
    bucket = s3.bucket(locked=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 365}}
    s3.admin.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    setup = on_s3(tmp_path, bucket)
    assert "by default COMPLIANCE" in look(setup, "root bucket").detail
    for name in ("root", "root create-only", "root checksums"):
        look(setup, name)
    for version in versions(s3, bucket):
        assert held_until(s3, bucket, version) < datetime.now(UTC) + 2 * HELD_FOR


def test_a_bucket_without_object_lock_is_found(s3: S3, tmp_path: Path) -> None:
    setup = on_s3(tmp_path, s3.bucket(), object_lock=Retention("compliance", 1))
    found = look(setup, "root object lock")
    assert (found.status, "nothing is protected" in found.detail) == (Status.PROBLEM, True)
    assert look(setup, "root create-only").status == Status.OK


def test_one_bucket_will_do_for_everything_where_versions_keep_conditions(aws_like_s3: S3, tmp_path: Path) -> None:
    bucket = aws_like_s3.bucket(locked=True)
    setup = on_s3(tmp_path, bucket, object_lock=Retention("compliance", 1))
    setup.publish()
    before = {(version["Key"], version["VersionId"]) for version in versions(aws_like_s3, bucket)}
    results = look_at_everything(setup)
    assert told(results, Status.PROBLEM) == {}
    assert told(results, Status.WARNING).keys() == {"root lifecycle"}
    [left] = {(version["Key"], version["VersionId"]) for version in versions(aws_like_s3, bucket)} - before
    assert str(left[0]).startswith(f"lake/{PREFIX}")


def test_versions_that_a_crash_left_are_removed_once_they_are_old(s3: S3, tmp_path: Path) -> None:
    bucket = s3.bucket(versioned=True)
    now = system_clock()
    old, young = new_key(now - 2 * STALE_AFTER), new_key(now)
    for key in (old, young, "log-private/genesis.txt"):
        s3.admin.put_object(Bucket=bucket, Key=f"lake/{key}", Body=b"")
    s3.admin.delete_object(Bucket=bucket, Key=f"lake/{old}")  # leaves a mark
    assert look(on_s3(tmp_path, bucket), "root").status == Status.OK
    assert {version["Key"] for version in versions(s3, bucket)} == {f"lake/{young}", "lake/log-private/genesis.txt"}
    assert s3.admin.list_object_versions(Bucket=bucket).get("DeleteMarkers", []) == []


def test_lifecycle_rules_are_judged(s3: S3, tmp_path: Path) -> None:
    bucket = s3.bucket()
    setup = on_s3(tmp_path, bucket)

    def with_rules(*rules: dict[str, object]) -> Finding:
        s3.admin.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)})
        return look(setup, "root lifecycle")

    found = look(setup, "root lifecycle")
    assert (found.status, "incomplete uploads" in found.detail) == (Status.WARNING, True)
    everywhere = {**ENDED, "Filter": {"Prefix": ""}}
    assert with_rules(everywhere).status == Status.OK
    assert with_rules({**everywhere, "Status": "Disabled"}).status == Status.WARNING
    assert with_rules({**ENDED, "Filter": {"Prefix": "elsewhere/"}}).status == Status.WARNING
    expiring: dict[str, object] = {"ID": "old", "Status": "Enabled", "Expiration": {"Days": 30}}
    for prefix, status in {
        "": Status.PROBLEM,
        "lake/events/": Status.PROBLEM,
        f"lake/{PREFIX}": Status.OK,
        f"lake/{DRAFTS}": Status.OK,
    }.items():
        found = with_rules(everywhere, {**expiring, "Filter": {"Prefix": prefix}})
        assert found.status == status, prefix
        assert ("old" in found.detail) == (status == Status.PROBLEM)


def test_wrong_credentials_are_told_without_the_secret(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = on_s3(tmp_path, s3.bucket())
    if s3.kind == "moto":
        pytest.skip("moto takes every secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    found = look(setup, "root bucket")
    assert (found.status, "the signature is wrong" in found.detail) == (Status.PROBLEM, True)
    assert "very-secret" not in repr(found)


@pytest.fixture
def dated() -> dict[str, str]:
    return {"Date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")}


EMPTY = b"<ListBucketResult/>"
LOCKED = b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"
VERSIONED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"


def deleting(dated: dict[str, str]) -> tuple[Answer, ...]:
    """What a gateway answers that takes a retention and does not enforce it."""
    return (
        Answer(200, EMPTY, dated),
        Answer(200, VERSIONED),
        Answer(200, LOCKED),
        Answer(200),
        Answer(200, b"", {"x-amz-version-id": "v1"}),
        Answer(204),
        Answer(200, b"<ListVersionsResult/>"),
    )


def test_retention_that_is_taken_and_not_enforced_is_found(tmp_path: Path, dated: dict[str, str]) -> None:
    with answering(*deleting(dated)) as server:
        found = look(on_s3(tmp_path, "gateway", object_lock=Retention("compliance", 1)), "root object lock")
        assert (found.status, "deletes what is under it all the same" in found.detail) == (Status.PROBLEM, True)
        written, deleted = server.requests[3], server.requests[5]
    assert written.headers["x-amz-object-lock-mode"] == "COMPLIANCE"
    assert (deleted.method, "versionId=v1" in deleted.path) == ("DELETE", True)


def test_what_may_not_be_asked_is_no_success(tmp_path: Path, dated: dict[str, str]) -> None:
    denied = refusal(403, "AccessDenied")
    with answering(Answer(200, EMPTY, dated), denied, denied):
        found = look(on_s3(tmp_path, "gateway"), "root bucket")
    assert (found.status, "s3:GetBucketVersioning" in str(found.remedy)) == (Status.WARNING, True)
    (tmp_path / "again").mkdir()
    with answering(Answer(200, EMPTY, dated), denied, denied, denied):
        found = look(on_s3(tmp_path / "again", "gateway"), "root lifecycle")
    assert (found.status, found.detail.startswith("not tried: ")) == (Status.SKIPPED, True)


@pytest.mark.parametrize("kind", ["dead", "silent"])
def test_an_endpoint_that_does_not_answer_is_given_up_soon(tmp_path: Path, kind: str) -> None:
    with answering(Answer(wait=60)), pytest.MonkeyPatch.context() as patch:
        patch.setattr("lumi_pipeline.doctor.examination.SILENT_AFTER", 0.5)
        if kind == "dead":
            patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        started = time.monotonic()
        found = look(on_s3(tmp_path, "gateway"), "root bucket")
        assert time.monotonic() - started < 10
    assert found.status == Status.PROBLEM
    assert "127.0.0.1" in found.detail


def test_an_alias_and_an_arn_name_the_key_that_s3_tells(tmp_path: Path, dated: dict[str, str]) -> None:
    arn = "arn:aws:kms:eu-central-1:111122223333:key/11111111-2222-3333-4444-555555555555"
    told = {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": arn}
    facts = (Answer(200, EMPTY, dated), Answer(200), refusal(404, "ObjectLockConfigurationNotFoundError"))
    for number, (key, answered, status) in enumerate(
        (
            (arn, told, Status.OK),
            (arn.rpartition("/")[2], told, Status.OK),
            ("alias/lumi", told, Status.OK),
            ("66666666-2222-3333-4444-555555555555", told, Status.PROBLEM),
            (arn, {"x-amz-server-side-encryption": "AES256"}, Status.PROBLEM),
        )
    ):
        script = (*facts, Answer(200), Answer(200, b"", answered), holding(b"probe"), Answer(204))
        (tmp_path / str(number)).mkdir()
        with answering(*script):
            found = look(on_s3(tmp_path / str(number), "gateway", kms_key=key), "root encryption")
        assert found.status == status, (key, found)
