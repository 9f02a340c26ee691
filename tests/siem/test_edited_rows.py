"""Rows that were edited in the database are delivered as they are, and never put anything of their own into a record.

Columns with a syntax (ids, actions, outcomes) hold whatever whoever edited them wrote.
"""

import json
from pathlib import Path

import pytest

from lumi_pipeline.siem.opening import opened
from lumi_pipeline.siem.settings import read_destinations
from tests.siem.sending import event, records_of

FORGED = ("tenant_id", "event_id", "action", "entity_type", "entity_id", "outcome", "actor_type", "actor_id")
QUOTE = 'x","forged":"yes\\u0001\n'
URL = "https://siem.example.com/"
KINDS: dict[str, dict[str, object]] = {
    "https": {"url": URL},
    "splunk": {"url": URL, "token": "env:T"},
    "datadog": {"url": URL, "api_key": "env:T"},
    "sumo": {"url": "env:T"},
    "sentinel": {
        "directory": "00000000-0000-0000-0000-000000000001",
        "client_id": "00000000-0000-0000-0000-000000000002",
        "client_secret": "env:T",
        "endpoint": URL,
        "dcr": "dcr-0123456789abcdef0123456789abcdef",
        "stream": "Custom-Lumi",
    },
    "kafka": {"servers": ["localhost:9092"], "topic": "audit"},
    "s3": {"bucket": "customer-audit"},
    "file": {"path": "out"},
}


def strings(value: object) -> list[str]:
    """Every text in a JSON value, keys included."""
    match value:
        case dict():
            return [text for pair in value.items() for part in pair for text in strings(part)]
        case list():
            return [text for part in value for text in strings(part)]
        case str():
            return [value]
    return []


@pytest.mark.parametrize("fmt", ["native", "ocsf"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_value_gets_out_of_its_string(kind: str, fmt: str, tmp_path: Path) -> None:
    table = {"name": "siem", "kind": kind, "format": fmt, "allow_private": True, **KINDS[kind]}
    [settings] = read_destinations([table], "test", tmp_path)
    forged = event(**{column: f"{column}{QUOTE}" for column in FORGED})
    with opened(settings) as destination:
        [record] = records_of(destination, forged)
    found = json.loads(record)
    assert b"\n" not in record
    assert "forged" not in strings(found)
    assert any(f"tenant_id{QUOTE}" in text for text in strings(found))
