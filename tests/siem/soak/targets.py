"""Destinations of every kind with what is behind them: how each is configured, what goes wrong, what has arrived.

What has arrived is counted from what the service keeps, and by nothing that the senders share.
"""

import gzip
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Final, Self

from tests.s3 import S3
from tests.siem.fakes import kafka
from tests.siem.fakes.datadog import FakeDatadog
from tests.siem.fakes.gateway import Gateway
from tests.siem.fakes.http import FakeServer, Reply, Request, answer
from tests.siem.fakes.https import FakeReceiver
from tests.siem.fakes.sentinel import FakeSentinel
from tests.siem.fakes.splunk import FakeSplunk
from tests.siem.fakes.sumo import FakeSumo
from tests.siem.soak.expected import Expected
from tests.siem.soak.faults import ALWAYS, HALF, LATE, Faults

STREAM: Final = "Custom-LumiAudit_CL"
_SECRET: Final = "hunter2"
COLUMNS: Final = {
    **dict.fromkeys(("TimeGenerated", "EventTime", "RecordedTime"), "datetime"),
    **dict.fromkeys(("EventId", "TenantKey", "Action", "EntityType", "EntityId", "Outcome", "ActorType"), "string"),
    **dict.fromkeys(("ActorId", "AuthMethod", "ActorName", "IpAddress", "UserAgent", "RequestId"), "string"),
    **dict.fromkeys(("BeforeState", "AfterState", "PayloadSalt", "PayloadHash", "PrevHash"), "string"),
    **dict.fromkeys(("IntegrityHash", "BatchId"), "string"),
    "Seq": "long",
    "Omitted": "dynamic",
}
_KAFKA_ERRORS: Final = (5, 6, 7, 19)
"""What a broker answers and takes nothing: no leader now, another leader, too late, too few replicas."""


class Arrivals:
    """Takes the place of a fake's store: it keeps of each event nothing but the id, in the order of arrival."""

    def __init__(self, id_of: Callable[[Any], str]) -> None:
        self.ids: list[str] = []
        self._id_of = id_of

    def append(self, item: object) -> None:
        self.ids.append(self._id_of(item))

    def __iadd__(self, items: Iterable[object]) -> Self:
        for item in items:
            self.append(item)
        return self


@dataclass(slots=True)
class Target:
    """One destination. ``poison`` are the events that it does not take.

    ``disturb`` is what else goes wrong every now and then. A ``broken`` one takes nothing.
    """

    name: str
    settings: Mapping[str, object]
    arrived: Callable[[], Sequence[str]]
    requests: Callable[[], int]
    poison: frozenset[str] = frozenset()
    disturb: Callable[[], None] = lambda: None
    lost_on_arrival: Callable[[], int] = lambda: 0
    faults: Counter[str] = field(default_factory=Counter)
    broken: bool = False

    @property
    def ordered(self) -> bool:
        """Whether events are promised to come in the order of each tenant's chain."""
        return self.settings.get("ordered") is True


class _Forgetful(FakeReceiver):
    """A receiver that knows nothing of idempotency keys: what is sent twice is there twice."""

    def handle(self, request: Request) -> Reply:
        self.keys.clear()
        return super().handle(request)


@dataclass(slots=True)
class Making:
    """What targets are made of."""

    stack: ExitStack
    directory: Path
    clock: Callable[[], datetime]
    expected: Expected
    seed: str
    secret: str = field(init=False)

    def __post_init__(self) -> None:
        self.secret = self.secret_file("secret", _SECRET)

    def secret_file(self, name: str, value: str) -> str:
        """A reference to a secret."""
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(value)
        return f"file:{path}"

    def random(self, name: str) -> Random:
        return Random(f"{self.seed}/{name}")

    def served(self, name: str, fake: FakeServer, **changes: object) -> Faults:
        """Start a fake with faults of its own."""
        self.stack.enter_context(fake)
        faults = Faults(self.random(name), **changes)  # type: ignore[arg-type]
        fake.chooser = faults
        return faults


@contextmanager
def targets(
    directory: Path, clock: Callable[[], datetime], expected: Expected, seed: str, s3: S3
) -> Iterator[list[Target]]:
    """One destination of every kind, some in two ways, and one that is broken."""
    with ExitStack() as stack:
        making = Making(stack, directory, clock, expected, seed)
        yield [
            _https(making),
            _ordered(making),
            _splunk(making),
            _splunk_acks(making),
            _datadog(making),
            _sumo(making),
            _sentinel(making),
            _s3(making, s3),
            _kafka(making),
            _file(making),
            _broken(making),
        ]


