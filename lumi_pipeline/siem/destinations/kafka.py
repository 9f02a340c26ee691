"""A Kafka topic: one message an event, written idempotently and acknowledged by all replicas in sync.

The key is the tenant, so that a tenant's events stay in order within one partition; headers are ``event_id`` and
``batch_id``. Before events are sent the topic is asked for: what keeps that from being answered keeps events from
leaving. What librdkafka reports of each message decides (kafkareports.py).
"""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final

from lumi_pipeline.errors import ConfigError, SiemError
from lumi_pipeline.siem.answers import attempt
from lumi_pipeline.siem.destination import Limits, Outcome, Outgoing, Result
from lumi_pipeline.siem.kafkareports import BARRED, NOT_SENT, TOO_LARGE, Fate, Kept, Report, judge
from lumi_pipeline.siem.options import Given, Option, Secret, choice, number, secret, text, texts
from lumi_pipeline.siem.plain import Plain
from lumi_pipeline.siem.settings import DestinationSettings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

_LOGGER: Final = logging.getLogger(__name__)
_LOGGER.addHandler(logging.NullHandler())  # else librdkafka writes to standard error what outcomes tell

_MIB: Final = 1 << 20
_SERVER: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_OVERHEAD: Final = 4096
"""Bytes that key and headers of a message have at most, and what Kafka adds."""

_AUTHENTICATION: Final = -169
_SSL: Final = -181
_TIMED_OUT: Final = -192
_PURGED: Final = frozenset({-150, -151, -152})
"""librdkafka's own codes (rdkafka.h); the last three mean that the producer gave up everything, for a fatal error."""

_PATIENCE: Final = 1.0
"""Seconds that the topic is asked for, before it is seen whether there is any use in going on."""

_GRACE: Final = 5.0
"""Seconds after the time-out until librdkafka has reported every message at the latest; it looks once a second."""


def _servers(given: Given) -> str:
    servers = texts(given)
    if not all(_SERVER.fullmatch(server) for server in servers):
        raise given.wrong("a list of servers such as 'kafka-1.example:9092'")
    return ",".join(servers)


def _topic(given: Given) -> str:
    value = text(given)
    if not _TOPIC.fullmatch(value):
        raise given.wrong("a topic: 1 to 249 of A-Z a-z 0-9 . _ -")
    return value


OPTIONS: Final[Mapping[str, Option]] = {
    "servers": Option(_servers, required=True),
    "topic": Option(_topic, required=True, routable=True),
    "protocol": Option(choice("ssl", "sasl_ssl", "sasl_plaintext", "plaintext"), "ssl"),
    "mechanism": Option(choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), "SCRAM-SHA-512"),
    "username": Option(text),
    "password": Option(secret),
    "max_bytes": Option(number(1024, 64 * _MIB), 900_000),
    "max_events": Option(number(1, 100_000), 10_000),
}


def open_destination(settings: DestinationSettings) -> "KafkaDestination":
    """Open a destination of checked settings."""
    return KafkaDestination(settings)


