"""Records as destinations are sent them, of every action, are recognised when they come back as an export."""

import importlib
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lumi_pipeline.catalogue import CATALOGUE
from lumi_pipeline.events import from_micros, to_micros
from lumi_pipeline.recorder import AuditRecorder
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.encoding import Encoder
from lumi_pipeline.siem.expected import Expected
from lumi_pipeline.siem.exportfile import look_at
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.settings import known_kinds, read_destinations
from lumi_pipeline.siem.siemside import Comparison, compare_export
from tests.lake.world import World, at, day, new_event
from tests.siem.texts import texts_of

ENTITIES = ("user", "session", "ticket", "group", "scim_user", "")
SPARSE = dict.fromkeys(("auth_method", "actor_name", "ip", "user_agent", "request_id", "before_state", "after_state"))
WEIRD = '"}\\\n\t\u2028é\U0001f469'

KINDS: dict[str, dict[str, object]] = {
    "https": {"url": "https://siem.example.com/"},
    "splunk": {"url": "https://siem.example.com/", "token": "env:TOKEN"},
    "datadog": {"site": "datadoghq.com", "api_key": "env:KEY"},
    "sumo": {"url": "env:URL"},
    "sentinel": {
        "endpoint": "https://x.ingest.monitor.azure.com",
        "dcr": f"dcr-{'0' * 32}",
        "stream": "Custom-LumiAudit_CL",
        "directory": "d",
        "client_id": "c",
        "client_secret": "env:SECRET",
    },
}
EXPORTED: dict[str, Callable[[dict[str, object]], object]] = {
    "datadog": lambda record: {"id": "A", "attributes": {"attributes": record, "message": record["message"]}},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Each action on each kind of entity, by each kind of actor, with everything and with as little as there may be."""
    world = World.create(tmp_path_factory.mktemp("formats") / "world", at(5))
    actors = ("user", "service", "system", "support")
    outcomes = ("success", "failure", "unknown")
    events = [new_event("acme", ip="2001:db8::1", before_state="", after_state=WEIRD, auth_method="oidc")]
    for number, action in enumerate([*CATALOGUE, "SOMETHING_NEW"]):
        for entity in ENTITIES:
            columns: dict[str, object] = {
                "action": action,
                "entity_type": entity,
                "actor_type": actors[number % 4],
                "outcome": outcomes[number % 3],
                "occurred_at": from_micros(to_micros(at(0)) + number),
            }
            payload = SPARSE if number % 2 else {"ip": WEIRD, "actor_name": WEIRD}
            events.append(new_event("acme", **columns, **payload))
    with closing(world.outbox.connect()) as connection:
        AuditRecorder(connection).record_many(events, recorded_at=[at(0)] * len(events))
        connection.commit()
    world.pipeline().land()
    return world


def round_trip(world: World, tmp_path: Path, kind: str, format_name: str, *, alter: str | None = None) -> Comparison:
    """Encode all events as a destination is sent them, and compare that as an export."""
    table = {"kind": kind, "name": "siem", "format": format_name, "since": "beginning", **KINDS[kind]}
    settings = read_destinations([table], "destinations", tmp_path)
    exports = Exports(world.pipeline(destinations=settings))
    module = importlib.import_module(f"lumi_pipeline.siem.destinations.{kind}")
    destination = module.open_destination(settings[0])
    expected = Expected(exports, "siem", Period(day(0), day(0)))
    lines = []
    with Encoder(destination) as encoder:
        for rows, _ in expected.rows():
            records = encoder.encode(rows, settings[0].routes[-1])
            lines += texts_of(records)
    destination.close()
    exported = [json.loads(line.decode().replace("\x01", "0")) for line in lines]
    exported = [EXPORTED.get(kind, lambda record: record)(record) for record in exported]
    text = "\n".join(json.dumps(record) for record in exported)
    file = tmp_path / "export"
    file.write_text(text if alter is None else text.replace(*alter.split("→")), encoding="utf-8")
    return compare_export(expected, [look_at(file)])


@pytest.mark.parametrize("format_name", ["native", "ocsf"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_comes_back_unaltered(world: World, tmp_path: Path, kind: str, format_name: str) -> None:
    if kind not in known_kinds():
        pytest.skip(f"there is no destination {kind}")
    if format_name == "ocsf":
        pytest.importorskip("lumi_pipeline.siem.ocsf")
    found = round_trip(world, tmp_path, kind, format_name)
    assert [(e.seq, e.differs) for e in found.altered.shown] == []
    assert found.recomputed
    assert (found.unknown.count, found.foreign.count, found.duplicated.count) == (0, 0, 0)
    assert found.present == found.expected == found.records > len(CATALOGUE)


def test_an_altered_record_in_ocsf_is_found(world: World, tmp_path: Path) -> None:
    pytest.importorskip("lumi_pipeline.siem.ocsf")
    found = round_trip(world, tmp_path, "https", "ocsf", alter='"status_id": 2→"status_id": 1')
    assert found.altered.count > 10
    assert {e.differs for e in found.altered.shown} == {("outcome", "recomputed integrity_hash")}
