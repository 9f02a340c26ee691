import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.errors import ImportFailed, LumiError
from lumi_pipeline.events import MAX_TEXT_BYTES, Event
from lumi_pipeline.importers import import_cloudtrail
from lumi_pipeline.importers.cloudtrail import action_name
from lumi_pipeline.importers.source import read_records
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from tests.events.making import check_chains, stored

ACCOUNT = "111122223333"


def record(number: int = 1, **changes: object) -> dict[str, object]:
    """A CloudTrail record of a kind, the number-th of its second."""
    values: dict[str, object] = {
        "eventVersion": "1.08",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDAEXAMPLE",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/ana",
            "userName": "ana",
        },
        "eventTime": "2025-07-10T11:42:18Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "ListBuckets",
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "[aws-cli/2.15]",
        "requestParameters": None,
        "requestID": "REQ1",
        "eventID": f"875240ac-e821-4fc6-a311-{number:012x}",
        "recipientAccountId": ACCOUNT,
    }
    return {name: value for name, value in (values | changes).items() if value is not ...}


def write(path: Path, *records: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    return path


@pytest.fixture
def outbox(sqlite_outbox: SqliteOutbox) -> SqliteOutbox:
    """One kind is enough here: what differs between databases is the driver's business, which NDJSON files test."""
    return sqlite_outbox


def imported(outbox: SqliteOutbox, tmp_path: Path, **changes: object) -> Event:
    import_cloudtrail(outbox, write(tmp_path / "one.ndjson", record(**changes)))  # type: ignore[arg-type]
    (event,) = stored(outbox)
    return event


def test_a_record_becomes_an_event(outbox: SqliteOutbox, tmp_path: Path) -> None:
    event = imported(outbox, tmp_path)
    assert event.event_id == "875240ac-e821-4fc6-a311-000000000001"
    assert event.tenant_id == ACCOUNT
    assert event.occurred_at == datetime(2025, 7, 10, 11, 42, 18, tzinfo=UTC)
    assert datetime.now(UTC) - event.recorded_at < timedelta(minutes=5)
    assert (event.action, event.entity_type, event.entity_id) == ("LIST_BUCKETS", "s3", "")
    assert (event.outcome, event.actor_type) == ("success", "user")
    assert (event.actor_id, event.actor_name) == (f"arn:aws:iam::{ACCOUNT}:user/ana", "ana")
    assert event.auth_method == "iam_user"
    assert (event.ip, event.user_agent, event.request_id) == ("203.0.113.7", "[aws-cli/2.15]", "REQ1")
    assert event.before_state is None
    assert event.after_state == json.dumps(record())


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("ListBuckets", "LIST_BUCKETS"),
        ("ConsoleLogin", "CONSOLE_LOGIN"),
        ("DescribeDBInstances", "DESCRIBE_DB_INSTANCES"),
        ("AssumeRoleWithSAML", "ASSUME_ROLE_WITH_SAML"),
        ("ListMFADevices", "LIST_MFA_DEVICES"),
        ("GetFunction20150331v2", "GET_FUNCTION20150331V2"),
        ("Decrypt", "DECRYPT"),
        ("REST.GET.OBJECT", "REST_GET_OBJECT"),
        ("Create Thing", "CREATE_THING"),
    ],
)
def test_names_become_upper_snake(name: str, action: str) -> None:
    assert action_name(name) == action


ROLE = {"type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/x/y", "principalId": "AROA:y"}


