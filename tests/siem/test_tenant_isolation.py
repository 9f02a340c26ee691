"""A customer only ever gets its own tenant's events, whatever tenants are called, say, or do to a store."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from lumi_pipeline.errors import LakeError, LumiError
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.hashing import event_integrity_hash
from lumi_pipeline.lake import describe_parquet
from lumi_pipeline.landings import Landing, landing_key
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.feed import publish_feed
from lumi_pipeline.siem.feedentries import FeedBook, Withheld
from lumi_pipeline.siem.gzipping import decompress
from lumi_pipeline.siem.plans import PlanBook
from lumi_pipeline.siem.settings import read_destinations
from lumi_pipeline.siem.source import Source
from lumi_pipeline.siem.sqltext import BATCH_ID
from tests.lake.chains import extend, new_head
from tests.lake.world import World, at
from tests.siem.feeds import read_feed

ALIKE = ("a", "a.b", "a..", "a-b", "ab", "index")
SECRET = "globex-only"


def source(world: World) -> Source:
    pipeline = world.pipeline()
    return Source.open(pipeline.lake, tuple(pipeline.sealed_days()))


def world_of(directory: Path, *tenants: str) -> World:
    """Three landed events a tenant; globex's say so."""
    world = World.create(directory / "world", at(9))
    for tenant in tenants:
        world.record(tenant, at(0), at(0), at(1), **({"actor_name": SECRET} if tenant == "globex" else {}))
    return world


def reachable(world: World, tenant: str) -> bytes:
    """Everything that somebody can read who may read the tenant's prefix."""
    publish_feed(source(world), tenant)
    found = [world.store.get(key) for key in world.store.list(f"feeds/{tenant}/")]
    return b"".join(decompress(data, 1 << 30) if data.startswith(b"\x1f\x8b") else data for data in found)


def test_tenants_with_similar_ids_share_nothing(tmp_path: Path) -> None:
    world = world_of(tmp_path, *ALIKE)
    world.pipeline().land()
    for tenant in ALIKE:
        publish_feed(source(world), tenant)
    for tenant in ALIKE:
        fed = read_feed(world.store, tenant)
        assert {event["tenant_id"] for event in fed.events} == {tenant}
        assert fed.seqs == [0, 1, 2]
        assert len(list(world.store.list(f"feeds/{tenant}/"))) == 2
    assert len(list(world.store.list("feeds/"))) == 2 * len(ALIKE)


def test_no_id_leads_out_of_its_prefix(tmp_path: Path) -> None:
    world = world_of(tmp_path, "globex")
    world.pipeline().land()
    for tenant in ("..", ".", "../globex", "globex/index", "a\0", "A/../globex", "*", "", "á"):
        with pytest.raises(LumiError, match="not a tenant id"):
            publish_feed(source(world), tenant)
    assert list(world.store.list("feeds/")) == []


IMITATION = json.dumps({"event_id": "0" * 36, "tenant_id": "acme", "seq": 0, "action": "imitation"})


def test_content_that_imitates_another_tenant_stays_content(tmp_path: Path) -> None:
    texts = (
        f'"}}\n{IMITATION}\n{{"',
        '","tenant_id":"acme","x":"',
        f"\n{IMITATION}\n",
        "\r\n\u2028\u2029\u0085",
        f"{BATCH_ID}{IMITATION}",
        "\\",
        '\\"',
        "tenant_id\x1eacme",
    )
    world = World.create(tmp_path / "world", at(9))
    names = ("entity_id", "actor_name", "user_agent", "before_state", "after_state")
    for text in texts:
        world.record("globex", at(0), **dict.fromkeys(names, text))
        world.record("acme", at(0))
    world.pipeline().land()
    content = reachable(world, "acme")
    assert b"globex" not in content
    assert b"imitation" not in content
    assert [event["tenant_id"] for event in read_feed(world.store, "acme").events] == ["acme"] * len(texts)
    reachable(world, "globex")
    fed = read_feed(world.store, "globex").events
    assert [(event["tenant_id"], event["seq"]) for event in fed] == [("globex", seq) for seq in range(len(texts))]
    assert [{event[name] for name in names} for event in fed] == [{text} for text in texts]


