"""The pull feed: gapless, in whole steps, the same whoever publishes it and wherever a run is stopped."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import click
import pyarrow as pa
import pytest

from lumi_pipeline.cli.ending import execute
from lumi_pipeline.cli.feed import feed
from lumi_pipeline.cli.options import Given
from lumi_pipeline.config import load_config
from lumi_pipeline.errors import ConcurrentRun, ConfigError, LakeError, SiemError
from lumi_pipeline.siem import feed as feeds
from lumi_pipeline.siem.feed import FeedReport, publish_feed, publish_feeds
from lumi_pipeline.siem.feedentries import FeedBook, FeedEntry, Withheld
from lumi_pipeline.siem.source import Source
from tests.databases import url_of
from tests.lake.world import ORIGIN, World, at
from tests.siem.feeds import read_feed
from transparency.filestore import FileStore
from transparency.store import ObjectStore


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three landed events of acme, two of globex."""
    world = World.create(tmp_path / "world", at(9))
    world.record_all([("acme", at(0)), ("globex", at(0)), ("acme", at(0)), ("acme", at(1)), ("globex", at(1))])
    world.pipeline().land()
    return world


def source(world: World, wrap: Callable[[ObjectStore], ObjectStore] = lambda store: store) -> Source:
    pipeline = world.pipeline(wrap)
    return Source.open(pipeline.lake, tuple(pipeline.sealed_days()))


def publish(world: World, tenant: str = "acme") -> FeedReport:
    return publish_feed(source(world), tenant)


def test_everything_landed_is_published_once(world: World) -> None:
    assert publish(world).events == 3
    first = world.contents("feeds/acme/")
    assert publish(world) == FeedReport("acme", 0, 0, 0, (), 3, 0)
    assert world.contents("feeds/acme/") == first
    world.record("acme", at(2), at(2))
    world.pipeline().land()
    assert publish(world).next == 5
    fed = read_feed(world.store, "acme")
    assert fed.seqs == [0, 1, 2, 3, 4]
    assert len(fed.entries) == 2
    assert first.items() <= world.contents("feeds/acme/").items()


def test_a_line_is_the_native_record(world: World) -> None:
    publish(world)
    event = read_feed(world.store, "acme").events[0]
    columns = ("tenant_id", "seq", "event_id", "actor_name", "after_state", "lower(hex(integrity_hash))")
    row = world.select(f"SELECT {', '.join(columns)} FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 0")  # noqa: S608
    names = ("tenant_id", "seq", "event_id", "actor_name", "after_state", "integrity_hash")
    assert tuple(event[name] for name in names) == row[0]
    assert event["recorded_at"] == "2024-02-28T12:00:00.000000Z"


def test_sealing_changes_nothing(world: World) -> None:
    publish(world)
    pipeline = world.pipeline()
    list(pipeline.seal(pipeline.missing_days()))
    world.record("acme", at(9))
    world.pipeline().land()
    publish(world)
    assert read_feed(world.store, "acme").seqs == [0, 1, 2, 3]