@pytest.mark.parametrize(
    ("changes", "column", "expected"),
    [
        ({"errorCode": "AccessDenied"}, "outcome", "failure"),
        ({"errorCode": None}, "outcome", "success"),
        (
            {"resources": [{"ARN": "arn:aws:s3:::a", "type": "T"}, {"ARN": "arn:aws:s3:::b"}]},
            "entity_id",
            "arn:aws:s3:::a",
        ),
        ({"resources": [], "requestParameters": {"bucketName": "b"}}, "entity_id", "b"),
        ({"resources": None, "requestParameters": {"name": "n", "userName": "u"}}, "entity_id", "u"),
        ({"requestParameters": {"instanceId": "i-1", "other": 7}}, "entity_id", "i-1"),
        ({"requestParameters": {"bucketName": 7, "roleName": "", "name": "n"}}, "entity_id", "n"),
        ({"requestParameters": {"maxResults": 5}}, "entity_id", ""),
        ({"userIdentity": {"type": "AWSService", "invokedBy": "rds.amazonaws.com"}}, "actor_type", "service"),
        ({"userIdentity": {"type": "AWSService", "invokedBy": "rds.amazonaws.com"}}, "actor_id", "rds.amazonaws.com"),
        ({"userIdentity": {"type": "AWSService", "invokedBy": "rds.amazonaws.com"}}, "auth_method", "aws_service"),
        ({"userIdentity": {"type": "IAMUser", "invokedBy": "AWS Internal"}}, "actor_type", "system"),
        ({"sourceIPAddress": "AWS Internal"}, "actor_type", "system"),
        ({"sourceIPAddress": "AWS Internal"}, "ip", "AWS Internal"),
        ({"userIdentity": {"type": "Root", "principalId": "1"}}, "actor_id", "1"),
        ({"userIdentity": {}}, "actor_id", "unknown"),
        ({"userIdentity": {}}, "auth_method", None),
        ({"userIdentity": ...}, "actor_id", "unknown"),
        ({"userIdentity": ROLE}, "auth_method", "assumed_role"),
        (
            {"userIdentity": ROLE | {"sessionContext": {"attributes": {"mfaAuthenticated": "true"}}}},
            "auth_method",
            "assumed_role+mfa",
        ),
        (
            {"userIdentity": ROLE | {"sessionContext": {"attributes": {"mfaAuthenticated": "false"}}}},
            "auth_method",
            "assumed_role",
        ),
        ({"requestID": None}, "request_id", None),
        ({"userAgent": ...}, "user_agent", None),
    ],
)
def test_each_column_comes_from_its_field(
    outbox: SqliteOutbox, tmp_path: Path, changes: dict[str, object], column: str, expected: str | None
) -> None:
    assert getattr(imported(outbox, tmp_path, **changes), column) == expected


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"eventID": ...}, "eventID is missing"),
        ({"eventID": "875240AC-E821-4FC6-A311-000000000001"}, "event_id must be"),
        ({"recipientAccountId": None}, "recipientAccountId is missing"),
        ({"eventTime": "10.07.2025"}, "eventTime must be like"),
        ({"eventTime": "2025-02-30T00:00:00Z"}, "no time that exists"),
        ({"eventTime": "2025-02-28T00:00:00+01:00"}, "eventTime must be like"),
        ({"eventTime": 1752147738}, "eventTime must be text, got int"),
        ({"eventName": "7Up"}, "action must be"),
        ({"eventName": ""}, "eventName is missing"),
        ({"userIdentity": "ana"}, "userIdentity must be an object, got str"),
        (
            {"userIdentity": {"type": "Root", "sessionContext": []}},
            "userIdentity.sessionContext must be an object, got list",
        ),
        ({"userIdentity": {"type": 1}}, "userIdentity.type must be text, got int"),
        ({"userAgent": ["a"]}, "userAgent must be text, got list"),
        ({"userAgent": "a\0"}, "user_agent has a NUL"),
        ({"userAgent": "\ud800"}, "user_agent has a lone surrogate"),
    ],
)
def test_a_record_that_is_no_event_is_named_and_nothing_recorded(
    outbox: SqliteOutbox, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    path = write(tmp_path / "trail.ndjson", record(1), record(2, **changes))
    with pytest.raises(ImportFailed, match=rf"trail\.ndjson: line 2: .*{reason}"):
        import_cloudtrail(outbox, path)
    assert stored(outbox) == []


SPELLED = (
    '{ "eventID" : "875240ac-e821-4fc6-a311-%012x",%s "n": 1.50, "u": "\\u00e9é", "eventTime":"2025-07-10T11:42:18Z",'
)
SPELLED += '"eventSource":"s3.amazonaws.com","eventName":"X","recipientAccountId":"1" }'


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", ["ndjson", "crlf", "array", "pretty"])
def test_every_kind_of_file_keeps_each_record_byte_for_byte(
    outbox: SqliteOutbox, tmp_path: Path, kind: str, zipped: bool
) -> None:
    lines = [SPELLED % (number, "\n\t" if kind == "pretty" else "") for number in range(3)]
    text = {
        "ndjson": "\n".join(lines) + "\n",
        "crlf": "\r\n".join(lines) + "\r\n\r\n",
        "array": '{"Records":[' + ",".join(lines) + "]}",
        "pretty": '\n{\n  "Records" : [\n    ' + " ,\n    ".join(lines) + "\n  ]\n}\n",
    }[kind]
    path = tmp_path / ("trail.json.gz" if zipped else "trail.json")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    report = import_cloudtrail(outbox, path)
    assert (report.read, report.added, report.tenants) == (3, 3, 1)
    assert [event.after_state for event in stored(outbox)] == lines


def test_an_empty_array_is_no_error(outbox: SqliteOutbox, tmp_path: Path) -> None:
    path = tmp_path / "empty.json"
    for text in ('{"Records":[]}', '{"Records": [ ] }\n', "", "\n\n"):
        path.write_text(text)
        assert import_cloudtrail(outbox, path).read == 0


def test_records_longer_than_a_reading_step_come_whole(outbox: SqliteOutbox, tmp_path: Path) -> None:
    agents = ["é" * 250_000, "x" * 900_000, "y", "é" * 400_001]
    records = [record(number, userAgent=agent) for number, agent in enumerate(agents)]
    path = tmp_path / "long.json"
    path.write_text(json.dumps({"Records": records}, ensure_ascii=False), encoding="utf-8")
    import_cloudtrail(outbox, path)
    assert [event.user_agent for event in stored(outbox)] == agents


@pytest.mark.parametrize("array", [False, True])
def test_a_record_too_long_for_an_event_is_refused(outbox: SqliteOutbox, tmp_path: Path, array: bool) -> None:
    text = json.dumps(record(userAgent="x" * MAX_TEXT_BYTES))
    path = tmp_path / "long.json"
    path.write_text(f'{{"Records":[{text}]}}' if array else text)
    with pytest.raises(ImportFailed, match=rf"line 1.*longer than {MAX_TEXT_BYTES} bytes"):
        import_cloudtrail(outbox, path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[1, 2]", "line 1 is not a JSON object but list"),
        (b"7\n", "line 1 is not a JSON object but int"),
        (b"{}\n", "line 1: eventID is missing"),
        (b"{\n", "line 1 is not a JSON object"),
        (b"\n\nnonsense\n", "line 3 is not a JSON object"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a":"\xff"}', "line 1 is not valid UTF-8 at byte 6"),
        (b'{"a":NaN}', "line 1 is not a JSON object: NaN is not JSON"),
        (b'{"a":' + b"[" * 200_000, "line 1 is not a JSON object"),
        (b'{"a":' + b"1" * 5000 + b"}", "line 1 is not a JSON object"),
        (b'{"Records":[', "line 1, record 1 is not a JSON object"),
        (b'{"Records":[\n7]}', "line 2, record 1 is not a JSON object but int"),
        (b'{"Records":[{},', "line 1: eventID|record 1: eventID is missing"),
        (b'{"Records":[{}{}]}', "eventID is missing"),
        (b'{"Records":[,{}]}', "record 1 is not a JSON object"),
        (b'{"Records":[{"a":"\xff"}]}', "not valid UTF-8"),
        (b'{"Records":[]', "only the end of the object may follow"),
        (b'{"Records":[],"x":1}', "only the end of the object may follow"),
        (b'{"Records":[]}{}', "something follows the end"),
        (gzip.compress(b"{}", mtime=0)[:-4], "not a whole gzip file"),
        (b"\x1f\x8bnonsense", "not a whole gzip file"),
        (b"\x1f\x8b", "not a whole gzip file"),
    ],
)
def test_a_file_that_is_something_else_is_refused(
    outbox: SqliteOutbox, tmp_path: Path, data: bytes, reason: str
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(data)
    with pytest.raises(ImportFailed, match=reason) as caught:
        import_cloudtrail(outbox, path)
    assert str(path) in str(caught.value)
    assert stored(outbox) == []


def test_a_record_after_a_good_one_must_follow_a_comma(outbox: SqliteOutbox, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(f'{{"Records":[{json.dumps(record(1))}\n{json.dumps(record(2))}]}}')
    with pytest.raises(ImportFailed, match="line 2, record 2: expected a comma"):
        import_cloudtrail(outbox, path)
    path.write_text(f'{{"Records":[{json.dumps(record(1))},]}}')
    with pytest.raises(ImportFailed, match="line 1, record 2 is not a JSON object"):
        import_cloudtrail(outbox, path)
    assert stored(outbox) == []


def test_a_missing_file_is_named(outbox: SqliteOutbox, tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ImportFailed, match=f"{path} cannot be read"):
            import_cloudtrail(outbox, path)


ZIPPED = gzip.compress(b'{"a":[1]}\n', mtime=0)


@settings(max_examples=80)
@given(st.binary(max_size=60), st.sampled_from([b"", b'{"Records":[', b"\x1f\x8b\x08\x00", ZIPPED]))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.json"
    path.write_bytes(start + data)
    try:
        records = list(read_records(path, 1000))
    except LumiError:
        return
    for one in records:
        assert json.loads(one.text) == one.values


def test_importing_again_adds_nothing(outbox: SqliteOutbox, tmp_path: Path) -> None:
    path = write(tmp_path / "trail.ndjson", *(record(number) for number in (1, 2, 3, 2)))
    first = import_cloudtrail(outbox, path)
    assert (first.read, first.added, first.already_there) == (4, 3, 1)
    again = import_cloudtrail(outbox, path, recorded_at="occurred")
    assert (again.read, again.added, again.already_there, again.first) == (4, 0, 4, None)
    write(path, *(record(number) for number in (3, 4)))
    more = import_cloudtrail(outbox, path)
    assert (more.added, more.already_there) == (1, 1)
    assert check_chains(outbox) == {ACCOUNT: 4}


def test_a_tenant_can_be_named_for_all(outbox: SqliteOutbox, tmp_path: Path) -> None:
    path = write(
        tmp_path / "trail.ndjson", record(1), record(2, recipientAccountId="2"), record(3, recipientAccountId=...)
    )
    assert import_cloudtrail(outbox, path, tenant="acme").tenants == 1
    assert check_chains(outbox) == {"acme": 3}
