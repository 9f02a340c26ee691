"""The file store keeps its promises through crashes, races and full disks; what all stores promise: tests/stores."""

import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import transparency
from transparency.errors import ObjectConflict, StoreError
from transparency.filestore import TEMPORARY, FileStore
from transparency.objectkeys import check_key

CODE = Path(transparency.__file__).parents[1]


def test_an_object_and_a_directory_of_one_name_cannot_both_be(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put_new("a/b", b"")
    for write in (store.put, store.put_new):
        with pytest.raises(StoreError, match=r"^a: cannot"):
            write("a", b"")
        with pytest.raises(StoreError, match=r"^a/b/c: cannot"):
            write("a/b/c", b"")
    assert list(store.list("")) == ["a/b"]


def test_what_the_system_refuses_is_a_store_error_with_the_key(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put_new("small", b"x" * 100)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # what a full disk does, for this process
    try:
        for write in (store.put, store.put_new):
            with pytest.raises(StoreError, match=r"^big: cannot .*File too large"):
                write("big", b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(store.list("")) == ["small"]
    assert list((tmp_path / TEMPORARY).iterdir()) == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"a/b: cannot create it in .*file"):
        FileStore(tmp_path / "file").put_new("a/b", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_missing_permission_is_a_store_error_with_the_key(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put_new("a/b", b"")
    (tmp_path / "a").chmod(0)
    try:
        operations: list[Callable[[], object]] = [
            lambda: store.get("a/b"),
            lambda: store.put_new("a/b", b""),
            lambda: list(store.list("a/")),
            lambda: store.delete("a/b"),
        ]
        for operation in operations:
            with pytest.raises(StoreError, match=r"^a/.*Permission denied"):
                operation()
    finally:
        (tmp_path / "a").chmod(0o700)


def test_temporary_files_are_never_listed_and_swept_only_when_stale(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put_new("a", b"")
    left_behind, at_work = tmp_path / TEMPORARY / "left", tmp_path / TEMPORARY / "work"
    left_behind.write_bytes(b"half an obj")
    at_work.write_bytes(b"half an obj")
    two_days_ago = left_behind.stat().st_mtime - timedelta(days=2).total_seconds()
    os.utime(left_behind, (two_days_ago, two_days_ago))
    for prefix in ("", ".", TEMPORARY, TEMPORARY + "/", TEMPORARY + "/l"):
        assert list(store.list(prefix)) == (["a"] if not prefix else [])
    with pytest.raises(StoreError, match="kept for temporary files"):
        store.get(f"{TEMPORARY}/left")
    store.put("a", b"not the first write of this store: no sweep")
    assert left_behind.exists()
    FileStore(tmp_path).put_new("b", b"")
    assert not left_behind.exists()
    assert at_work.exists()
    assert store.sweep(timedelta(seconds=-60)) == 1
    assert not at_work.exists()


def test_a_store_whose_directories_vanish_makes_them_again(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "root")
    store.put_new("a/b", b"1")
    for path in sorted((tmp_path / "root").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    store.put_new("a/b", b"2")
    assert store.get("a/b") == b"2"


def test_stray_files_that_cannot_be_objects_are_not_listed(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put_new("a", b"")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))).write_bytes(b"")
    (tmp_path / "line\nfeed").write_bytes(b"")
    assert list(store.list("")) == ["a"]


def test_everything_is_flushed_in_an_order_that_survives_power_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contents before the name, the name before success, and the names of new directories too."""
    root = tmp_path / "new" / "root"
    steps: list[tuple[str, str]] = []
    real_fsync, real_link, real_mkdir = os.fsync, os.link, os.mkdir

    def relative(path: str | os.PathLike[str]) -> str:
        text = os.path.relpath(path, tmp_path)
        return f"{TEMPORARY}/*" if f"/{TEMPORARY}/" in text else text

    def fsync(descriptor: int) -> None:
        steps.append(("sync", relative(Path(f"/proc/self/fd/{descriptor}").readlink())))
        real_fsync(descriptor)

    def link(source: str, target: str, **options: bool) -> None:
        steps.append(("name", relative(target)))
        real_link(source, target, **options)

    def mkdir(path: str, mode: int = 0o777) -> None:
        real_mkdir(path, mode)
        steps.append(("name", relative(path)))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "mkdir", mkdir)
    FileStore(root).put_new("a/b/c", b"data")

    assert steps.index(("sync", f"{TEMPORARY}/*")) < steps.index(("name", "new/root/a/b/c"))
    for name in ("new", "new/root", "new/root/a", "new/root/a/b", "new/root/a/b/c"):
        assert ("sync", str(Path(name).parent)) in steps[steps.index(("name", name)) :], name

    steps.clear()
    FileStore(root).put_new("a/b/c", b"data")  # a replay must not trust that the first writer came to the end
    assert {"new/root/a/b/c", "new/root/a/b", "new/root/a", "new/root"} <= {path for kind, path in steps}
    assert {kind for kind, _ in steps} == {"sync"}


CHILD = """
import os, sys
from pathlib import Path
from transparency.filestore import FileStore

countdown = int(sys.argv[2])
def die_at(module, name):
    real = getattr(module, name)
    def call(*arguments, **options):
        global countdown
        if countdown == 0:
            os._exit(9)
        countdown -= 1
        return real(*arguments, **options)
    setattr(module, name, call)
for name in ("fsync", "link", "rename", "replace", "unlink", "mkdir"):
    die_at(os, name)
store = FileStore(Path(sys.argv[1]))
store.put_new("dir/new", b"new" * 1000)
store.put("dir/replaced", b"after" * 1000)
"""


def test_killed_at_any_step_an_object_is_whole_or_absent_and_a_replay_completes(tmp_path: Path) -> None:
    completed, kills = False, 0
    while not completed:
        root = tmp_path / str(kills)
        store = FileStore(root)
        store.put("dir/replaced", b"before")
        command = [sys.executable, "-c", textwrap.dedent(CHILD), str(root), str(kills)]
        child = subprocess.run(command, cwd=CODE, check=False, capture_output=True, text=True)
        assert child.returncode in {0, 9}, child.stderr
        completed = child.returncode == 0
        assert store.get("dir/replaced") in {b"before", b"after" * 1000}
        listed = list(store.list(""))
        assert listed in (["dir/replaced"], ["dir/new", "dir/replaced"])
        if "dir/new" in listed:
            assert store.get("dir/new") == b"new" * 1000
        store.put_new("dir/new", b"new" * 1000)
        with pytest.raises(ObjectConflict):
            store.put_new("dir/new", b"other")
        store.sweep(timedelta(seconds=-60))
        assert list((root / TEMPORARY).iterdir()) == []
        kills += 0 if completed else 1
    assert kills >= 10  # every flush, link, rename and unlink of both writes was a place to die


def test_path_is_where_the_object_is(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put_new("events/day=2026-11-21/part-00000.parquet", b"PAR1")
    assert store.path("events/day=2026-11-21/part-00000.parquet").read_bytes() == b"PAR1"
    with pytest.raises(StoreError):
        store.path("../outside")
    check_key("events/day=2026-11-21/part-00000.parquet")