def test_large_feeds_come_in_several_objects(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.record_all([("acme", at(2))] * 40)
    world.pipeline().land()
    monkeypatch.setattr(feeds, "MAX_OBJECT_BYTES", 2000)
    report = publish(world)
    assert report.entries > 4
    assert read_feed(world.store, "acme").seqs == list(range(43))
    assert [entry.number for entry in FeedBook(source(world).lake, "acme").entries()] == list(range(report.entries))


class _Dying:
    """A store whose process dies before its nth write."""

    def __init__(self, store: ObjectStore, writes: int) -> None:
        self._store = store
        self._writes = writes
        self.get, self.list, self.delete, self.put = store.get, store.list, store.delete, store.put

    def put_new(self, key: str, data: bytes) -> None:
        self._writes -= 1
        if self._writes < 0:
            raise KeyboardInterrupt
        self._store.put_new(key, data)


@pytest.mark.parametrize("writes", range(4))
def test_a_crash_leaves_whole_steps(world: World, writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = source(world, lambda store: _Dying(store, writes))
    monkeypatch.setattr(feeds, "MAX_OBJECT_BYTES", 1)
    with pytest.raises(KeyboardInterrupt):
        publish_feed(dying, "acme")
    monkeypatch.undo()
    assert read_feed(world.store, "acme").seqs == [0, 1][: writes // 2]
    world.record("acme", at(2))  # so that the next run's objects are others
    world.pipeline().land()
    publish(world)
    fed = read_feed(world.store, "acme")
    assert fed.seqs == [0, 1, 2, 3]
    named = {f"feeds/acme/{entry['object']}" for entry in fed.entries}
    assert set(world.store.list("feeds/acme/events/")) == named


def test_two_runs_publish_once(world: World) -> None:
    slow = source(world)
    world.record("acme", at(2))
    world.pipeline().land()

    class Overtaking:
        """Another run publishes between this one's object and its entry."""

        def __init__(self, store: ObjectStore) -> None:
            self._store = store
            self.get, self.list, self.delete, self.put = store.get, store.list, store.delete, store.put

        def put_new(self, key: str, data: bytes) -> None:
            if "/index/" in key:
                publish(world)
            self._store.put_new(key, data)

    raced = Source(world.pipeline(Overtaking).lake, slow.days, slow.last, slow.cursors, slow.landings, slow.erasures)
    with pytest.raises(ConcurrentRun, match="nothing is lost"):
        publish_feed(raced, "acme")
    fed = read_feed(world.store, "acme")
    assert fed.seqs == [0, 1, 2, 3]
    publish(world)
    assert set(world.store.list("feeds/acme/events/")) == {f"feeds/acme/{entry['object']}" for entry in fed.entries}


def test_an_altered_index_is_noticed(world: World) -> None:
    publish(world)
    key = "feeds/acme/index/000000000000.json"
    data = world.store.get(key)
    for altered in (data.replace(b'"next":"3"', b'"next":"2"'), b"{}\n", b"\xff"):
        world.overwrite(key, altered)
        with pytest.raises(LakeError, match="was altered"):
            publish(world)


def test_a_lost_entry_is_noticed(world: World) -> None:
    publish(world)
    world.record("acme", at(2))
    world.pipeline().land()
    publish(world)
    world.store.delete("feeds/acme/index/000000000000.json")
    book = FeedBook(source(world).lake, "acme")
    assert list(book.entries()) == []
    last = book.last()
    assert last is not None
    assert last[0].number == 1
    world.store.put_new("feeds/acme/index/000000000000.json", FeedEntry.encode(_entry(withheld=())))
    with pytest.raises(LakeError, match="does not follow"):
        list(book.entries())


def _entry(**changes: object) -> FeedEntry:
    values: dict[str, object] = {
        "number": 0,
        "tenant_id": "acme",
        "first": 0,
        "next": 3,
        "events": 3,
        "path": "events/000000000000-0123456789abcdef.ndjson.gz",
        "size": 9,
        "sha256": "0" * 64,
        "batch_id": "1" * 64,
        "head": "2" * 64,
        "withheld": (Withheld(3, 3, "broken"),),
        "previous": "0" * 64,
    }
    return FeedEntry(**{**values, **changes})  # type: ignore[arg-type]


def test_an_entry_reads_back() -> None:
    entry = _entry(next=4)
    assert FeedEntry.parse(entry.encode(), "it") == entry
    with pytest.raises(LakeError, match="does not account"):
        FeedEntry.parse(_entry().encode(), "it")


def test_entry_bytes_are_golden() -> None:
    assert _entry(next=4).encode() == (
        b'{"batch_id":"1111111111111111111111111111111111111111111111111111111111111111","bytes":"9",'
        b'"digest":"a1cd6bf0add07008b463655a5388b9d74375f5b664f8bb82e23bbfc4cfcc6831","events":"3","first":"0",'
        b'"format":"lumi/feed/v1","head":"2222222222222222222222222222222222222222222222222222222222222222",'
        b'"next":"4","number":"0","object":"events/000000000000-0123456789abcdef.ndjson.gz",'
        b'"previous":"0000000000000000000000000000000000000000000000000000000000000000",'
        b'"sha256":"0000000000000000000000000000000000000000000000000000000000000000","tenant_id":"acme",'
        b'"withheld":[["3","3","broken"]]}\n'
    )


def test_a_feed_of_another_lake_is_refused(world: World) -> None:
    publish(world)
    other = World.create(world.directory / "other", at(9))
    other.record("acme", at(0))
    other.pipeline().land()
    for key, data in world.contents("feeds/").items():
        other.store.put_new(key, data)
    with pytest.raises(LakeError, match="another lake"):
        publish(other)


def test_lost_rows_are_named(world: World) -> None:
    world.record("acme", *[at(2)] * 6)
    world.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq IN (4, 5, 8)")
    world.pipeline().land()
    report = publish(world)
    assert report.withheld == (Withheld(4, 5, "missing"), Withheld(8, 8, "missing"))
    assert (report.events, report.next) == (6, 9)
    assert read_feed(world.store, "acme").seqs == [0, 1, 2, 3, 6, 7]
    world.record("acme", at(3))
    world.pipeline().land()
    publish(world)
    assert read_feed(world.store, "acme").seqs[-1] == 9


def test_a_row_that_the_head_contradicts_waits(world: World) -> None:
    publish(world)
    world.record("acme", at(2), at(2))
    head = world.select("SELECT head_hash FROM audit_chain_head WHERE tenant_id = 'acme'")[0][0]
    world.tamper("UPDATE audit_chain_head SET head_hash = ? WHERE tenant_id = 'acme'", (bytes(32),))
    world.pipeline().land()
    report = publish(world)
    assert (report.next, report.waiting) == (4, 1)
    world.tamper("UPDATE audit_chain_head SET head_hash = ? WHERE tenant_id = 'acme'", (head,))
    world.record("acme", at(3))
    world.pipeline().land()
    report = publish(world)
    assert (report.next, report.waiting, report.withheld) == (6, 0, ())
    assert read_feed(world.store, "acme").seqs == [0, 1, 2, 3, 4, 5]


def test_one_broken_feed_stops_no_other(world: World) -> None:
    world.store.put_new("feeds/acme/index/000000000000.json", b"{}\n")
    report = publish_feeds(source(world), ["acme", "globex", "nobody", "../x"])
    assert [published.tenant_id for published in report.published] == ["globex", "nobody"]
    assert sorted(report.failed) == ["../x", "acme"]
    assert "not a tenant id" in report.failed["../x"]


class Counted(Source):
    """Notes for which tenants its rows are read."""

    read: ClassVar[list[list[str]]] = []

    def rows(
        self, ranges: Mapping[str, tuple[int, int]], landing: int = 0, *, around_pruned: bool = False
    ) -> Iterator[pa.Table]:
        self.read.append(sorted(ranges))
        return super().rows(ranges, landing, around_pruned=around_pruned)


def counted(world: World) -> Counted:
    Counted.read.clear()
    found = source(world)
    return Counted(found.lake, found.days, found.last, found.cursors, found.landings, found.erasures)


def test_the_lake_is_read_once_for_all_feeds(world: World) -> None:
    names = ["globex", "acme", "initech", "nobody"]
    world.record_all([("initech", at(2)), *([("umbrella", at(2))] * 3)])
    world.pipeline().land()
    report = publish_feeds(counted(world), names)
    assert [(feed.tenant_id, feed.events) for feed in report.published] == [*zip(names, (2, 3, 1, 0), strict=True)]
    assert (Counted.read, report.failed) == ([["acme", "globex", "initech"]], {})
    alone = world.copy(world.directory.parent / "alone")
    for key in list(alone.store.list("feeds/")):
        alone.store.delete(key)
    for tenant in names:
        publish(alone, tenant)
    assert alone.contents("feeds/") == world.contents("feeds/")
    assert [feed.events for feed in publish_feeds(counted(world), names).published] == [0, 0, 0, 0]
    assert Counted.read == []


def test_a_failure_amid_the_rows_of_several_feeds_is_one_feed_s(world: World) -> None:
    """Its rows lie between those of two others, which are read together with them."""
    world.record_all([("initech", at(2))])
    world.pipeline().land()

    class Full(FileStore):
        def put_new(self, key: str, data: bytes) -> None:
            if key.startswith("feeds/globex/events/"):
                raise LakeError("the disk is full")
            super().put_new(key, data)

    full = source(world, lambda _: Full(world.directory / "lake"))
    report = publish_feeds(full, ["acme", "globex", "initech"])
    assert [(feed.tenant_id, feed.events) for feed in report.published] == [("acme", 3), ("initech", 1)]
    assert report.failed == {"globex": "the disk is full"}
    assert read_feed(world.store, "initech").seqs == [0]


def test_a_damaged_day_stops_only_those_who_lack_it(world: World) -> None:
    world.pipeline().run()
    publish(world, "globex")
    world.clock.now = at(10)
    world.record_all([("acme", at(9)), ("globex", at(9))])
    world.pipeline().land()
    damaged = next(key for key in world.store.list("events/"))
    world.overwrite(damaged, world.store.get(damaged)[:-9])
    report = publish_feeds(counted(world), ["acme", "globex"])
    assert Counted.read == [["acme", "globex"], ["acme"], ["globex"]]
    assert [(feed.tenant_id, feed.events) for feed in report.published] == [("globex", 1)]
    assert damaged in report.failed["acme"]
    assert len(read_feed(world.store, "globex").seqs) == 3


def test_no_tenant_id_no_feed(world: World) -> None:
    for tenant in ("", "..", ".", "a/b", "-a", "a\n", "a" * 129):
        with pytest.raises(SiemError, match="not a tenant id"):
            FeedBook(world.pipeline().lake, tenant)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('"acme"', "a list of tenant ids"),
        ('["acme", "../x"]', r"feeds\[1\]: '../x' is not a tenant id"),
        ('["acme", "acme"]', "'acme' is there twice"),
        ("[3]", "must be text"),
    ],
)
def test_feeds_are_checked_when_the_configuration_is_read(tmp_path: Path, value: str, said: str) -> None:
    file = tmp_path / "lumi.toml"
    file.write_text(f"feeds = {value}\n")
    with pytest.raises(ConfigError, match=said):
        load_config(file, env={})
    file.write_text('feeds = ["acme", "a.b"]\n')
    assert load_config(file, env={}).feeds == ("acme", "a.b")


def reader() -> str:
    """The last block of docs/feed.md."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "feed.md").read_text(encoding="utf-8")
    return text.rpartition("```bash\n")[2].partition("```")[0]


def test_the_documented_reader_reads_and_checks(world: World, tmp_path: Path) -> None:
    publish(world)
    world.record("acme", at(2))
    world.pipeline().land()
    publish(world)
    for key, data in world.contents("feeds/acme/").items():
        path = tmp_path / key.removeprefix("feeds/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def read() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["bash", "-c", reader()], cwd=tmp_path, capture_output=True, check=False)

    done = read()
    assert done.returncode == 0
    assert [json.loads(line) for line in done.stdout.splitlines()] == read_feed(world.store, "acme").events
    first = tmp_path / "acme" / "index" / "000000000000.json"
    whole = first.read_bytes()
    first.write_bytes(whole.replace(b'"events":"3"', b'"events":"2"'))
    assert b"does not follow the one before" in read().stderr
    first.write_bytes(whole)
    next((tmp_path / "acme" / "events").iterdir()).write_bytes(b"")
    assert read().returncode == 1


def run(world: World, *arguments: str) -> int:
    """Run the command as a group would that registers it."""
    file = world.directory / "lumi.toml"

    # A command keeps the help option that it had in the first group it ran in; this one is the application's.
    @click.group(context_settings={"help_option_names": ["-h", "--help"]})
    @click.pass_context
    def app(ctx: click.Context) -> None:
        ctx.obj = Given(file)

    app.add_command(feed)
    return execute(app, "lumi", ["feed", *arguments])


def configure(world: World, feeds_of: str) -> None:
    lines = [f"root = {json.dumps(world.place.root)}", f"outbox = {json.dumps(url_of(world.outbox))}"]
    lines += [f"origin = {json.dumps(ORIGIN)}", feeds_of, ""]
    (world.directory / "lumi.toml").write_text("\n".join(lines), encoding="utf-8")


def test_the_command_publishes_for_listed_tenants(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    configure(world, 'feeds = ["acme"]')
    assert run(world) == 0
    assert "acme" in capfd.readouterr().out
    assert list(world.store.list("feeds/globex/")) == []
    assert run(world, "--tenant", "globex", "--json") == 0
    report = json.loads(capfd.readouterr().out)
    assert [(feed["tenant"], feed["events"]) for feed in report["feeds"]] == [("globex", 2)]
    assert run(world, "--tenant", "nobody") == 1
    assert "no event of 'nobody'" in capfd.readouterr().err
    configure(world, "")
    assert run(world) == 2
    assert 'feeds = ["acme"]' in capfd.readouterr().err


def test_the_command_names_feeds_that_fail(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    configure(world, 'feeds = ["acme", "globex"]')
    world.store.put_new("feeds/acme/index/000000000000.json", b"{}\n")
    assert run(world) == 1
    printed = capfd.readouterr()
    assert "1 feed could not be published\nacme: " in printed.err
    assert "globex" in printed.out