def _https(making: Making) -> Target:
    fake = FakeReceiver({"authorization": f"Bearer {_SECRET}"})
    arrivals = fake.stored = Arrivals(lambda event: event["event_id"])  # type: ignore[assignment]
    fake.refused = set(making.expected.poison)
    settings = {"kind": "https", "url": fake.endpoint, "token": making.secret, "max_events": 250, "timeout": 5}
    faults = making.served("https", fake)
    return Target(
        "https",
        settings,
        lambda: arrivals.ids,
        lambda: len(fake.requests),
        making.expected.poison,
        faults=faults.counts,
    )


def _ordered(making: Making) -> Target:
    fake = _Forgetful()
    arrivals = fake.stored = Arrivals(lambda event: event["event_id"])  # type: ignore[assignment]
    fake.refused = set(making.expected.poison)
    settings = {
        "kind": "https",
        "url": fake.endpoint,
        "body": "array",
        "ordered": True,
        "max_events": 200,
        "timeout": 1,
    }
    faults = making.served("ordered", fake, kinds={**ALWAYS, **LATE}, share=0.2)
    return Target(
        "ordered",
        settings,
        lambda: arrivals.ids,
        lambda: len(fake.requests),
        making.expected.poison,
        faults=faults.counts,
    )


def _splunk(making: Making) -> Target:
    fake = FakeSplunk()
    arrivals = fake.stored = Arrivals(lambda stored: stored.envelope["fields"]["event_id"])  # type: ignore[assignment]
    fake.refused = set(making.expected.poison)
    settings = {
        "kind": "splunk",
        "url": fake.url,
        "token": making.secret,
        "isolate": True,
        "ordered": True,
        "timeout": 5,
    }
    faults = making.served("splunk", fake)
    return Target(
        "splunk",
        settings,
        lambda: arrivals.ids,
        lambda: len(fake.requests),
        making.expected.poison,
        lost_on_arrival=lambda: fake.dropped,
        faults=faults.counts,
    )


def _splunk_acks(making: Making) -> Target:
    fake = FakeSplunk(ack=True, indexers=2)
    arrivals = fake.stored = Arrivals(lambda stored: stored.envelope["fields"]["event_id"])  # type: ignore[assignment]
    fake.refused = set(making.expected.poison)
    settings = {
        "kind": "splunk",
        "url": fake.url,
        "token": making.secret,
        "use_ack": "on",
        "format": "ocsf",
        "isolate": True,
        "timeout": 5,
    }
    restarts = iter(range(3))

    def restart() -> None:
        if next(restarts, None) is not None:
            fake.restart()

    faults = making.served("splunk-acks", fake, also={"indexers restarted": restart})
    return Target(
        "splunk-acks",
        settings,
        lambda: arrivals.ids,
        lambda: len(fake.requests),
        making.expected.poison,
        disturb=fake.index_all,
        lost_on_arrival=lambda: fake.dropped,
        faults=faults.counts,
    )


def _datadog(making: Making) -> Target:
    fake = FakeDatadog(_SECRET, now=making.clock)
    arrivals = fake.stored = Arrivals(lambda stored: stored.log["lumi"]["event_id"])  # type: ignore[assignment]
    fake.refused = set(making.expected.poison)
    settings = {"kind": "datadog", "url": fake.intake, "api_key": making.secret, "timeout": 5}
    faults = making.served("datadog", fake)
    return Target(
        "datadog",
        settings,
        lambda: arrivals.ids,
        lambda: len(fake.requests),
        making.expected.poison,
        lost_on_arrival=lambda: len(fake.dropped) + fake.truncated,
        faults=faults.counts,
    )


def _sumo(making: Making) -> Target:
    fake = FakeSumo()
    arrivals = fake.stored = Arrivals(lambda message: json.loads(message.line)["event_id"])  # type: ignore[assignment]
    settings = {"kind": "sumo", "url": making.secret_file("sumo", fake.source), "isolate": True, "timeout": 5}
    faults = making.served("sumo", fake, kinds={**ALWAYS, **HALF})
    return Target(
        "sumo",
        settings,
        lambda: arrivals.ids,
        lambda: len(fake.requests),
        making.expected.giants,
        lost_on_arrival=lambda: fake.cut,
        faults=faults.counts,
    )