class KafkaDestination(Plain):
    """A topic, or one for each route, of one cluster."""

    mapping = "kafka/1"

    def __init__(self, settings: DestinationSettings) -> None:
        options = settings.options
        protocol, name = str(options["protocol"]), f"destination {settings.name}"
        if protocol.startswith("sasl") != (options["username"] is not None and options["password"] is not None):
            raise ConfigError(f"{name}: 'username' and 'password' go with a protocol that begins with sasl_")
        if protocol.endswith("plaintext") and not settings.allow_private:
            raise ConfigError(f"{name}: {protocol} has no TLS; set allow_private = true if the network is your own")
        if settings.proxy is not None:
            raise ConfigError(f"{name}: Kafka can't be reached through a proxy")
        self.settings = settings
        self._largest = int(str(options["max_bytes"]))
        self.limits = Limits(max(8 * _MIB, self._largest + 1), int(str(options["max_events"])), self._largest)
        self._lock = Lock()
        self._producer: Producer | None = None
        self._written = False
        self._errors: dict[int, bool] = {}
        self._kept = Kept()

    def send(self, outgoing: Outgoing) -> Outcome:
        """Write one message an event, and wait until each is reported."""
        return attempt(lambda: self._send(outgoing))

    def check(self) -> Sequence[str]:
        """Ask the cluster for each topic; whether it may be written to shows with the first event."""
        found = []
        for topic in dict.fromkeys(str(route.options["topic"]) for route in self.settings.routes):
            outcome = attempt(partial(self._ask, topic))
            if outcome.result is not Result.DELIVERED:
                raise SiemError(f"{self.settings.name}: {outcome.detail}")
            found.append(outcome.detail)
        return found

    def close(self) -> None:
        """Let go of the connections; what was not reported stays unknown."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge(in_queue=True, in_flight=True, blocking=False)

    def _send(self, outgoing: Outgoing) -> Outcome:
        topic = str(outgoing.route.options["topic"])
        for i, record in enumerate(outgoing.records):
            if len(record) > self._largest:
                return judge([*[NOT_SENT] * i, Report(TOO_LARGE)], topic, ambiguous=False)
        asked = self._ask(topic)
        if asked.result is not Result.DELIVERED:
            return asked
        known = self._kept.of(outgoing.batch_id, outgoing.events)
        reports = dict(known)
        end = time.monotonic() + self.settings.timeout
        missing = [i for i in range(outgoing.count) if i not in reports]
        self._write(outgoing, topic, missing, reports, end)
        self._one_by_one(outgoing, topic, reports, end)
        outcome = self._barred(reports) or judge(
            [reports[i] for i in range(outgoing.count)], topic, ambiguous=bool(known)
        )
        self._settle(outgoing, outcome, reports)
        return outcome

    def _one_by_one(self, outgoing: Outgoing, topic: str, reports: dict[int, Report], end: float) -> None:
        """Find out which message a broker means that refused several at once; none of them is there."""
        refused = sorted(i for i, report in reports.items() if report.fate is Fate.REFUSED)
        if len(refused) < 2:
            return
        reports.update(dict.fromkeys(refused, NOT_SENT))
        for i in refused:
            if time.monotonic() > end:
                return
            del reports[i]
            self._write(outgoing, topic, [i], reports, end)
            if reports[i].fate is not Fate.STORED:  # later ones would overtake it
                return

    def _write(
        self, outgoing: Outgoing, topic: str, chosen: Sequence[int], reports: dict[int, Report], end: float
    ) -> None:
        """Write some messages and add a report for each."""
        from confluent_kafka import KafkaException  # noqa: PLC0415 - native code that only this destination needs

        producer = self._opened()
        batch = outgoing.batch_id.encode()
        expected = len(reports) + len(chosen)
        for done, i in enumerate(chosen, 1):
            headers: list[tuple[str, str | bytes | None]] = [
                ("event_id", outgoing.events[i].encode()),
                ("batch_id", batch),
            ]
            report = partial(self._report, reports, i)
            while True:
                try:
                    producer.produce(
                        topic,
                        outgoing.records[i],
                        outgoing.tenants[i].encode(),
                        headers=headers,
                        on_delivery=report,
                    )
                except BufferError:  # as many messages as it keeps are on their way
                    if time.monotonic() > end:
                        reports[i] = NOT_SENT
                        break
                    self._poll(producer, 0.05)
                except KafkaException as error:
                    reports[i] = Report(int(error.args[0].code()))
                    break
                else:
                    break
            if done % 500 == 0:
                self._poll(producer, 0)
        while len(reports) < expected and time.monotonic() < end + _GRACE:
            self._poll(producer, 0.05)
        if len(reports) < expected or any(reports[i].code in _PURGED for i in chosen):
            self._give_up(producer)
        for i in chosen:
            reports.setdefault(i, Report(_TIMED_OUT))

    def _give_up(self, producer: "Producer") -> None:
        """Let go of a producer that is of no use any more, but first of what was fatal to it, which comes last."""
        end = time.monotonic() + _PATIENCE
        while not any(self._errors.values()) and time.monotonic() < end:
            self._poll(producer, 0.05)
        # What is still on its way is not to arrive beside the next try.
        self.close()
        self._poll(producer, 0.05)

    def _report(self, reports: dict[int, Report], i: int, error: "KafkaError | None", message: "Message") -> None:
        code = 0 if error is None else int(error.code())
        self._written |= code == 0
        partition, offset = message.partition(), message.offset()
        reports[i] = Report(code, -1 if partition is None else partition, -1 if offset is None else offset)

    def _poll(self, producer: "Producer", seconds: float) -> None:
        """Serve reports. What is fatal to a producer is raised here, instead of being told to ``_trouble``."""
        from confluent_kafka import KafkaException  # noqa: PLC0415

        try:
            producer.poll(seconds)
        except KafkaException as error:
            self._trouble(error.args[0])

    def _trouble(self, error: "KafkaError") -> None:
        self._errors[int(error.code())] = bool(error.fatal())

    def _barred(self, reports: Mapping[int, Report]) -> Outcome | None:
        """What a fatal error means for a producer that never wrote: it was not let in, and nothing left."""
        fatal = [code for code, is_fatal in self._errors.items() if is_fatal and code in BARRED]
        if not fatal or self._written or any(report.fate is Fate.STORED for report in reports.values()):
            return None
        return Outcome(Result.BLOCKED, BARRED[fatal[0]])

    def _settle(self, outgoing: Outgoing, outcome: Outcome, reports: Mapping[int, Report]) -> None:
        with self._lock:
            if outcome.result in {Result.AMBIGUOUS, Result.PARTIAL}:
                self._kept.keep(outgoing.batch_id, outgoing.events, reports)
            else:
                self._kept.drop(outgoing.batch_id, outgoing.events)

    def _ask(self, topic: str) -> Outcome:
        """Ask for a topic: DELIVERED if it is there, else what keeps events from being sent."""
        from confluent_kafka import KafkaException  # noqa: PLC0415

        producer = self._opened()
        self._errors.clear()
        end = time.monotonic() + self.settings.timeout
        found = None
        while found is None:
            try:
                found = producer.list_topics(topic, timeout=min(_PATIENCE, self.settings.timeout)).topics[topic]
            except KafkaException as error:
                self._poll(producer, 0)
                if time.monotonic() >= end or _AUTHENTICATION in self._errors:
                    return self._unreachable(int(error.args[0].code()))
        if found.error is not None:
            code = int(found.error.code())
            detail = BARRED.get(code, f"it is not available now (Kafka's code {code})")
            return Outcome(Result.BLOCKED if code in BARRED else Result.RETRY, f"{topic}: {detail}")
        return Outcome(Result.DELIVERED, f"{topic} has {len(found.partitions)} partitions")

    def _unreachable(self, code: int) -> Outcome:
        if _AUTHENTICATION in self._errors:
            detail = "the cluster refuses to authenticate; check 'username', the password, 'mechanism' and 'protocol'"
            return Outcome(Result.BLOCKED, detail)
        if _SSL in self._errors:
            detail = "no TLS connection to the cluster; check 'protocol', and set ca_file if its authority is your own"
            return Outcome(Result.RETRY, detail)
        return Outcome(Result.RETRY, f"the cluster can't be reached (Kafka's code {code}); check 'servers'")

    def _opened(self) -> "Producer":
        from confluent_kafka import Producer  # noqa: PLC0415

        options = self.settings.options
        password = options["password"].read() if isinstance(options["password"], Secret) else None
        with self._lock:
            if self._producer is None:
                self._written = False
                self._producer = Producer(self._configuration(password), logger=_LOGGER)
            elif password is not None:
                self._producer.set_sasl_credentials(str(options["username"]), password)
            return self._producer

    def _configuration(self, password: str | None) -> dict[str, object]:
        options = self.settings.options
        configuration: dict[str, object] = {
            "bootstrap.servers": options["servers"],
            "security.protocol": options["protocol"],
            "client.id": "lumi-pipeline",
            "acks": "all",
            "enable.idempotence": True,
            # Several at a time are faster far away; but what is refused is then overtaken, if the broker lets it.
            "max.in.flight": 1 if self.settings.ordered else 5,
            "allow.auto.create.topics": False,
            "compression.type": "zstd",
            "partitioner": "murmur2_random",  # as Java's clients, so that a tenant's partition is everybody's
            "message.max.bytes": self._largest + _OVERHEAD,
            "batch.size": self._largest + _OVERHEAD,
            "message.timeout.ms": int(self.settings.timeout * 1000),
            "error_cb": self._trouble,
        }
        if self.settings.ca_file is not None:
            configuration["ssl.ca.location"] = str(self.settings.ca_file)
        if password is not None:
            configuration |= {
                "sasl.mechanism": options["mechanism"],
                "sasl.username": options["username"],
                "sasl.password": password,
            }
        return configuration
