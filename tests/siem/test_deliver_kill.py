"""Real processes that deliver to a real server and are killed while they send: nothing is lost, and doubt is told."""

import gzip
import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from lumi_pipeline.siem.deliver import LEASE_LENGTH
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.lease import SKEW
from tests.lake.world import World, at
from tests.siem.fakes.http import FakeServer, Reply, Request
from tests.siem.shipping import Shipping, settings

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 60.0

DELIVERING = """
import sys
from datetime import datetime, timedelta
from pathlib import Path
from lumi_pipeline.lake import Lake
from lumi_pipeline.siem.deliver import Deliverer
from lumi_pipeline.siem.destinations.https import open_destination
from tests.siem.shipping import KEYS, settings
from transparency.filestore import FileStore

root, url, now = sys.argv[1:]
destination = open_destination(settings(url=url, allow_private=True, max_events=4, timeout=5))
lake = Lake(FileStore(Path(root)), str)
Deliverer(lake, destination, KEYS, lambda: datetime.fromisoformat(now)).run()
"""
"""Delivers at a time that is given, since whoever follows a dead process has to come after its lease is over."""


class Receiver(FakeServer):
    """Takes everything, and kills who sends when it is told to: before it has kept a request, or after."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[dict[str, object]] = []
        self.sender: subprocess.Popen[str] | None = None
        self.until = 0
        self.keeps = True

    def handle(self, request: Request) -> Reply:
        self.until -= 1
        if self.until or self.keeps:
            self.kept += [json.loads(line) for line in gzip.decompress(request.body).splitlines()]
        if not self.until and self.sender is not None:
            os.kill(self.sender.pid, signal.SIGKILL)
        return Reply(200)


def test_killed_while_sending_again_and_again_everything_arrives(tmp_path: Path) -> None:
    random = Random(1)
    world = World.create(tmp_path / "world", at(0, "13:00:00"))
    world.record_all((random.choice(["acme", "globex"]), at(0)) for _ in range(120))
    world.pipeline().land()
    with Receiver() as receiver:
        chosen = settings(url=receiver.url, allow_private=True, max_events=4)
        list(Exports(world.pipeline(destinations=(chosen,))).plan("siem"))
        for number in range(4):
            receiver.until, receiver.keeps = random.randrange(1, 9), number % 2 == 0
            receiver.sender = subprocess.Popen(
                [sys.executable, "-c", DELIVERING, world.place.root, receiver.url, world.clock.now.isoformat()],
                stderr=subprocess.PIPE,
                text=True,
                cwd=REPOSITORY,
            )
            _, errors = receiver.sender.communicate(timeout=PATIENCE)
            assert receiver.sender.returncode == -signal.SIGKILL, errors
            world.clock.now += LEASE_LENGTH + SKEW
        receiver.sender = None
        receiver.until = 0
        shipping = Shipping(world.store, world.clock, chosen)
        report = Exports(world.pipeline(destinations=(chosen,))).deliver("siem", timedelta(0))
        assert report.open_batches == 0
    shipping.siem.arrived = receiver.kept
    shipping.check_settled()
    assert sum(count > 1 for count in shipping.siem.counts.values()) > 0
