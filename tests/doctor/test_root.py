"""What the doctor finds about a root, in a directory or in a bucket."""

import shutil
import subprocess
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from lumi_pipeline.doctor.examination import Examination, Place
from lumi_pipeline.doctor.findings import Status
from lumi_pipeline.doctor.mounts import Mount, find_mount, mount_of
from lumi_pipeline.doctor.probes import PREFIX, STALE_AFTER, new_key
from lumi_pipeline.doctor.writing import look_at_create_only, look_at_store
from lumi_pipeline.outboxaddress import sqlite_address
from lumi_pipeline.recorder import system_clock
from tests.doctor.setups import Setup, look, look_at_all, look_at_everything, mounted, told
from tests.logs import snapshot
from transparency.memorystore import MemoryStore


def root_of(setup: Setup) -> Path:
    path = setup.config.root_path
    assert path is not None
    return path


def test_a_working_root_is_well_and_stays_as_it_is(setup: Setup) -> None:
    setup.publish()
    before = snapshot(setup.pipeline.lake.store)
    results = look_at_everything(setup)
    well = told(results, Status.OK)
    assert {"root", "root create-only", "log", "log clock", "days", "keys of this log"} <= well.keys()
    # The tests' shared server runs without fsync, for speed.
    assert told(results, Status.PROBLEM).keys() <= {"outbox durable"}
    assert well["days"] == "every day that is over is sealed and published"
    assert snapshot(setup.pipeline.lake.store) == before


def test_a_root_that_does_not_exist_yet_is_tried_and_not_left_behind(files: Setup) -> None:
    deeper = files.having(root=(root_of(files) / "not" / "yet").as_uri())
    assert look(deeper, "root create-only").status == Status.OK
    assert not root_of(files).exists()


def test_directories_that_were_there_stay(files: Setup) -> None:
    files.publish()
    before = sorted(root_of(files).rglob("*"))
    assert look(files, "root create-only").status == Status.OK
    assert sorted(root_of(files).rglob("*")) == before


def test_what_a_crash_left_is_removed_once_it_is_old(setup: Setup) -> None:
    store = setup.pipeline.lake.store
    now = system_clock()
    old, young = new_key(now - STALE_AFTER - timedelta(minutes=1)), new_key(now - timedelta(minutes=1))
    for key in (old, young):
        store.put_new(key, b"left by a crash")
    assert look(setup, "root").status == Status.OK
    assert list(store.list(PREFIX)) == [young]


class Forgetful(MemoryStore):
    """A store that lets the last writer win, as a gateway that ignores conditions does."""

    def put_new(self, key: str, data: bytes) -> None:
        self.put(key, data)


class Undecided(MemoryStore):
    """A store that looks first and writes then: right for one writer, wrong for two at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.both = threading.Barrier(2)

    def put_new(self, key: str, data: bytes) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.both.wait()
            self.put(key, data)
        else:
            super().put_new(key, data)


@pytest.mark.parametrize(("kind", "said"), [(Forgetful, "are not honoured"), (Undecided, "are not decided")])
def test_a_store_that_does_not_decide_is_found(files: Setup, kind: type[MemoryStore], said: str) -> None:
    examination = Examination(files.config)
    examination.root = Place("root", kind(), None, has_lock=False)
    [found] = look_at_create_only(examination.root, examination)
    assert (found.status, said in found.detail) == (Status.PROBLEM, True)
    assert list(examination.root.store.list("")) == []


def test_a_store_that_gives_back_other_bytes_is_found(files: Setup) -> None:
    class Damaging(MemoryStore):
        def get(self, key: str) -> bytes:
            return super().get(key)[1:]

    examination = Examination(files.config)
    [found] = look_at_store(Place("root", Damaging(), None, has_lock=False), examination)
    assert (found.status, "other bytes" in found.detail) == (Status.PROBLEM, True)


def test_a_root_that_is_read_only_is_found(files: Setup) -> None:
    point = root_of(files).parent / "mounted"
    files.publish()
    with mounted(point):
        shutil.copytree(root_of(files), point / "lake")
        subprocess.run(["mount", "-o", "remount,ro", point], check=True)
        there = files.having(root=(point / "lake").as_uri())
        found = look(there, "root")
        assert (found.status, "Read-only file system" in found.detail) == (Status.PROBLEM, True)
        assert found.remedy == "mount it writable, or correct 'root'"
        assert look(there, "root create-only").status == Status.SKIPPED


def test_a_full_disk_is_found(files: Setup) -> None:
    point = root_of(files).parent / "mounted"
    with mounted(point, "-o", "size=1m"):
        there = files.having(root=(point / "lake").as_uri())
        assert look(there, "root").status == Status.OK
        [space, _] = look_at_all(there, "space")
        assert (space.status, "little beside" in space.detail) == (Status.WARNING, True)
        with pytest.raises(OSError, match="No space"):
            (point / "filler").write_bytes(bytes(2**21))
        found = look(there, "root")
        assert (found.status, found.remedy) == (
            Status.PROBLEM,
            "clear space, or move the root to a larger file system",
        )
        files.record(1)
        [space, _] = look_at_all(there, "space")
        assert (space.status, "3 pending event(s) may take" in space.detail) == (Status.PROBLEM, True)


def test_a_temporary_directory_that_is_too_small_is_found(files: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    point = root_of(files).parent / "mounted"
    with mounted(point, "-o", "size=1m"):
        monkeypatch.setattr("tempfile.tempdir", str(point))
        [_, space] = look_at_all(files, "space")
    assert (space.status, str(point) in space.detail) == (Status.WARNING, True)
    assert "TMPDIR" in str(space.remedy)


def test_room_is_not_judged_where_what_is_pending_is_unknown(files: Setup) -> None:
    lost = files.having(outbox=sqlite_address(root_of(files) / "none.db"))
    assert {found.status for found in look_at_all(lost, "space")} <= {Status.SKIPPED, Status.WARNING}


def test_a_root_over_two_file_systems_is_found(files: Setup) -> None:
    files.publish()
    assert look(files, "root disk").status == Status.OK
    with mounted(root_of(files) / "landed"):
        found = look(files, "root disk")
    assert (found.status, "landed in" in found.detail) == (Status.PROBLEM, True)


TABLE = r"""
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / /srv/lake rw shared:9 - nfs4 server:/lake rw,vers=4.2
31 22 0:31 / /srv/with\040space rw - fuse.sshfs me@there: rw
32 22 0:32 / /srv/stick rw - tmpfs tmpfs rw
33 22 0:33 / /srv/stick rw - xfs /dev/sdb1 rw
""".strip()


@pytest.mark.parametrize(
    ("path", "mount", "is_remote"),
    [
        ("/srv", Mount("ext4", "/"), False),
        ("/srv/lake/log", Mount("nfs4", "/srv/lake"), True),
        ("/srv/lake-2", Mount("ext4", "/"), False),
        ("/srv/with space/lake", Mount("fuse.sshfs", "/srv/with space"), True),
        ("/srv/stick", Mount("xfs", "/srv/stick"), False),
    ],
)
def test_a_path_is_found_in_the_table_of_mounts(path: str, mount: Mount, *, is_remote: bool) -> None:
    assert find_mount(TABLE, Path(path)) == mount
    assert mount.is_remote == is_remote


def test_where_a_path_will_lie_is_known_before_it_exists(tmp_path: Path) -> None:
    assert mount_of(tmp_path / "not" / "yet") == mount_of(tmp_path)
