"""The format ``ocsf``, held against OCSF 1.8.0 as an independent package has it."""

import ipaddress
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from lumi_pipeline.catalogue import CATALOGUE, find_action
from lumi_pipeline.siem.destinations.https import open_destination
from lumi_pipeline.siem.ipaddresses import IP_ADDRESS
from tests.siem.samples import event
from tests.siem.sending import records_of, settings_of

VERSION = "1.8.0"
UNLISTED = "SOMETHING_NEW"
ACTIONS = [*CATALOGUE, UNLISTED]
OPTIONAL = (
    "auth_method", "actor_name", "ip", "user_agent", "request_id", "before_state", "after_state", "payload_salt",
)  # fmt: skip
SPARSE = dict.fromkeys(OPTIONAL)
WEIRD = '\u0001\u0007\t\n\r"\\/\u2028\u2029\u007f\u0085\ufeff\ufffe\U0001f469\u200d\U0001f4bb e\u0301 \u202e</script>'


@cache
def schemas() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(VERSION))


@cache
def validator(class_uid: int, profiles: tuple[str, ...]) -> Draft202012Validator:
    name = schemas().lookup_class_name_from_uid(class_uid)
    return Draft202012Validator(schemas().get_class_schema(name, list(profiles)))


@cache
def captions(class_uid: int) -> Mapping[str, Any]:
    """OCSF's own names of a class and of the values of its enumerations."""
    schema = get_ocsf_schema(VERSION)
    found: dict[str, Any] = next(c for c in schema["classes"].values() if c["uid"] == class_uid)
    return found