def test_a_row_moved_from_another_chain_is_withheld(tmp_path: Path) -> None:
    world = world_of(tmp_path, "acme", "globex")
    world.record("acme", at(2), at(2))
    world.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 1")
    world.tamper("UPDATE audit_outbox SET tenant_id = 'acme' WHERE tenant_id = 'globex' AND seq = 1")
    world.pipeline().land()
    report = publish_feed(source(world), "acme")
    assert report.withheld == (Withheld(1, 1, "broken"),)
    assert SECRET.encode() not in reachable(world, "acme")
    assert read_feed(world.store, "acme").seqs == [0, 2, 3, 4]


def test_a_row_moved_behind_the_last_one_is_withheld(tmp_path: Path) -> None:
    world = world_of(tmp_path, "acme", "globex")
    world.pipeline().land()
    publish_feed(source(world), "acme")
    world.record("globex", at(2), actor_name=SECRET)
    world.tamper("UPDATE audit_outbox SET tenant_id = 'acme' WHERE tenant_id = 'globex' AND seq = 3")
    world.tamper("UPDATE audit_chain_head SET next_seq = 4 WHERE tenant_id = 'acme'")
    world.tamper("UPDATE audit_chain_head SET next_seq = 3 WHERE tenant_id = 'globex'")
    with pytest.raises(LumiError):
        world.pipeline().land()  # globex's head no longer is what it was; and should somebody put that right as well:
    head = world.select("SELECT integrity_hash FROM audit_outbox WHERE tenant_id = 'globex' AND seq = 2")[0][0]
    world.tamper("UPDATE audit_chain_head SET head_hash = ? WHERE tenant_id = 'globex'", (head,))
    world.pipeline().land()
    assert SECRET.encode() not in reachable(world, "acme")


def test_a_row_with_hashes_made_to_fit_is_withheld(tmp_path: Path) -> None:
    """Its own hashes recompute then, under the other tenant; but the chain leads neither to it nor from it."""
    world = World.create(tmp_path / "world", at(9))
    acme, head = extend(new_head("acme"), [at(0)] * 5)
    other, _ = extend(new_head("globex"), [at(0)] * 5, actor_name=SECRET)
    moved = replace(other[2], tenant_id="acme")
    acme[2] = replace(moved, integrity_hash=event_integrity_hash(moved))
    world.put(acme, head)
    world.pipeline().land()
    report = publish_feed(source(world), "acme")
    assert report.withheld == (Withheld(1, 3, "broken"),)
    assert SECRET.encode() not in reachable(world, "acme")


def landed(world: World) -> tuple[Landing, pa.Table]:
    """The only landing, and its events."""
    landing = Landing.parse(world.store.get(landing_key(0)), landing_key(0))
    return landing, world.pipeline().lake.open_events(landing.files[0]).read()


def test_a_landed_file_that_was_altered_is_not_read(tmp_path: Path) -> None:
    world = world_of(tmp_path, "acme", "globex")
    world.pipeline().land()
    landing, table = landed(world)
    acme = pa.array(["acme"] * len(table), pa.string())
    _, data = describe_parquet("x", table.set_column(0, "tenant_id", acme))
    world.overwrite(landing.files[0].path, data)
    with pytest.raises(LakeError, match="was altered"):
        publish_feed(source(world), "acme")
    assert list(world.store.list("feeds/")) == []


def test_a_landing_that_was_replaced_as_a_whole_brings_no_foreign_row(tmp_path: Path) -> None:
    """Somebody with the storage in their hands makes file, commit object and seqs agree, but not the hashes."""
    world = world_of(tmp_path, "acme", "globex")
    world.pipeline().land()
    landing, table = landed(world)
    rows = table.to_pylist()
    foreign = [{**row, "tenant_id": "acme"} for row in rows if row["tenant_id"] == "globex"]
    kept = [row for row in rows if row["tenant_id"] == "acme" and row["seq"] == 0]
    forged = pa.Table.from_pylist([*kept, *foreign[1:]], schema=EVENT_SCHEMA)
    file, data = describe_parquet(landing.files[0].path.rpartition("-")[0], forged)
    world.store.put_new(file.path, data)
    world.overwrite(landing_key(0), replace(landing, files=(file,)).encode())
    report = publish_feed(source(world), "acme")
    assert report.events == 1
    assert SECRET.encode() not in reachable(world, "acme")
    assert read_feed(world.store, "acme").seqs == [0]


