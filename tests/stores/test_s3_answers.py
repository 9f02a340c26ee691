"""Whatever S3 answers, or does not answer, ends in success or in an error that says what to do, and tells no secret."""

import hashlib
import socket
import time
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from lumi_pipeline.stores.objectlock import ObjectLock, Retention
from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3client import Limits, S3Connection
from lumi_pipeline.stores.s3errors import EXPIRED
from tests.lake.world import Clock, at
from tests.s3answers import DROPPED, Answer, answering, credentials, holding, refusal
from transparency.errors import ObjectConflict, ObjectMissing, StoreError

IMPATIENT = Limits(attempts=2, connect_timeout=0.5, read_timeout=0.5)
OK = Answer()
EXISTS = refusal(412, "PreconditionFailed")
BUSY = refusal(503, "SlowDown")


def store(limits: Limits = IMPATIENT, **options: object) -> S3Store:
    return S3Store(S3Connection(limits), "bucket", "lake/", **options)  # type: ignore[arg-type]


def failure(act: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        act()
    assert not isinstance(caught.value, ObjectMissing | ObjectConflict)
    message = str(caught.value)
    assert "hunter" not in message
    assert "AKIA" not in message
    return message


OPERATIONS: dict[str, Callable[[S3Store], object]] = {
    "read": lambda s: s.get("a/b"),
    "create": lambda s: s.put_new("a/b", b"1"),
    "replace": lambda s: s.put("a/b", b"1"),
    "list": lambda s: list(s.list("a/")),
    "delete": lambda s: s.delete("a/b"),
}


@pytest.mark.parametrize("doing", OPERATIONS)
def test_a_missing_right_is_named(doing: str) -> None:
    with answering(refusal(403, "AccessDenied", "Access Denied")):
        message = failure(lambda: OPERATIONS[doing](store()))
    right = {"read": "s3:GetObject", "list": "s3:ListBucket", "delete": "s3:DeleteObject"}.get(doing, "s3:PutObject")
    assert message.startswith(
        f"{'a/' if doing == 'list' else 'a/b'}: cannot {doing} it in s3://bucket/lake: access denied"
    )
    assert right in message
    assert "PutObjectRetention" not in message


def test_the_right_to_lock_is_named_where_objects_are_locked() -> None:
    lock = ObjectLock(Retention("compliance", 3), Clock(at(0)), ("log/",))
    with answering(refusal(403, "AccessDenied")):
        assert "s3:PutObjectRetention" in failure(lambda: store(lock=lock).put_new("log/b", b""))
        assert "s3:PutObjectRetention" not in failure(lambda: store(lock=lock).put_new("landed/b", b""))


DENIED_BY_KMS = (
    "User: arn:aws:iam::111122223333:user/lumi is not authorized to perform: kms:GenerateDataKey on resource: "
    "arn:aws:kms:eu-west-1:111122223333:key/k because no identity-based policy allows the kms:GenerateDataKey action"
)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refusal(403, "AccessDenied", DENIED_BY_KMS), "the KMS key key-1 can't be used"),
        (refusal(400, "KMS.DisabledException"), "key-1 can't be used (KMS.DisabledException)"),
        (refusal(400, "ExpiredToken", "The provided token has expired.", **{"Token-0": "hunter2"}), "have expired"),
        (refusal(400, "InvalidToken"), "AWS_SESSION_TOKEN"),
        (refusal(403, "InvalidAccessKeyId", AWSAccessKeyId="AKIAHUNTER0"), "the access key is unknown there"),
        (refusal(403, "SignatureDoesNotMatch", AWSAccessKeyId="AKIAHUNTER0"), "does not belong to the access key"),
        (refusal(403, "RequestTimeTooSkewed"), "clock differs too much"),
        (refusal(404, "NoSuchBucket"), "there is no bucket bucket"),
        (refusal(301, "PermanentRedirect"), "not in the region asked; set AWS_REGION"),
        (
            refusal(400, "AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-west-1'"),
            "is in the region eu-west-1; set AWS_REGION=eu-west-1",
        ),
        (
            Answer(301, refusal(301, "PermanentRedirect").body, {"x-amz-bucket-region": "eu-north-1"}),
            "AWS_REGION=eu-north-1",
        ),
        (refusal(400, "BadDigest"), "arrived damaged"),
        (refusal(501, "NotImplemented", "A header you provided implies..."), "create-only puts (If-None-Match)"),
        (refusal(403, "QuotaExceeded", "Over quota"), "S3 refused it with QuotaExceeded: 'Over quota'"),
        (Answer(500, b"<html>not S3</html>"), "busy or in trouble"),
    ],
    ids=lambda value: value.body[13:45].decode("ascii", "replace") if isinstance(value, Answer) else "",
)
def test_what_is_refused_says_what_to_do(answer: Answer, said: str) -> None:
    with answering(answer):
        assert said in failure(lambda: store(kms_key="key-1").put_new("a", b"1"))


def test_a_bucket_without_object_lock_is_named_as_the_reason() -> None:
    lock = ObjectLock(Retention("compliance", 3), Clock(at(0)), ("log/",))
    with answering(refusal(400, "InvalidRequest", "Bucket is missing Object Lock Configuration")):
        assert "made with Object Lock enabled" in failure(lambda: store(lock=lock).put_new("log/b", b""))


def test_a_busy_server_is_asked_again_and_given_up_in_the_end() -> None:
    with answering(BUSY, OK) as server:
        store().put_new("a", b"1")
    assert [request.method for request in server.requests] == ["PUT", "PUT"]
    with answering(BUSY) as server:
        assert "run again later" in failure(lambda: store().put_new("a", b"1"))
    assert len(server.requests) == 2


