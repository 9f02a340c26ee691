"""A Kafka cluster: librdkafka's mock of brokers that speak the protocol, told through ctypes what to do wrong.

What it accepted is read with a consumer, from the beginning of each partition, so nothing that was written twice or
never is overlooked. Only what librdkafka's header ``rdkafka_mock.h`` documents is used.

In one point it is weaker than a broker that knows the producer: it writes under any sequence number. A request that is
sent again is written again, so when a connection breaks with several requests on their way, messages may be there twice
that a broker would have had once. And a request behind a refused one is written, as by a broker that does not know the
producer yet; librdkafka then reports success of the refused one too (tests/siem/test_kafka_inferred.py).
"""

import ctypes
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

PRODUCE: Final = 0
METADATA: Final = 3
INIT_PRODUCER_ID: Final = 22
"""Numbers of requests (Kafka protocol guide, "API keys")."""

PARTITIONS: Final = 2


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as a reader of the topic gets it."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]


def _library() -> ctypes.CDLL:
    """The librdkafka that the Python package brings along."""
    package = Path(confluent_kafka.__file__).parent
    (path,) = (package.parent / "confluent_kafka.libs").glob("librdkafka*.so*")
    library = ctypes.CDLL(str(path))
    pointer = ctypes.c_void_p
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, ()),
        (
            "rd_kafka_conf_set",
            ctypes.c_int,
            (pointer, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t),
        ),
        ("rd_kafka_new", pointer, (ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t)),
        ("rd_kafka_destroy", None, (pointer,)),
        ("rd_kafka_mock_cluster_new", pointer, (pointer, ctypes.c_int)),
        ("rd_kafka_mock_cluster_destroy", None, (pointer,)),
        ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, (pointer,)),
        ("rd_kafka_mock_topic_create", ctypes.c_int, (pointer, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)),
        ("rd_kafka_mock_topic_set_error", None, (pointer, ctypes.c_char_p, ctypes.c_int)),
        (
            "rd_kafka_mock_push_request_errors_array",
            None,
            (pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)),
        ),
        ("rd_kafka_mock_clear_request_errors", None, (pointer, ctypes.c_int16)),
        ("rd_kafka_mock_broker_set_rtt", ctypes.c_int, (pointer, ctypes.c_int32, ctypes.c_int)),
        ("rd_kafka_mock_broker_set_down", ctypes.c_int, (pointer, ctypes.c_int32)),
        ("rd_kafka_mock_broker_set_up", ctypes.c_int, (pointer, ctypes.c_int32)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class FakeKafka:
    """A running cluster of one broker."""

    def __init__(self, library: ctypes.CDLL, cluster: int) -> None:
        self._library = library
        self._cluster = cluster
        self.bootstrap: str = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()

    def make_topic(self, name: str, partitions: int = PARTITIONS) -> None:
        """Create a topic; one that is only asked for would be made with four partitions."""
        assert self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0

    def break_topic(self, name: str, error: int) -> None:
        """Answer questions about a topic with this error; 0 ends it."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), error)

    def fail(self, request: int, *errors: int) -> None:
        """Answer the next requests of a kind with these errors; -195 closes the connection instead."""
        array = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, request, len(errors), array)

    def forgive(self, request: int) -> None:
        """Forget the errors that no request of a kind has met yet."""
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, request)

    def slow(self, milliseconds: int) -> None:
        """Answer everything so much later."""
        self._library.rd_kafka_mock_broker_set_rtt(self._cluster, 1, milliseconds)

    def down(self) -> None:
        """Close the connections and accept no more."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, 1)

    def up(self) -> None:
        """Accept connections again."""
        self._library.rd_kafka_mock_broker_set_up(self._cluster, 1)

    @contextmanager
    def followed(self, topic: str) -> Iterator["Follower"]:
        """Read a topic while it is written to: of each partition the cluster only keeps the last few megabytes."""
        follower = Follower(self.bootstrap, topic)
        follower.start()
        try:
            yield follower
        finally:
            follower.stop()

    def stored(self, topic: str) -> list[Stored]:
        """Everything that the topic holds, by partition and offset."""
        consumer = Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": "counting", "fetch.wait.max.ms": 5, "log_level": 0}
        )
        try:
            return [message for partition in _partitions(consumer, topic) for message in partition]
        finally:
            consumer.close()


class Follower(threading.Thread):
    """Reads everything from the beginning of a topic on, which has to be there already."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__()
        self._servers = bootstrap
        settings = {"group.id": "following", "fetch.wait.max.ms": 5, "log_level": 0, "auto.offset.reset": "error"}
        self._consumer = Consumer({"bootstrap.servers": bootstrap, **settings})
        numbers = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        self._partitions = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in sorted(numbers)]
        self._consumer.assign(self._partitions)
        self._stored: list[Stored] = []
        self._failed: KafkaException | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            for message in self._consumer.consume(1000, 0.05):
                if message.error() is not None:
                    self._failed = KafkaException(message.error())
                    return
                self._stored.append(_stored(message))

    def stored(self) -> list[Stored]:
        """Everything that the topic holds by now."""
        # Another one, as the first is reading and can't be asked.
        asking = Consumer({"bootstrap.servers": self._servers, "group.id": "asking", "log_level": 0})
        try:
            ends = [asking.get_watermark_offsets(partition, timeout=10)[1] for partition in self._partitions]
        finally:
            asking.close()
        patience = time.monotonic() + 60
        while len(self._stored) < sum(ends):
            if self._failed is not None:
                raise self._failed
            assert time.monotonic() < patience, f"{len(self._stored)} of {sum(ends)} messages were read"
            time.sleep(0.02)
        return list(self._stored)

    def stop(self) -> None:
        self._stopped.set()
        self.join()
        self._consumer.close()


def _stored(message: Message) -> Stored:
    headers = {name: bytes(value) for name, value in message.headers() or []}
    return Stored(message.partition(), message.offset(), message.key(), message.value(), headers)


def _partitions(consumer: Consumer, topic: str) -> Iterator[Sequence[Stored]]:
    for partition in sorted(consumer.list_topics(topic, timeout=10).topics[topic].partitions):
        end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        found: list[Stored] = []
        while len(found) < end:
            message = consumer.poll(10)
            assert message is not None, f"{topic}/{partition} has {end} messages, but gave only {len(found)}"
            if message.error() is not None:
                raise KafkaException(message.error())
            found.append(_stored(message))
        yield found


@contextmanager
def running() -> Iterator[FakeKafka]:
    """Run a cluster for as long as the context lasts."""
    library = _library()
    reason = ctypes.create_string_buffer(256)
    settings = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(settings, b"log_level", b"0", reason, len(reason))
    client = library.rd_kafka_new(0, settings, reason, len(reason))
    assert client, reason.value
    cluster = library.rd_kafka_mock_cluster_new(client, 1)
    try:
        yield FakeKafka(library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(client)
