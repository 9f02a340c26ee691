"""librdkafka reports success of what it only concludes to be there; the destination ``kafka`` doesn't take its word.

Two requests to one partition are on their way, the first is refused, the second taken. A broker that knows the producer
would refuse the second too, as its sequence number is not the next one. One that does not know it yet takes it, as the
mock of brokers always does.
"""

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, Message, Producer

from lumi_pipeline.siem.destination import Destination, Result
from lumi_pipeline.siem.kafkareports import Fate, Report
from tests.siem.fakes.kafka import PRODUCE, FakeKafka, running
from tests.siem.samples import opened, outgoing

NOT_ENOUGH_REPLICAS = 19
RECORDS = [b"first" * 80_000, b"second" * 80_000]
"""Each so large that it gets a request of its own."""


@pytest.fixture
def kafka() -> Iterator[FakeKafka]:
    with running() as cluster:
        cluster.make_topic("audit", 1)
        cluster.slow(100)  # so that the second request is sent before the first is answered
        cluster.fail(PRODUCE, NOT_ENOUGH_REPLICAS)
        yield cluster


def connect(kafka: FakeKafka, *, ordered: bool) -> Destination:
    options = {"servers": [kafka.bootstrap], "topic": "audit", "protocol": "plaintext", "allow_private": True}
    return opened("kafka", **options, timeout=5, max_bytes=600_000, ordered=ordered)


def stored(kafka: FakeKafka) -> list[bytes]:
    kafka.slow(0)
    return [message.value for message in kafka.stored("audit")]


def test_the_library_alone_reports_success_of_what_is_nowhere(kafka: FakeKafka) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True, "batch.size": 600_000})
    reports: list[tuple[KafkaError | None, int | None]] = []

    def report(error: KafkaError | None, message: Message) -> None:
        reports.append((error, message.offset()))

    for record in RECORDS:
        producer.produce("audit", record, on_delivery=report)
    producer.flush(10)
    assert reports == [(None, None), (None, 0)]
    assert stored(kafka) == RECORDS[1:]


def test_only_an_offset_is_proof(kafka: FakeKafka) -> None:
    destination = connect(kafka, ordered=False)
    sent = outgoing(destination, RECORDS, tenants=["acme"] * 2)
    outcome = destination.send(sent)
    assert outcome.result is Result.AMBIGUOUS
    assert "1 of 2 events are there, 1 may be; Kafka's codes 0 without an offset" in outcome.detail
    assert stored(kafka) == RECORDS[1:]
    outcome = destination.send(sent)
    assert (outcome.result, outcome.facts["offsets"]) == (Result.DELIVERED, "0: 0-1")
    assert stored(kafka) == [*RECORDS[1:], *RECORDS[:1]]


def test_nothing_overtakes_in_an_ordered_destination(kafka: FakeKafka) -> None:
    destination = connect(kafka, ordered=True)
    outcome = destination.send(outgoing(destination, RECORDS, tenants=["acme"] * 2))
    assert (outcome.result, stored(kafka)) == (Result.DELIVERED, RECORDS)


def test_a_report_says_what_is_known() -> None:
    assert Report(0, 3, 0).fate is Fate.STORED
    assert Report(0, 3).fate is Fate.UNKNOWN