def test_a_creation_whose_answer_was_lost_is_recognised_as_our_own() -> None:
    with answering(DROPPED, EXISTS, holding(b"ours")) as server:
        store().put_new("a", b"ours")
    assert [request.method for request in server.requests] == ["PUT", "PUT", "GET"]
    with answering(DROPPED, EXISTS, holding(b"theirs")), pytest.raises(ObjectConflict, match="other bytes"):
        store().put_new("a", b"ours")


def test_a_creation_that_meets_another_in_flight_is_tried_again() -> None:
    conflict = refusal(409, "ConditionalRequestConflict")
    with answering(conflict, conflict, OK) as server:
        store().put_new("a", b"1")
    assert len(server.requests) == 3
    with answering(conflict):
        assert "others keep writing it" in failure(lambda: store().put_new("a", b"1"))


def test_an_object_that_vanishes_between_refusal_and_comparison_is_created_after_all() -> None:
    with answering(EXISTS, refusal(404, "NoSuchKey"), OK) as server:
        store().put_new("a", b"1")
    assert [request.method for request in server.requests] == ["PUT", "GET", "PUT"]


def test_an_answer_that_breaks_off_or_arrives_damaged_is_fetched_again() -> None:
    whole = holding(b"whole object")
    for broken in (DROPPED, Answer(200, whole.body, whole.headers, cut=5), holding(b"damaged!", checksum_of=b"whole")):
        with answering(broken, whole) as server:
            assert store().get("a") == b"whole object"
        assert len(server.requests) == 2
        with answering(broken):
            reason = failure(lambda: store().get("a"))
            assert "can't be reached or breaks off" in reason or "not what its checksum says" in reason


def test_an_object_larger_than_a_stranger_may_send_is_not_received() -> None:
    capped = store(Limits(attempts=1, largest=10))
    with answering(holding(b"x" * 10), holding(b"x" * 11)):
        assert capped.get("a") == b"x" * 10
        assert "larger than 10 bytes" in failure(lambda: capped.get("a"))


@pytest.mark.parametrize("size", [3, 25], ids=["one request", "parts"])
def test_every_request_carries_the_hash_of_its_body_under_the_signature(size: int) -> None:
    data = bytes(range(size))
    begun = Answer(200, b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
    part = Answer(200, b"", {"ETag": '"e"'})
    with answering(*([refusal(404, "NoSuchKey"), begun, part, part, part, OK] if size > 20 else [OK])) as server:
        store(Limits(multipart_from=20, part_size=10)).put_new("a", data)
    sent = [request for request in server.requests if request.method == "PUT"]
    assert b"".join(request.body for request in sent) == data
    for request in sent:
        digest = hashlib.sha256(request.body)
        assert request.headers["x-amz-checksum-sha256"] == b64encode(digest.digest()).decode()
        assert request.headers["x-amz-content-sha256"] == digest.hexdigest()
        assert "x-amz-content-sha256" in request.headers["authorization"]
    assert server.requests[-1].headers["if-none-match"] == "*"


def test_an_upload_in_parts_whose_last_answer_was_lost_is_recognised_as_our_own() -> None:
    begun = Answer(200, b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
    data = b"x" * 20
    script = [
        refusal(404, "NoSuchKey"),
        begun,
        Answer(200, b"", {"ETag": '"e"'}),
        DROPPED,
        refusal(404, "NoSuchUpload"),
    ]
    with answering(*script, OK, holding(data)) as server:
        store(Limits(multipart_from=20, part_size=20)).put_new("a", data)
    assert [request.method for request in server.requests] == ["HEAD", "POST", "PUT", "POST", "POST", "DELETE", "GET"]


def test_a_dead_endpoint_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for name, value in credentials(endpoint).items():
        monkeypatch.setenv(name, value)
    started = time.monotonic()
    assert f"{endpoint} can't be reached" in failure(lambda: store().get("a"))
    assert time.monotonic() - started < 10


def test_an_endpoint_that_never_answers_is_given_up() -> None:
    with answering(Answer(wait=60)) as server:
        assert f"{server.endpoint} does not answer" in failure(lambda: store().get("a"))
    assert len(server.requests) == 2


def test_a_password_in_the_endpoint_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in credentials("http://user:hunter3@127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    assert "127.0.0.1:1" in failure(lambda: store().get("a"))


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_SESSION_TOKEN": None}, "there are no creden"),
        ({"AWS_SECRET_ACCESS_KEY": None}, "the credentials lack"),
        ({"AWS_PROFILE": "nobody"}, "there is no profile 'nobody'"),
        ({"AWS_ENDPOINT_URL": "not an address"}, "AWS_ENDPOINT_URL is not an address"),
        ({"AWS_DEFAULT_REGION": "not a region"}, "set AWS_REGION"),
    ],
)
def test_settings_that_are_missing_or_wrong_are_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str | None], said: str
) -> None:
    for name, value in {**credentials("http://127.0.0.1:1"), **variables}.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    assert said in failure(lambda: store().get("a"))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo hunter9 >&2; exit 1", "custom-process"),
        (
            'echo \'{"Version":1,"AccessKeyId":"A","SecretAccessKey":"hunter1","Expiration":"2020-01-01T00:00:00Z"}\'',
            EXPIRED,
        ),
    ],
)
def test_credentials_that_cannot_be_renewed_are_told_without_what_the_renewal_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    program = tmp_path / "credentials"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    (tmp_path / "config").write_text(f"[profile renewing]\ncredential_process = {program}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "renewing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert said in failure(lambda: store().get("a"))
