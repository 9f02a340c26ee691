"""The destination ``kafka`` against librdkafka's mock of a cluster, which is told what to do wrong."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lumi_pipeline.errors import ConfigError, SiemError
from lumi_pipeline.siem.destination import Assurance, Destination, Outcome, Result
from tests.siem.fakes.kafka import INIT_PRODUCER_ID, METADATA, PRODUCE, FakeKafka, running
from tests.siem.samples import opened, outgoing

TRANSPORT = -195
UNKNOWN_TOPIC = 3
MESSAGE_TOO_LARGE = 10
REQUEST_TIMED_OUT = 7
TOPIC_AUTHORIZATION_FAILED = 29
CLUSTER_AUTHORIZATION_FAILED = 31
INVALID_RECORD = 87

RECORDS = [f'{{"seq":{i},"text":"Zoë"}}'.encode() for i in range(10)]


@pytest.fixture
def kafka() -> Iterator[FakeKafka]:
    with running() as cluster:
        cluster.make_topic("audit")
        yield cluster


def connect(kafka: FakeKafka, **options: object) -> Destination:
    given = {"servers": [kafka.bootstrap], "topic": "audit", "protocol": "plaintext", "allow_private": True}
    return opened("kafka", **{**given, "timeout": 5, **options})


def values(kafka: FakeKafka, topic: str = "audit") -> list[bytes]:
    return sorted(message.value for message in kafka.stored(topic))


def test_each_event_is_a_message(kafka: FakeKafka) -> None:
    destination = connect(kafka)
    sent = outgoing(destination, RECORDS)
    outcome = destination.send(sent)
    assert (outcome.result, outcome.assurance) == (Result.DELIVERED, Assurance.STORED)
    stored = kafka.stored("audit")
    assert len(stored) == len(RECORDS)
    for tenant in ("acme", "globex"):
        own = [i for i in range(len(RECORDS)) if sent.tenants[i] == tenant]
        found = [message for message in stored if message.key == tenant.encode()]
        assert [message.value for message in found] == [RECORDS[i] for i in own]
        assert [message.headers for message in found] == [
            {"event_id": sent.events[i].encode(), "batch_id": sent.batch_id.encode()} for i in own
        ]
        assert len({message.partition for message in found}) == 1
    offsets: dict[int, list[int]] = {}
    for message in stored:
        offsets.setdefault(message.partition, []).append(message.offset)
    written = ", ".join(f"{partition}: {min(found)}-{max(found)}" for partition, found in offsets.items())
    assert outcome.facts == {"topic": "audit", "offsets": written}


def test_a_route_has_its_topic(kafka: FakeKafka) -> None:
    kafka.make_topic("logins")
    destination = connect(kafka, routes=[{"name": "logins", "actions": ["LOGIN"], "topic": "logins"}])
    assert list(destination.check()) == ["logins has 2 partitions", "audit has 2 partitions"]
    route = destination.settings.routes[0]
    assert destination.send(outgoing(destination, RECORDS[:2], route=route)).facts["topic"] == "logins"
    assert (len(kafka.stored("logins")), kafka.stored("audit")) == (2, [])


@pytest.mark.parametrize("error", [TRANSPORT, REQUEST_TIMED_OUT])
def test_a_short_trouble_is_none(kafka: FakeKafka, error: int) -> None:
    destination = connect(kafka)
    kafka.fail(PRODUCE, error)
    one_tenant = ["acme"] * len(RECORDS)
    assert destination.send(outgoing(destination, RECORDS, tenants=one_tenant)).result is Result.DELIVERED
    assert [message.value for message in kafka.stored("audit")] == RECORDS


@pytest.mark.slow
def test_what_was_on_its_way_when_time_was_up_is_ambiguous(kafka: FakeKafka) -> None:
    destination = connect(kafka, timeout=1)
    kafka.fail(PRODUCE, *[TRANSPORT] * 100)
    sent = outgoing(destination, RECORDS)
    outcome = destination.send(sent)
    assert (outcome.result, outcome.assurance) == (Result.AMBIGUOUS, None)
    assert "0 of 10 events are there, 10 may be" in outcome.detail


@pytest.mark.slow
def test_nothing_leaves_for_a_cluster_that_is_not_there(kafka: FakeKafka) -> None:
    destination = connect(kafka, timeout=1)
    kafka.down()
    outcome = destination.send(outgoing(destination, RECORDS))
    assert outcome.result is Result.RETRY
    assert "can't be reached" in outcome.detail
    with pytest.raises(SiemError, match="siem: the cluster can't be reached"):
        destination.check()
    kafka.up()
    patient = connect(kafka)
    assert patient.send(outgoing(patient, RECORDS)).result is Result.DELIVERED
    assert values(kafka) == sorted(RECORDS)


def test_a_message_that_is_too_large_is_refused_before_any_is_sent(kafka: FakeKafka) -> None:
    destination = connect(kafka, max_bytes=2000)
    outcome = destination.send(outgoing(destination, [*RECORDS[:3], b"x" * 2001, *RECORDS]))
    assert (outcome.result, outcome.index) == (Result.REFUSED, 3)
    assert kafka.stored("audit") == []


def test_a_message_of_the_largest_size_is_sent(kafka: FakeKafka) -> None:
    destination = connect(kafka, max_bytes=2000)
    assert destination.send(outgoing(destination, [b"x" * 2000] * 3)).result is Result.DELIVERED


@pytest.mark.parametrize("error", [MESSAGE_TOO_LARGE, INVALID_RECORD])
def test_the_message_that_a_broker_refuses_is_found(kafka: FakeKafka, error: int) -> None:
    destination = connect(kafka)
    # All are refused at once, then the first and second one alone are taken, the third is not.
    kafka.fail(PRODUCE, error, 0, 0, error)
    sent = outgoing(destination, RECORDS, tenants=["acme"] * len(RECORDS))
    outcome = destination.send(sent)
    assert (outcome.result, outcome.index, outcome.assurance) == (Result.PARTIAL, 2, Assurance.STORED)
    assert values(kafka) == RECORDS[:2]
    assert outcome.facts["offsets"].endswith(": 0-1")


def test_a_broker_that_refuses_a_batch_for_its_size_gets_each_message_alone(kafka: FakeKafka) -> None:
    destination = connect(kafka)
    kafka.fail(PRODUCE, MESSAGE_TOO_LARGE)
    assert destination.send(outgoing(destination, RECORDS)).result is Result.DELIVERED
    assert values(kafka) == sorted(RECORDS)


def test_a_single_message_that_a_broker_refuses_is_named(kafka: FakeKafka) -> None:
    destination = connect(kafka)
    kafka.fail(PRODUCE, MESSAGE_TOO_LARGE)
    outcome = destination.send(outgoing(destination, RECORDS[:1]))
    assert (outcome.result, outcome.index) == (Result.REFUSED, 0)
    assert "max.message.bytes" in outcome.detail


def test_what_is_there_is_not_sent_again_while_the_rest_is_tried(kafka: FakeKafka) -> None:
    destination = connect(kafka)
    # One of the two tenants' batches is refused; so is its first message alone.
    kafka.fail(PRODUCE, INVALID_RECORD, 0, INVALID_RECORD)
    sent = outgoing(destination, RECORDS)
    outcome = destination.send(sent)
    assert outcome.result is Result.AMBIGUOUS
    there = kafka.stored("audit")
    assert 0 < len(there) < len(RECORDS)
    assert destination.send(sent).result is Result.DELIVERED
    assert values(kafka) == sorted(RECORDS)


def test_a_poisonous_message_among_two_tenants_is_told_apart(kafka: FakeKafka) -> None:
    destination = connect(kafka)
    sent = outgoing(destination, RECORDS[:4])
    kafka.fail(PRODUCE, INVALID_RECORD, 0, INVALID_RECORD)
    assert destination.send(sent).result is Result.AMBIGUOUS
    poison = next(i for i, record in enumerate(RECORDS[:4]) if record not in values(kafka))
    kafka.fail(PRODUCE, INVALID_RECORD, INVALID_RECORD)
    outcome = destination.send(sent)
    assert (outcome.result, outcome.index) == (Result.PARTIAL, poison)
    rest = slice(poison + 1, None)
    left = replace(sent, records=sent.records[rest], events=sent.events[rest], tenants=sent.tenants[rest])
    assert destination.send(left).result is Result.DELIVERED
    assert values(kafka) == sorted(record for i, record in enumerate(RECORDS[:4]) if i != poison)


@pytest.mark.parametrize("error", [TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC])
def test_a_topic_that_is_not_there_or_not_ours_blocks(kafka: FakeKafka, error: int) -> None:
    destination = connect(kafka)
    kafka.break_topic("audit", error)
    outcome = destination.send(outgoing(destination, RECORDS))
    assert outcome.result is Result.BLOCKED
    assert "grant Describe and Write" in outcome.detail
    with pytest.raises(SiemError, match="grant Describe and Write"):
        destination.check()
    kafka.break_topic("audit", 0)
    assert destination.send(outgoing(destination, RECORDS)).result is Result.DELIVERED


def test_a_topic_that_must_not_be_written_blocks(kafka: FakeKafka) -> None:
    destination = connect(kafka)
    kafka.fail(PRODUCE, *[TOPIC_AUTHORIZATION_FAILED] * 2)
    outcome = destination.send(outgoing(destination, RECORDS))
    assert (outcome.result, kafka.stored("audit")) == (Result.BLOCKED, [])
    assert destination.send(outgoing(destination, RECORDS)).result is Result.DELIVERED


def test_credentials_that_must_not_write_idempotently_block(kafka: FakeKafka) -> None:
    destination = connect(kafka)
    kafka.fail(INIT_PRODUCER_ID, CLUSTER_AUTHORIZATION_FAILED)
    outcome = destination.send(outgoing(destination, RECORDS))
    assert outcome.result is Result.BLOCKED
    assert "IdempotentWrite" in outcome.detail
    assert destination.send(outgoing(destination, RECORDS)).result is Result.DELIVERED
    assert values(kafka) == sorted(RECORDS)


def test_a_cluster_that_does_not_let_in_blocks(kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = {"protocol": "sasl_plaintext", "username": "lumi", "password": "env:KAFKA_PASSWORD"}
    destination = connect(kafka, **credentials)
    outcome = destination.send(outgoing(destination, RECORDS))
    assert (outcome.result, "KAFKA_PASSWORD is not set" in outcome.detail) == (Result.BLOCKED, True)
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    outcome = destination.send(outgoing(destination, RECORDS))
    assert (outcome.result, "refuses to authenticate" in outcome.detail) == (Result.BLOCKED, True)
    assert "hunter2" not in repr((outcome, destination, destination.settings))


def test_metadata_may_fail_once(kafka: FakeKafka) -> None:
    destination = connect(kafka)
    kafka.fail(METADATA, TRANSPORT)
    assert destination.send(outgoing(destination, RECORDS)).result is Result.DELIVERED


def test_threads_share_a_destination(kafka: FakeKafka) -> None:
    destination = connect(kafka)
    outcomes: list[Outcome] = []
    batches = [[b"%d-%d" % (batch, i) for i in range(500)] for batch in range(6)]
    threads = [
        threading.Thread(
            target=lambda records=records: outcomes.append(destination.send(outgoing(destination, records)))
        )
        for records in batches
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.result for outcome in outcomes] == [Result.DELIVERED] * 6
    assert values(kafka) == sorted(record for records in batches for record in records)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"servers": ["kafka.example"]}, "a list of servers such as"),
        ({"topic": "a/b"}, "a topic: 1 to 249 of"),
        ({"protocol": "plaintext"}, "plaintext has no TLS; set allow_private"),
        ({"protocol": "sasl_ssl"}, "'username' and 'password' go with a protocol that begins with sasl_"),
        ({"username": "lumi", "password": "env:P"}, "'username' and 'password' go with a protocol"),
        ({"proxy": "http://proxy.example:3128"}, "can't be reached through a proxy"),
        ({"password": "hunter2"}, "password must be env:NAME or file:PATH"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        opened("kafka", tmp_path, **{"servers": ["kafka.example:9092"], "topic": "audit", **changes})
    assert "hunter2" not in str(refused.value)