def test_a_folder_of_another_tenant_is_not_written_to(tmp_path: Path) -> None:
    """As on a disk that does not tell capital letters from small ones."""
    world = world_of(tmp_path, "acme", "ACME")
    world.pipeline().land()
    publish_feed(source(world), "acme")
    for key, data in world.contents("feeds/acme/").items():
        world.store.put_new(key.replace("acme", "ACME"), data)
    before = world.contents("feeds/")
    with pytest.raises(LakeError, match="of the feed of acme, not 0 of ACME's"):
        publish_feed(source(world), "ACME")
    assert world.contents("feeds/") == before


def sent(world: World, table: dict[str, object]) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """Plan for a destination; yield each batch's route and records."""
    settings = read_destinations(
        [{"kind": "https", "name": "customer", "url": "https://siem.example.com/", **table}], "destinations", Path("/")
    )[0]
    pipeline = world.pipeline(destinations=(settings,))
    exports = Exports(pipeline)
    book = PlanBook(pipeline.lake, settings.name)
    for report in exports.plan(settings.name):
        for batch in book.read(report.number).batches:
            lines = decompress(world.store.get(batch.body.path), 1 << 30).splitlines()
            yield batch.route, [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    "table",
    [
        {"tenants": ["acme"]},
        {"tenants": ["acme"], "isolate": True},
        {"tenants": ["acme"], "routes": [{"name": "other", "tenants": ["globex", "a"]}]},
        {
            "tenants": ["acme"],
            "routes": [{"name": "other", "tenants": ["globex"]}, {"name": "own", "tenants": ["acme"]}],
        },
        {"tenants": ["acme"], "routes": [{"name": "all", "actions": ["TICKET_CREATED"]}]},
        {"tenants": ["acme"], "actions": ["TICKET_CREATED"]},
        {"tenants": ["acme"], "format": "native", "body": "ndjson", "since": "beginning"},
    ],
)
def test_a_destination_of_one_tenant_gets_no_other(tmp_path: Path, table: dict[str, object]) -> None:
    world = world_of(tmp_path, "acme", "globex", "acme.", "lumi-operator")
    world.pipeline().land()
    batches = list(sent(world, {"since": "beginning", **table}))
    assert {record["tenant_id"] for _, records in batches for record in records} == {"acme"}
    assert sorted(str(record["seq"]) for _, records in batches for record in records) == ["0", "1", "2"]
    assert "other" not in {route for route, _ in batches}


def test_an_isolating_destination_mixes_no_tenants(tmp_path: Path) -> None:
    world = world_of(tmp_path, "acme", "globex", "acme.")
    world.pipeline().land()
    batches = list(sent(world, {"isolate": True, "since": "beginning"}))
    assert all(len({record["tenant_id"] for record in records}) == 1 for _, records in batches)
    assert sum(len(records) for _, records in batches) == 9


def test_routes_by_tenant_keep_tenants_apart(tmp_path: Path) -> None:
    world = world_of(tmp_path, "acme", "globex", "acme.")
    world.pipeline().land()
    routes = [{"name": "one", "tenants": ["acme"]}, {"name": "two", "tenants": ["globex"]}]
    batches = list(sent(world, {"routes": routes, "since": "beginning"}))
    found = {route: {record["tenant_id"] for record in records} for route, records in batches}
    assert found == {"one": {"acme"}, "two": {"globex"}, "default": {"acme."}}


def test_a_feed_names_no_other_tenant(tmp_path: Path) -> None:
    world = world_of(tmp_path, "acme", "globex")
    world.pipeline().land()
    pipeline = world.pipeline()
    list(pipeline.seal(pipeline.missing_days()))
    content = reachable(world, "acme")
    assert b"globex" not in content
    assert [entry.events for entry in FeedBook(source(world).lake, "acme").entries()] == [3]
