"""What a vendor's own client sends for the same rows, held against what we send.

Each client runs in a process of an environment of its own, which the variable SIEM_SDKS_PYTHON names; how to make it:
``python -m venv sdks && sdks/bin/pip install`` and the packages in ``PACKAGES``. What differs on purpose is listed here
with the reason; anything else that differs fails.

S3 is written with AWS's own library, so what is compared there is what we ask of it. Not compared: Kafka, whose library
we use whole; Splunk and Sumo Logic, which have no official client in Python that sends events over HTTP; tokens of
Microsoft Entra, as its client accepts only HTTPS addresses.
"""

import base64
import gzip
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from lumi_pipeline.siem.destination import Destination, Outgoing, Result
from tests.s3 import CUSTOMER_KEY
from tests.s3answers import Answer, answering
from tests.siem.batches import NOW, event, opened, outgoing, records, table
from tests.siem.fakes.datadog import FakeDatadog
from tests.siem.fakes.sentinel import FakeSentinel
from tests.siem.test_sentinel import NATIVE, STREAM

pytestmark = pytest.mark.slow

PACKAGES: Final = ("azure-monitor-ingestion==1.1.0", "datadog-api-client==2.62.0", "boto3==1.44.8")
HERE: Final = Path(__file__).parent

ALWAYS: Final = {
    "user-agent": "everybody's own",
    "accept": "we take any answer, as it is the status that we go by",
    "accept-encoding": "we want no compressed answers, which could be small and unpack to anything",
    "content-length": "of bodies that are spaced and compressed in other ways",
}
AZURE: Final = {
    **ALWAYS,
    "connection": "keep-alive is what HTTP/1.1 does unasked",
    "x-ms-client-request-id": "ours is made of the delivery's id, and the same at every attempt; theirs is always new",
}
AWS: Final = {
    "user-agent": "everybody's own",
    "amz-sdk-invocation-id": "always new",
    "x-amz-date": "the time",
    "authorization": "a signature of the rest",
    "amz-sdk-request": "which attempt it is, and of how many; attempts are counted in the ledger here",
    "x-amz-meta-lumi-sha256": "ours, for services that keep no checksums",
}
"""Headers that differ, or may, and why."""


@pytest.fixture
def python() -> str:
    found = os.environ.get("SIEM_SDKS_PYTHON")
    if not found:
        pytest.skip(f"no vendors' clients: pip install {' '.join(PACKAGES)} elsewhere; SIEM_SDKS_PYTHON=its python")
    return found


def drive(python: str, kind: str, **given: object) -> None:
    """Let a vendor's client send."""
    command = [python, str(HERE / f"{kind}_driver.py")]
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, encoding="utf-8", check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def batch(destination: Destination) -> Outgoing:
    """Two events, with what JSON has to escape, and without."""
    sent = outgoing(destination, records(destination, table(event(0), event(1, actor_name=None, after_state=None))))
    assert destination.send(sent).result is Result.DELIVERED
    destination.close()
    return sent


def without(headers: Mapping[str, str], named: Mapping[str, str]) -> dict[str, str]:
    """The headers that have to be the same."""
    return {name: value for name, value in headers.items() if name not in named}


def rows_of(body: bytes) -> object:
    return json.loads(gzip.decompress(body))


def test_sentinel(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "hunter2")
    with FakeSentinel({STREAM: NATIVE}, now=lambda: NOW) as fake:
        login = {"login": fake.url, "directory": fake.directory, "client_id": "app"}
        place = {"endpoint": fake.url, "dcr": fake.dcr, "stream": STREAM, "client_secret": "env:CLIENT_SECRET"}
        rows = rows_of(batch(opened("sentinel", **login, **place)).body)
        drive(python, "sentinel", url=fake.url, token=fake.tokens[0], dcr=fake.dcr, stream=STREAM, rows=rows)
        ours, theirs = fake.ingested()
        assert fake.stored[STREAM][:2] == fake.stored[STREAM][2:]
    assert (ours.method, ours.path) == (theirs.method, theirs.path)
    assert without(ours.headers, AZURE) == without(theirs.headers, AZURE)
    # Theirs puts spaces between, and escapes what is not ASCII; ours is shorter.
    assert gzip.decompress(theirs.body) == json.dumps(rows).encode()
    assert gzip.decompress(ours.body) == compact(rows)


def test_datadog(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD", "hunter2")
    with FakeDatadog(now=lambda: NOW) as fake:
        rows = rows_of(batch(opened("datadog", url=fake.intake, api_key="env:DD", env="prod", tags=["eu"])).body)
        drive(python, "datadog", url=fake.url, key="hunter2", rows=rows)
        ours, theirs = fake.requests
        assert fake.stored[:2] == fake.stored[2:]
    assert (ours.method, ours.path) == (theirs.method, theirs.path)
    assert without(ours.headers, ALWAYS) == without(theirs.headers, ALWAYS)
    # Spaces and escapes as with Sentinel; and theirs puts the attributes last that it knows.
    assert gzip.decompress(theirs.body) == json.dumps(json.loads(gzip.decompress(theirs.body))).encode()
    assert rows_of(theirs.body) == rows
    assert gzip.decompress(ours.body) == compact(rows)


def test_s3(python: str) -> None:
    with answering(Answer(200)) as server:
        destination = opened("s3", bucket="customer", prefix="audit", region="us-east-1", kms_key=CUSTOMER_KEY)
        sent = outgoing(destination, records(destination, table(event(0))))
        destination.send(sent)
        destination.close()
        key = f"audit/day=2026-03-02/{sent.delivery_id}.ndjson.gz"
        body = base64.b64encode(sent.body).decode()
        drive(python, "s3", bucket="customer", key=key, kms_key=CUSTOMER_KEY, body=body)
        ours, theirs = (request for request in server.requests if request.method == "PUT")
    assert (ours.path, ours.body) == (theirs.path, theirs.body)
    assert without(ours.headers, AWS) == without(theirs.headers, AWS)
    encryption = "x-amz-server-side-encryption"
    asked = {encryption, f"{encryption}-aws-kms-key-id", f"{encryption}-bucket-key-enabled"}
    assert ours.headers.keys() >= {*asked, "x-amz-checksum-sha256", "if-none-match"}


def compact(rows: object) -> bytes:
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
