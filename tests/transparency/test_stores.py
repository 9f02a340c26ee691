"""Both stores keep the promises of ``ObjectStore``; the file store also through crashes, races and full disks."""

import os
import resource
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transparency
from transparency.errors import ObjectConflict, ObjectMissing, StoreError
from transparency.filestore import TEMPORARY, FileStore
from transparency.memorystore import MemoryStore
from transparency.objectkeys import check_key
from transparency.store import ObjectStore

# Characters on both sides of "/" in code point order, and few of them, so that keys collide and nest.
COMPONENTS = st.text(st.sampled_from("a-.0~é"), min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
CODE = Path(transparency.__file__).parents[1]
KEYS = st.lists(COMPONENTS, min_size=1, max_size=3).map("/".join)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else FileStore(tmp_path / "root")


def test_an_object_is_created_once_and_for_ever(store: ObjectStore) -> None:
    store.put_new("a/b", b"one")
    store.put_new("a/b", b"one")
    for other in (b"two", b"on", b"", b"ones"):
        with pytest.raises(ObjectConflict, match="a/b"):
            store.put_new("a/b", other)
    assert store.get("a/b") == b"one"


def test_put_replaces(store: ObjectStore) -> None:
    store.put("checkpoint", b"one")
    store.put("checkpoint", b"two")
    assert store.get("checkpoint") == b"two"
    assert list(store.list("")) == ["checkpoint"]


def test_what_is_not_there_is_missing(store: ObjectStore) -> None:
    store.put_new("a/b", b"")
    assert store.get("a/b") == b""
    for key in ("b", "a", "a/b/c", "a/bb"):
        with pytest.raises(ObjectMissing, match=key):
            store.get(key)
        with pytest.raises(ObjectMissing, match=key):
            store.delete(key)
    store.delete("a/b")
    with pytest.raises(ObjectMissing):
        store.get("a/b")
    assert list(store.list("")) == []
    store.put_new("a/b", b"again")
    assert store.get("a/b") == b"again"


TRAVERSING = ["/", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/."]
UNPRINTABLE = ["a\\b", "a\nb", "a\x00b", "\ud800", "a\x7f"]
TOO_LONG = ["x" * 256, "é" * 128, "/".join(["x" * 100] * 11)]


@pytest.mark.parametrize("key", ["", *TRAVERSING, *UNPRINTABLE, *TOO_LONG])
def test_keys_that_lead_elsewhere_are_refused(store: ObjectStore, key: str) -> None:
    operations: list[Callable[[], object]] = [
        lambda: store.get(key),
        lambda: store.put(key, b""),
        lambda: store.put_new(key, b""),
        lambda: store.delete(key),
    ]
    for operation in operations:
        with pytest.raises(StoreError, match="object key"):
            operation()
    assert list(store.list("")) == []


def test_the_longest_keys_are_kept(store: ObjectStore) -> None:
    for key in ("x" * 255, "é" * 127, "/".join(["x" * 92] * 11)):
        store.put_new(key, b"long")
        assert list(store.list(key)) == [key]


def test_listing_sorts_whole_keys_not_their_components(store: ObjectStore) -> None:
    keys = ["a", "a-b", "a-b-/c", "a.b", "b/a", "b/a-", "b/a-/c", "b0", "b~"]
    for key in ["b/a-/c", "b0", "a-b-/c", "b/a", "a.b", "b~", "a", "a-b"]:
        store.put_new(key, b"")
    assert list(store.list("")) == sorted(set(keys) - {"b/a-"})
    assert list(store.list("b/")) == ["b/a", "b/a-/c"]
    assert list(store.list("b/a-")) == ["b/a-/c"]
    assert list(store.list("b", start_after="b/a")) == ["b/a-/c", "b0", "b~"]
    assert list(store.list("b", start_after="b/a-/c")) == ["b0", "b~"]
    assert list(store.list("c")) == list(store.list("a/b/")) == list(store.list("../")) == []


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(KEYS, st.binary(max_size=3), max_size=12), KEYS, KEYS)
def test_both_stores_list_alike(
    tmp_path_factory: pytest.TempPathFactory, objects: dict[str, bytes], prefix: str, after: str
) -> None:
    files, memory = FileStore(tmp_path_factory.mktemp("store")), MemoryStore()
    for key, data in objects.items():
        if not any(key.startswith(other + "/") or other.startswith(key + "/") for other in objects):
            files.put_new(key, data)
            memory.put_new(key, data)
    for wanted in {"", prefix, prefix[:1], prefix + "/"}:
        for start in {"", after, after + "/", next(memory.list(wanted), "")}:
            assert list(files.list(wanted, start_after=start)) == list(memory.list(wanted, start_after=start))
    assert {key: files.get(key) for key in files.list("")} == {key: memory.get(key) for key in memory.list("")}


def test_one_of_many_concurrent_creators_wins(tmp_path: Path) -> None:
    outcomes: list[bytes | None] = [None] * 16
    barrier = threading.Barrier(len(outcomes))

    def create(number: int) -> None:
        own = FileStore(tmp_path)
        barrier.wait()
        try:
            own.put_new("deep/in/new/directories", bytes([number]))
            outcomes[number] = bytes([number])
        except ObjectConflict:
            pass

    threads = [threading.Thread(target=create, args=(number,)) for number in range(len(outcomes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [winner] = [outcome for outcome in outcomes if outcome is not None]
    assert FileStore(tmp_path).get("deep/in/new/directories") == winner
    assert list((tmp_path / TEMPORARY).iterdir()) == []


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
