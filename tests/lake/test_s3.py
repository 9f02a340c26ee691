"""A lake in S3 does what one on a disk does: the same bytes, the same commands, and nothing that only a disk has."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from lumi_pipeline.cli.app import app
from lumi_pipeline.cli.ending import execute
from lumi_pipeline.config import Config
from lumi_pipeline.errors import LakeError, LumiError
from lumi_pipeline.lake import Lake
from lumi_pipeline.pending import Pending
from lumi_pipeline.profile import day_profile
from lumi_pipeline.proving import prove_event
from lumi_pipeline.stores.lockedcopy import LockedCopyStore
from lumi_pipeline.stores.objectlock import LOCKED_PREFIXES, Retention
from lumi_pipeline.stores.s3 import S3Store
from lumi_pipeline.stores.s3client import Limits, S3Connection
from tests.lake.world import LOG_KEY, World, at, day
from tests.logs import snapshot
from tests.s3 import S3
from tests.s3answers import DROPPED, Answer, answering, refusal
from transparency.errors import StoreError
from transparency.memorystore import MemoryStore

EVENTS = {"acme": (at(0, "09:00:00"), at(1, "10:00:00")), "globex": (at(0, "11:00:00"), at(2, "12:00:00"))}

Lumi = Callable[..., str]


@pytest.fixture
def recorded(world: World) -> World:
    """Events of two tenants on days 0 to 2, nothing landed."""
    for tenant_id, times in EVENTS.items():
        world.record(tenant_id, *times)
    return world


@pytest.fixture
def lumi(recorded: World, capfd: pytest.CaptureFixture[str]) -> Lumi:
    """Run a command on that world with its root in S3, which must succeed, and return what it prints."""

    def run(root: str, *command: str) -> str:
        settings = {
            "--root": root,
            "--outbox": f"sqlite:///{recorded.directory / 'outbox.db'}",
            "--origin": recorded.config.origin,
            "--log-key-file": str(recorded.config.log_key_file),
            "--evidence-key-file": str(recorded.config.evidence_key_file),
            "--analyst-db": str(recorded.config.analyst_db),
        }
        options = [text for setting in settings.items() for text in setting]
        capfd.readouterr()
        code = execute(app, "lumi", [*options, *command])
        out, err = capfd.readouterr()
        assert code == 0, err
        return out

    return run


def test_the_commands_do_on_s3_what_they_do_on_a_disk(s3: S3, lumi: Lumi, recorded: World, tmp_path: Path) -> None:
    root = f"s3://{s3.bucket()}/lake"
    assert "4 events of 2 tenants" in lumi(root, "land")
    assert lumi(root, "seal", "--day", str(day(0)))
    assert lumi(root, "run", "--through", str(day(3)))
    assert lumi(root, "publish")
    ((event_id,),) = recorded.select("SELECT event_id FROM audit_outbox WHERE tenant_id = 'globex' AND seq = 1")
    proof = tmp_path / "proof.tlog-proof"
    lumi(root, "prove", str(event_id), "-o", str(proof))
    key = str(tmp_path / "log.vkey")
    Path(key).write_text(LOG_KEY.verifier.vkey + "\n")
    assert "verified" in lumi(root, "verify", str(proof), "--key", key)
    assert lumi(root, "verify", "--all").count("verified:") == 7
    assert lumi(root, "fsck")
    assert "verified" in lumi(root, "verify", f"{root}/log", "--key", key)
    status = json.loads(lumi(root, "status", "--json"))
    assert (status["root"], status["problems"]) == (root, [])
    assert f"lake           {root}" in lumi(root, "status")
    (tmp_path / "lumi.toml").write_text("")
    assert f"{root}/events/day=" in lumi(root, "--config", str(tmp_path / "lumi.toml"), "tour")


def on_s3(world: World, s3: S3, **settings: object) -> Config:
    return replace(world.config, root=f"s3://{s3.bucket()}/lake", **settings)  # type: ignore[arg-type]


def test_the_objects_are_those_of_a_disk(s3: S3, recorded: World) -> None:
    config = on_s3(recorded, s3)
    recorded.pipeline().run()
    recorded.pipeline(root=config.root).run()
    assert snapshot(recorded.pipeline(root=config.root).lake.store) == recorded.contents()


def test_a_locked_copy_holds_every_sealed_day_and_the_log(s3: S3, recorded: World) -> None:
    locked = f"s3://{s3.bucket(locked=True)}/copy"
    # Retention counts from the pipeline's clock, which here stands still in 2024.
    lock = Retention("compliance", 2000)
    pipeline = recorded.pipeline(root=on_s3(recorded, s3).root, locked_root=locked, object_lock=lock)
    pipeline.run()
    store = pipeline.lake.store
    assert isinstance(store, LockedCopyStore)
    working = {key: data for key, data in snapshot(store).items() if key.startswith(LOCKED_PREFIXES)}
    assert working == snapshot(store.copy)
    assert "seals/day=2024-02-28/day.txt" in working


def test_retention_counts_from_the_pipelines_clock(ceph: S3, recorded: World) -> None:
    """It stands still in 2024, and two days later is in the past, where S3 accepts no retention."""
    locked = f"s3://{ceph.bucket(locked=True)}/copy"
    pipeline = recorded.pipeline(locked_root=locked, object_lock=Retention("compliance", 2))
    with pytest.raises(StoreError, match="copy: S3 refused it with InvalidArgument"):
        pipeline.run()


def test_a_lake_on_a_disk_may_have_its_locked_copy_in_s3(s3: S3, recorded: World) -> None:
    locked = {"locked_root": f"s3://{s3.bucket(locked=True)}", "object_lock": Retention("governance", 2000)}
    pipeline = recorded.pipeline(**locked)
    pipeline.run()
    store = pipeline.lake.store
    assert isinstance(store, LockedCopyStore)
    assert isinstance(store.copy, S3Store)
    assert snapshot(store.copy).items() <= recorded.contents().items()
    assert store.copy.get("log/checkpoint") == store.get("log/checkpoint")


def test_readers_see_events_in_s3_as_they_do_on_a_disk(s3: S3, recorded: World) -> None:
    there, here = recorded.pipeline(root=on_s3(recorded, s3).root), recorded.pipeline()
    for pipeline in (there, here):
        pipeline.run()
    for number in range(3):
        assert day_profile(there.lake, day(number)) == day_profile(here.lake, day(number))
    genesis = here.genesis()
    assert genesis is not None
    for (event_id,) in recorded.select("SELECT event_id FROM audit_outbox"):
        proofs = {prove_event(pipeline.lake, genesis, str(event_id)) for pipeline in (there, here)}
        assert len(proofs) == 1


def test_what_is_done_side_by_side_comes_back_in_order_and_never_runs_far_ahead() -> None:
    lake = Lake(MemoryStore(), str, pytest.fail)
    taken = []

    def numbers() -> Iterator[int]:
        for number in range(500):
            taken.append(number)
            yield number

    results = lake.side_by_side(lambda number: 2 * number, numbers())
    assert next(results) == 0
    assert len(taken) < 100
    assert [0, *results] == list(range(0, 1000, 2))


def test_polars_and_pyarrow_open_the_same_places(s3: S3, recorded: World) -> None:
    lake = recorded.pipeline(root=on_s3(recorded, s3).root).lake
    recorded.pipeline(root=f"s3://{lake.store.bucket}/lake").run()
    assert lake.file_system is not None
    files = lake.file_system("events/")
    places = [lake.locate(key) for key in lake.store.list("events/")]
    table = pq.read_table([place.removeprefix("s3://") for place in places], filesystem=files)
    assert len(table) == 4
    frames = []
    for place in places:
        with files.open(place) as file:
            frames.append(pl.read_parquet(file))
    assert pl.concat(frames)["event_id"].sort().to_list() == sorted(table.column("event_id").to_pylist())


def test_what_was_checked_is_what_is_read_although_it_changes_meanwhile(s3: S3, recorded: World) -> None:
    """On a disk a file could change too, but only by somebody with access to this machine, and within moments."""
    pipeline = recorded.pipeline(root=on_s3(recorded, s3).root)
    pipeline.land()
    with Pending(pipeline.lake, 0) as pending:
        for key in pipeline.lake.store.list("landed/"):
            pipeline.lake.store.put(key, b"altered after it was checked")
        assert pending.first_day() == day(0)
        ranges = {tenant_id: pending.day_range(tenant_id, 0, day(2)) for tenant_id in EVENTS}
        assert sum(len(rows) for rows in pending.rows(ranges)) == 4
    with pytest.raises(LakeError, match="was altered"), Pending(pipeline.lake, 0):
        pass


LISTED = Answer(
    body=b"<ListBucketResult><Contents><Key>lake/events/a.parquet</Key><Size>1000</Size><ETag>e</ETag>"
    b"<LastModified>2024-02-28T00:00:00Z</LastModified></Contents></ListBucketResult>"
)
SEARCH_REFUSALS = {
    "from the first request": ((refusal(400, "ExpiredToken"),), "the credentials have expired"),
    "once it was listed": ((LISTED, refusal(400, "ExpiredToken")), "the credentials have expired"),
    "for the object alone": ((LISTED, refusal(403, "AccessDenied"), LISTED), "can't be searched.*Error: "),
    "without an answer": ((LISTED, DROPPED), "can't be reached or breaks off"),
}


@pytest.mark.parametrize("when", SEARCH_REFUSALS)
def test_a_search_that_s3_refuses_says_what_s3_said(when: str) -> None:
    script, said = SEARCH_REFUSALS[when]
    with answering(*script) as server:
        store = S3Store(S3Connection(Limits(attempts=1, connect_timeout=0.5, read_timeout=0.5)), "bucket", "lake/")
        lake = Lake(store, store.url, store.file_system)
        with pytest.raises(LumiError, match=said) as caught, lake.searching("events/") as db:
            db.from_parquet([lake.locate("events/a.parquet")]).fetchall()
    assert "Traceback" not in str(caught.value)
    assert len(server.requests) < 40


def test_what_cannot_be_searched_in_s3_is_an_error_of_ours(s3: S3, recorded: World) -> None:
    pipeline = recorded.pipeline(root=on_s3(recorded, s3).root)
    pipeline.run()
    [part] = pipeline.lake.store.list(f"events/day={day(0)}/")
    pipeline.lake.store.put(part, b"not Parquet")
    with pytest.raises(LakeError, match="'lumi verify --all' names what is damaged"):
        day_profile(pipeline.lake, day(0))
    lake = pipeline.lake
    with pytest.raises(LakeError, match="No files found"), lake.searching("events/") as db:
        db.sql(f"FROM '{lake.locate('events/none.parquet')}'")
