"""The destination ``s3``: against a real gateway where there is one, moto, and a server that answers as AWS does."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lumi_pipeline.catalogue import CATALOGUE
from lumi_pipeline.errors import ConfigError, SiemError
from lumi_pipeline.siem.destination import Assurance, Destination, Outcome, Result
from tests.s3 import CUSTOMER_KEY, S3
from tests.s3answers import DROPPED, Answer, answering, refusal
from tests.siem.samples import event, opened, outgoing
from tests.siem.sending import records_of, table_of

RECORDS = [f'{{"seq":{i},"text":"Zoë"}}'.encode() for i in range(10)]
KEY = {"kms_key": CUSTOMER_KEY}


def connect(bucket: str, **options: object) -> Destination:
    return opened("s3", **{"bucket": bucket, "region": "us-east-1", "prefix": "audit", "timeout": 10, **options})


def held(data: bytes, **headers: str) -> Answer:
    """The answer to HEAD of an object with these bytes."""
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return Answer(200, b"", {"x-amz-checksum-sha256": checksum, "Content-Length": str(len(data)), **headers})


def test_a_batch_is_an_object_under_the_customers_key(ceph: S3) -> None:
    bucket = ceph.bucket(versioned=True)
    destination = connect(bucket, **KEY)
    sent = outgoing(destination, RECORDS)
    outcome = destination.send(sent)
    assert (outcome.result, outcome.assurance) == (Result.DELIVERED, Assurance.STORED)
    key = f"audit/day=2026-03-02/{sent.delivery_id}.ndjson.gz"
    found = ceph.admin.get_object(Bucket=bucket, Key=key)
    assert gzip.decompress(found["Body"].read()) == b"".join(record + b"\n" for record in RECORDS)
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", CUSTOMER_KEY)
    assert outcome.facts == {
        "object": f"s3://{bucket}/{key}",
        "checksum": f"SHA256 {base64.b64encode(hashlib.sha256(sent.body).digest()).decode()}",
        "version": found["VersionId"],
        "kms_key": CUSTOMER_KEY,
    }


def test_a_batch_that_is_sent_twice_is_there_once(s3: S3) -> None:
    bucket = s3.bucket()
    destination = connect(bucket)
    sent = outgoing(destination, RECORDS)
    first, second = destination.send(sent), destination.send(sent)
    assert (first.result, first.detail) == (Result.DELIVERED, "the object is there")
    assert (second.result, second.detail) == (Result.DELIVERED, "the object was there already")
    assert first.facts == second.facts
    assert s3.admin.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_another_object_of_that_name_blocks(s3: S3) -> None:
    bucket = s3.bucket()
    destination = connect(bucket)
    sent = outgoing(destination, RECORDS)
    key = f"audit/day=2026-03-02/{sent.delivery_id}.ndjson.gz"
    s3.admin.put_object(Bucket=bucket, Key=key, Body=b"something else")
    outcome = destination.send(sent)
    assert (outcome.result, "holds something else" in outcome.detail) == (Result.BLOCKED, True)


def test_a_key_that_is_not_there_blocks(ceph: S3) -> None:
    bucket = ceph.bucket()
    unknown = CUSTOMER_KEY.replace("customer-1", "customer-2")
    destination = connect(bucket, kms_key=unknown)
    outcome = destination.send(outgoing(destination, RECORDS))
    assert (outcome.result, f"the KMS key {unknown} can't be used" in outcome.detail) == (Result.BLOCKED, True)
    assert "Contents" not in ceph.admin.list_objects_v2(Bucket=bucket)


def test_check_leaves_nothing(s3: S3) -> None:
    bucket = s3.bucket()
    routes = [{"name": "logins", "actions": ["LOGIN"], "prefix": "logins"}]
    destination = connect(bucket, routes=routes)
    places = [f"s3://{bucket}/logins/", f"s3://{bucket}/audit/"]
    assert list(destination.check()) == [f"objects can be written to {place}" for place in places]
    assert "Contents" not in s3.admin.list_objects_v2(Bucket=bucket)
    assert "Uploads" not in s3.admin.list_multipart_uploads(Bucket=bucket)
    with pytest.raises(SiemError, match=r"siem: .*there is no bucket no-such-bucket"):
        connect("no-such-bucket").check()


def test_credentials_are_read_at_each_attempt(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMER_SECRET", "hunter2")
    given = {"access_key_id": "test", "secret_access_key": "env:CUSTOMER_SECRET"}
    destination = connect(s3.bucket(), **given)
    outcome = destination.send(outgoing(destination, RECORDS))
    if s3.kind == "ceph":  # moto believes every signature
        assert (outcome.result, "the signature is wrong" in outcome.detail) == (Result.BLOCKED, True)
    assert "hunter2" not in repr((outcome, destination.settings, vars(destination)))
    monkeypatch.setenv("CUSTOMER_SECRET", "only-for-tests")
    assert destination.send(outgoing(destination, RECORDS)).result is Result.DELIVERED
    monkeypatch.delenv("CUSTOMER_SECRET")
    outcome = destination.send(outgoing(destination, RECORDS))
    assert (outcome.result, "CUSTOMER_SECRET is not set" in outcome.detail) == (Result.BLOCKED, True)


def test_a_role_of_the_owners_is_assumed(aws_like_s3: S3) -> None:
    role = {"role_arn": "arn:aws:iam::123456789012:role/lumi", "external_id": "agreed"}
    destination = connect(aws_like_s3.bucket(), **role)
    assert destination.send(outgoing(destination, RECORDS)).result is Result.DELIVERED


def scripted(*script: Answer, records: list[bytes] = RECORDS, **options: object) -> tuple[Outcome, list[Any]]:
    """What comes of one request that is answered by a script, and what was asked."""
    with answering(*script) as server:
        given = {"bucket": "audit-logs", "endpoint": server.endpoint, "allow_private": True, "timeout": 5}
        destination = opened("s3", **{**given, "region": "us-east-1", **options})
        outcome = destination.send(outgoing(destination, records))
        destination.close()
    assert not any(secret in repr(outcome) for secret in ("hunter", "AKIAHUNTER", "Zo"))
    return outcome, server.requests


def test_the_request_is_what_aws_documents() -> None:
    body = opened("s3", bucket="b-1").body(b"".join(record + b"\n" for record in RECORDS))
    found = held(body, **{"x-amz-version-id": "v1", "x-amz-server-side-encryption-aws-kms-key-id": CUSTOMER_KEY})
    outcome, (put, head) = scripted(Answer(200), found, **KEY)
    assert outcome.result is Result.DELIVERED
    assert (outcome.facts["version"], outcome.facts["kms_key"]) == ("v1", CUSTOMER_KEY)
    assert (put.method, put.body, head.method) == ("PUT", body, "HEAD")
    wanted = {
        "if-none-match": "*",
        "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(body).digest()).decode(),
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": CUSTOMER_KEY,
        "x-amz-server-side-encryption-bucket-key-enabled": "true",
        "x-amz-meta-lumi-sha256": hashlib.sha256(body).hexdigest(),
    }
    assert {name: put.headers.get(name) for name in wanted} == wanted
    assert head.headers["x-amz-checksum-mode"] == "ENABLED"


@pytest.mark.parametrize(
    ("answer", "result", "detail"),
    [
        (refusal(503, "SlowDown"), Result.RETRY, "S3 is busy"),
        (refusal(500, "InternalError"), Result.RETRY, "S3 is busy"),
        (refusal(400, "RequestTimeout"), Result.RETRY, "S3 is busy"),
        (refusal(409, "ConditionalRequestConflict"), Result.RETRY, "ConditionalRequestConflict"),
        (refusal(400, "KMS.ThrottlingException"), Result.RETRY, "KMS.ThrottlingException"),
        (refusal(400, "BadDigest"), Result.RETRY, "arrived damaged"),
        (refusal(403, "AccessDenied"), Result.BLOCKED, "the credentials need s3:PutObject"),
        (refusal(400, "KMS.DisabledException"), Result.BLOCKED, "can't be used (KMS.DisabledException); check that"),
        (refusal(400, "KMS.NotFoundException"), Result.BLOCKED, "can't be used (KMS.NotFoundException); check that"),
        (refusal(404, "NoSuchBucket"), Result.BLOCKED, "there is no bucket audit-logs"),
        (refusal(403, "InvalidAccessKeyId"), Result.BLOCKED, "the access key is unknown"),
        (DROPPED, Result.AMBIGUOUS, "breaks off"),
    ],
)
def test_refusals_are_told_apart(answer: Answer, result: Result, detail: str) -> None:
    outcome, asked = scripted(answer, **KEY)
    assert outcome.result is result, outcome
    assert detail in outcome.detail
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("taken", "found", "result", "assurance"),
    [
        (False, refusal(403, "AccessDenied"), Result.DELIVERED, Assurance.RECEIVED),
        (True, Answer(403), Result.BLOCKED, None),
        (True, Answer(404), Result.RETRY, None),
        (False, DROPPED, Result.AMBIGUOUS, None),
        (False, held(b"damaged"), Result.BLOCKED, None),
    ],
)
def test_what_is_found_afterwards_counts(
    taken: bool, found: Answer, result: Result, assurance: Assurance | None
) -> None:
    outcome, asked = scripted(refusal(412, "PreconditionFailed") if taken else Answer(200), found)
    assert (outcome.result, outcome.assurance) == (result, assurance)
    assert [request.method for request in asked] == ["PUT", "HEAD"]


def test_an_endpoint_that_is_not_there_is_tried_again() -> None:
    destination = opened("s3", bucket="b-1", region="us-east-1", endpoint="http://127.0.0.1:9", allow_private=True,
                         access_key_id="test", secret_access_key="env:HOME")  # fmt: skip
    outcome = destination.send(outgoing(destination, RECORDS))
    assert (outcome.result, "can't be reached" in outcome.detail) == (Result.RETRY, True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bucket": "Audit"}, "a bucket's name"),
        ({"prefix": "/audit"}, "the beginning of keys"),
        ({"prefix": "a/../b"}, "the beginning of keys"),
        ({"kms_key": "alias/audit"}, "the full ARN of a KMS key"),
        ({"role_arn": "lumi"}, "the ARN of a role"),
        ({"external_id": "agreed"}, "'external_id' goes with 'role_arn'"),
        ({"access_key_id": "AKIA"}, "go together"),
        ({"endpoint": "http://s3.example"}, "the endpoint has no TLS"),
        ({"layout": "security-lake"}, "needs format = 'ocsf' and 'region'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, changes: Mapping[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened("s3", tmp_path, **{"bucket": "audit-logs", **changes})


def lake(**options: object) -> Destination:
    given = {"bucket": "lake-1", "region": "eu-west-1", "format": "ocsf", "layout": "security-lake"}
    return opened("s3", **{**given, **options})


def grouped(destination: Destination, events: list[dict[str, Any]]) -> dict[str, bytes]:
    """Encoded events by their group, a line each."""
    lines: dict[str, bytes] = {}
    groups = destination.group(table_of(*events))
    assert groups is not None
    for name, line in zip(groups.to_pylist(), records_of(destination, *events), strict=True):
        lines[name] = lines.get(name, b"") + line + b"\n"
    return lines


def without_nulls(value: Any) -> Any:  # noqa: ANN401 - a JSON value
    match value:
        case dict():
            return {name: kept for name, inner in value.items() if (kept := without_nulls(inner)) not in (None, {})}
        case list():
            return [without_nulls(inner) for inner in value]
    return value


@pytest.mark.parametrize("sparse", [False, True])
def test_every_action_has_its_columns(sparse: bool, tmp_path: Path) -> None:
    optional = ("auth_method", "actor_name", "ip", "user_agent", "request_id", "after_state", "payload_salt")
    changes = dict.fromkeys(optional) if sparse else {"before_state": "[1]"}
    events = [event(i, action=action, **changes) for i, action in enumerate([*CATALOGUE, "SOMETHING_NEW"])]
    destination = lake()
    found = grouped(destination, events)
    assert set(found) == {f"{uid}/20260302" for uid in (3001, 3002, 3004, 3005, 3006, 6001, 6003, 6005)}
    for lines in found.values():
        body = destination.body(lines)
        assert body == destination.body(lines)
        wanted = sorted(map(json.loads, lines.splitlines()), key=lambda record: record["time"])
        assert [without_nulls(row) for row in pq.read_table(pa.BufferReader(body)).to_pylist()] == wanted
        (tmp_path / "one.parquet").write_bytes(body)
        read = duckdb.execute("SELECT metadata.uid, time FROM read_parquet($1)", [str(tmp_path / "one.parquet")])
        assert read.fetchall() == [(record["metadata"]["uid"], record["time"]) for record in wanted]


def test_parquet_is_as_security_lake_wants_it() -> None:
    times = [3, 1, 2, 1, 0]
    start = event()["occurred_at"]
    events = [event(i, occurred_at=start.replace(second=second)) for i, second in enumerate(times)]
    (lines,) = grouped(lake(), events).values()
    parquet = pq.ParquetFile(pa.BufferReader(lake().body(lines)))
    assert parquet.read().column("metadata").combine_chunks().field("sequence").to_pylist() == [4, 1, 3, 2, 0]
    assert (parquet.metadata.num_row_groups, parquet.metadata.row_group(0).column(0).compression) == (1, "ZSTD")


def test_objects_lie_where_security_lake_looks() -> None:
    events = [
        event(0, action="LOGIN"),
        event(1, action="LOGIN", occurred_at=event()["occurred_at"].replace(day=1)),
        event(2, action="POLICY_UPDATED"),
    ]
    destination = lake(account_id="123456789012")
    names = list(grouped(destination, events))
    assert names == ["3002/20260302", "3002/20260301", "3004/20260302"]


def test_a_parquet_object_is_written(s3: S3) -> None:
    bucket = s3.bucket()
    destination = connect(bucket, format="ocsf", layout="security-lake", prefix="lake", account_id="123456789012")
    ((group, lines),) = grouped(destination, [event(i) for i in range(5)]).items()
    sent = outgoing(destination, [lines[:-1]], group=group)
    outcome = destination.send(sent)
    assert outcome.result is Result.DELIVERED
    place = "lake/ext/lumi-3004/region=us-east-1/accountId=123456789012/eventDay=20260302"
    found = s3.admin.get_object(Bucket=bucket, Key=f"{place}/{sent.delivery_id}.parquet")
    assert pq.read_table(pa.BufferReader(found["Body"].read())).num_rows == 5