def _sentinel(making: Making) -> Target:
    fake = FakeSentinel({STREAM: COLUMNS}, client=("app", _SECRET), now=making.clock)
    arrivals = fake.stored[STREAM] = Arrivals(lambda row: row["EventId"])  # type: ignore[assignment]
    fake.refused = set(making.expected.poison)
    settings = {
        "kind": "sentinel",
        "endpoint": fake.url,
        "login": fake.url,
        "dcr": fake.dcr,
        "stream": STREAM,
        "directory": fake.directory,
        "client_id": "app",
        "client_secret": making.secret,
        "isolate": True,
        "timeout": 5,
    }
    seen: set[int] = set()

    def expire() -> None:
        """Never twice without a success in between: a new token that is refused too is a wrong secret."""
        if len(arrivals.ids) not in seen:
            seen.add(len(arrivals.ids))
            fake.valid.clear()

    faults = making.served("sentinel", fake, also={"token expired": expire})
    return Target(
        "sentinel",
        settings,
        lambda: arrivals.ids,
        lambda: len(fake.requests),
        making.expected.poison | making.expected.giants,
        lost_on_arrival=lambda: len(fake.lost),
        faults=faults.counts,
    )


def _s3(making: Making, s3: S3) -> Target:
    bucket = s3.bucket()
    gateway = Gateway(s3.endpoint.removeprefix("http://"))
    faults = making.served("s3", gateway, kinds={name: kind for name, kind in ALWAYS.items() if name != "413"})
    settings = {
        "kind": "s3",
        "bucket": bucket,
        "region": "us-east-1",
        "endpoint": gateway.url,
        "max_events": 300,
        "access_key_id": "test",
        "secret_access_key": making.secret_file("s3", os.environ["AWS_SECRET_ACCESS_KEY"]),
        "timeout": 5,
    }

    def arrived() -> list[str]:
        pages = s3.admin.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        return _of_files(s3.admin.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys)

    return Target("s3", settings, arrived, lambda: len(gateway.requests), faults=faults.counts)


def _kafka(making: Making) -> Target:
    cluster = making.stack.enter_context(kafka.running())
    cluster.make_topic("audit")
    follower = making.stack.enter_context(cluster.followed("audit"))
    random = making.random("kafka")
    settings = {
        "kind": "kafka",
        "servers": [cluster.bootstrap],
        "topic": "audit",
        "protocol": "plaintext",
        "format": "ocsf",
        "max_events": 250,
        "max_bytes": 30_000,  # so that several requests of a batch are on their way at once
        "timeout": 5,
    }
    injected: Counter[str] = Counter()

    def disturb() -> None:
        errors = random.choices(_KAFKA_ERRORS, k=random.choice([0, 0, 0, 0, 1, 2]))
        if random.random() < 0.2:
            cluster.forgive(kafka.PRODUCE)  # else they would pile up without end while nobody sends
        cluster.fail(kafka.PRODUCE, *errors)
        cluster.slow(random.choice([0, 0, 20]))
        injected.update(f"error {error}" for error in errors)

    def arrived() -> list[str]:
        cluster.slow(0)
        return [message.headers["event_id"].decode() for message in follower.stored()]

    return Target("kafka", settings, arrived, lambda: 0, making.expected.giants, disturb=disturb, faults=injected)


def _file(making: Making) -> Target:
    place = making.directory / "files"
    settings = {"kind": "file", "path": str(place), "max_events": 250, "timeout": 5}

    def files() -> list[Path]:
        return sorted(place.glob("*/*.ndjson.gz"))

    return Target("file", settings, lambda: _of_files(file.read_bytes() for file in files()), lambda: len(files()))


def _broken(making: Making) -> Target:
    fake = making.stack.enter_context(FakeReceiver())
    fake.chooser = lambda: answer(503)
    settings = {"kind": "https", "url": fake.endpoint, "timeout": 5}
    return Target(
        "broken", settings, lambda: [e["event_id"] for e in fake.stored], lambda: len(fake.requests), broken=True
    )


def _of_files(contents: Iterable[bytes]) -> list[str]:
    return [json.loads(line)["event_id"] for data in contents for line in gzip.decompress(data).splitlines()]