def encode(*events: dict[str, Any]) -> list[dict[str, Any]]:
    destination = open_destination(settings_of(Path(), kind="https", url="https://siem.example/", format="ocsf"))
    lines = records_of(destination, *events)
    assert not any(b"\n" in line for line in lines)
    return [json.loads(line, object_pairs_hook=unique) for line in lines]


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are there once each."""
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def of_action(name: str, **changes: object) -> dict[str, Any]:
    return event(action=name, entity_type=find_action(name).entity_type or "thing", **changes)


def check(record: dict[str, Any]) -> None:
    profiles = tuple(record["metadata"].get("profiles", ()))
    errors = [error.message for error in validator(record["class_uid"], profiles).iter_errors(record)]
    assert errors == [], (record["metadata"]["event_code"], errors)
    assert nulls(record) == []


def nulls(value: object, path: str = "") -> list[str]:
    match value:
        case dict():
            return [found for name, inner in value.items() for found in nulls(inner, f"{path}.{name}")]
        case list():
            return [found for inner in value for found in nulls(inner, f"{path}[]")]
    return [path] if value is None else []


def test_the_validator_refuses_what_is_wrong() -> None:
    (record,) = encode(event())
    for wrong in ({"status_id": 77}, {"extra": 1}, {"time": "now"}, {"src_endpoint": {"ip": "no address"}}):
        with pytest.raises(AssertionError):
            check(record | wrong)
    del record["entity"]
    with pytest.raises(AssertionError):
        check(record)


def both(names: Sequence[str], **changes: object) -> list[dict[str, Any]]:
    return encode(*(of_action(name, **changes) for name in names))


def test_every_action_is_valid_with_everything() -> None:
    for record in both(ACTIONS):
        check(record)


def test_every_action_is_valid_with_nothing_optional() -> None:
    for record in both(ACTIONS, **SPARSE):
        check(record)


@pytest.mark.parametrize("outcome", ["success", "failure", "unknown"])
@pytest.mark.parametrize("actor_type", ["user", "service", "system", "support"])
def test_every_action_is_valid_whoever_did_it(outcome: str, actor_type: str) -> None:
    for record in both(ACTIONS, outcome=outcome, actor_type=actor_type, auth_method="password+totp"):
        check(record)
        assert record["status"].lower() == outcome
        assert record["status_id"] == {"success": 1, "failure": 2, "unknown": 0}[outcome]
        assert record["actor"]["user"]["type"].lower() == actor_type


@pytest.mark.parametrize("entity_type", ["user", "service_account", "session", "something else", ""])
def test_every_action_is_valid_on_any_entity(entity_type: str) -> None:
    for record in encode(*(event(action=name, entity_type=entity_type, entity_id="") for name in ACTIONS)):
        check(record)


def test_any_text_arrives_as_it_is() -> None:
    texts = {name: WEIRD for name in (*OPTIONAL, "entity_id", "actor_id") if name != "payload_salt"}
    for name, record in zip(ACTIONS, both(ACTIONS, **texts), strict=True):
        check(record)
        assert recovered(record)["after_state"] == recovered(record)["ip"] == recovered(record)["entity_id"] == WEIRD
        assert record["metadata"]["event_code"] == name


def test_names_are_those_of_the_schema() -> None:
    for record in both(ACTIONS):
        listed = captions(record["class_uid"])
        assert record["class_name"] == listed["caption"]
        assert (record["category_uid"], record["category_name"]) == (listed["category_uid"], listed["category_name"])
        activity = listed["attributes"]["activity_id"]["enum"][str(record["activity_id"])]["caption"]
        named = record["metadata"]["event_code"] if activity == "Other" else activity
        assert record["activity_name"] == named
        assert record["type_uid"] == record["class_uid"] * 100 + record["activity_id"]
        assert record["type_name"] == f"{record['class_name']}: {activity}"
        for sibling in ("severity", "status", "auth_protocol"):
            if (number := record.get(f"{sibling}_id")) not in {None, 99}:
                assert listed["attributes"][f"{sibling}_id"]["enum"][str(number)]["caption"] == record[sibling]


@pytest.mark.parametrize("sparse", [False, True])
def test_nothing_of_an_event_is_lost(sparse: bool) -> None:
    changes = SPARSE if sparse else {"before_state": "[1,\n2]", "ip": "not an address"}
    events = [of_action(name, **changes) for name in ACTIONS]
    for wanted, record in zip(events, encode(*events), strict=True):
        assert recovered(record) == {name: value for name, value in wanted.items() if name != "erased_at"}


def recovered(record: dict[str, Any]) -> dict[str, Any]:
    """The columns, read back from where they are."""
    unmapped, metadata, actor = record["unmapped"], record["metadata"], record["actor"]["user"]
    typed = (
        next(
            (record[name] for name in ("entity", "group") if name in record),
            *(record[name][0] for name in ("resources", "web_resources") if name in record),
        )
        if {"entity", "group", "resources", "web_resources"} & set(record)
        else {}
    )
    session = record.get("session", {})
    entity_type = typed.get("type") or unmapped.get("entity_type") or "session"
    entity_id = typed.get("uid", unmapped.get("entity_id", session.get("uid", record.get("user", {}).get("uid"))))
    salt = unmapped.get("payload_salt")
    return {
        "tenant_id": metadata["tenant_uid"],
        "seq": metadata["sequence"],
        "event_id": metadata["uid"],
        "recorded_at": datetime.fromisoformat(unmapped["recorded_at"]),
        "occurred_at": datetime.fromisoformat(metadata["original_time"]),
        "action": metadata["event_code"],
        "entity_type": entity_type,
        "entity_id": entity_id,
        "outcome": record["status"].lower(),
        "actor_type": actor["type"].lower(),
        "actor_id": actor["uid"],
        "auth_method": unmapped.get("auth_method"),
        "actor_name": actor.get("name"),
        "ip": record.get("src_endpoint", {}).get("ip", unmapped.get("ip")),
        "user_agent": record.get("http_request", {}).get("user_agent"),
        "request_id": record.get("http_request", {}).get("uid"),
        "before_state": unmapped.get("before_state"),
        "after_state": unmapped.get("after_state"),
        "payload_salt": None if salt is None else bytes.fromhex(salt),
        "payload_hash": bytes.fromhex(unmapped["payload_hash"]),
        "prev_hash": bytes.fromhex(unmapped["prev_hash"]),
        "integrity_hash": bytes.fromhex(unmapped["integrity_hash"]),
    }


def test_times_are_milliseconds_rounded_down() -> None:

    (record,) = encode(event())
    assert (record["time"], record["metadata"]["logged_time"]) == (1_772_452_799_873, 1_772_452_800_123)


@pytest.mark.parametrize(
    ("action", "member"),
    [
        ("LOGIN", {"user": {"type": "User", "type_id": 1, "uid": "u-17", "name": "Zoë Ångström"}}),
        ("LOGIN", {"auth_protocol": "SAML", "auth_protocol_id": 5, "session": {"uid": "T-0"}}),
        ("SESSION_REVOKED", {"user": {"name": "unknown"}, "session": {"uid": "T-0"}}),
        ("USER_DISABLED", {"user": {"uid": "T-0"}}),
        ("ROLE_ASSIGNED", {"user": {"uid": "T-0"}, "privileges": []}),
        ("ACCESS_REQUEST_APPROVED", {"resources": [{"uid": "T-0", "type": "access_request"}]}),
        ("ACCESS_REQUEST_APPROVED", {"user": {"name": "unknown"}}),
        ("GROUP_CREATED", {"group": {"uid": "T-0", "type": "group"}}),
        ("POLICY_UPDATED", {"entity": {"uid": "T-0", "type": "policy"}}),
        ("REPORT_EXPORTED", {"web_resources": [{"uid": "T-0", "type": "report"}]}),
        ("REPORT_EXPORTED", {"src_endpoint": {"ip": "203.0.113.7"}}),
        ("RECOMMENDATION_VIEWED", {"api": {"operation": "RECOMMENDATION_VIEWED", "service": {"name": "lumi"}}}),
        ("OUTBOX_ERASED", {"table": {"name": "audit_outbox"}}),
        (UNLISTED, {"class_uid": 6003, "activity_id": 99, "activity_name": UNLISTED, "type_uid": 600399}),
    ],
)
def test_an_action_has_what_its_class_is_about(action: str, member: dict[str, Any]) -> None:
    (record,) = encode(of_action(action))
    assert {name: record.get(name) for name in member} == member


def test_what_was_left_out_is_said() -> None:
    changes = {"user_agent": "x" * 3_000_000}
    (record,) = encode(event(**changes))
    check(record)
    assert "user_agent" not in record["http_request"]
    assert (record["metadata"]["is_truncated"], record["unmapped"]["omitted"]) == (True, ["user_agent"])


def matched(texts: Sequence[str]) -> list[bool]:
    query = "SELECT list_transform($texts, lambda text: regexp_full_match(text, $pattern))"
    found: list[bool] = duckdb.execute(query, {"texts": list(texts), "pattern": IP_ADDRESS}).fetchall()[0][0]
    return found


@given(st.lists(st.one_of(st.ip_addresses().map(str), st.text("0123456789abcdefF:.", max_size=25)), min_size=1))
def test_addresses_are_recognised(texts: list[str]) -> None:
    assert matched(texts) == [is_address(text) for text in texts]


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def test_unusual_addresses_are_recognised() -> None:
    ten = ["::", "::1", "1::", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", "::ffff:192.0.2.1"]
    assert all(matched([*ten, "1:2:3:4:5:6:192.0.2.1", "1::6:192.0.2.1", "1:2:3:4:5::192.0.2.1"]))
    wrong = ["1::2::3", "1:2:3:4:5:6:7", ":1", "1:", "fe80::1%eth0", "1.2.3.4\n", "01.2.3.4", "256.1.1.1", "::1.2.3"]
    assert not any(matched([*wrong, "1:2:3:4:5:6::192.0.2.1", "1:2:3:4:5:6:7:8::"]))


@pytest.mark.parametrize(
    ("moment", "millis"),
    [
        ("2026-03-02T23:59:59.999999", 1_772_495_999_999),
        ("2026-03-02T12:00:00.000500", 1_772_452_800_000),
        ("1969-12-31T23:59:59.999500", -1),
        ("1969-12-31T23:59:59.999000", -1),
    ],
)
def test_a_time_is_never_later_than_it_was(moment: str, millis: int) -> None:
    """Else the last of a day would have the next day's time, in an object of the day before."""
    occurred = datetime.fromisoformat(f"{moment}+00:00")
    [record] = encode(event(occurred_at=occurred, recorded_at=occurred))
    assert (record["time"], record["metadata"]["logged_time"]) == (millis, millis)
