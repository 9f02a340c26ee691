"""Every store keeps the promises of ``ObjectStore``: in memory, on disk, and in S3."""

import multiprocessing
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.stores.s3client import Limits
from tests.s3 import S3
from transparency.errors import ObjectConflict, ObjectMissing, StoreError
from transparency.filestore import TEMPORARY, FileStore
from transparency.memorystore import MemoryStore
from transparency.store import ObjectStore

# Characters on both sides of "/" in code point order, and few of them, so that keys collide and nest.
COMPONENTS = st.text(st.sampled_from("a-.0~é"), min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
KEYS = st.lists(COMPONENTS, min_size=1, max_size=3).map("/".join)
CREATORS = 16
SMALL = Limits(page=3)
"""So small that listings come in pages."""


ON_S3 = pytest.param("s3", marks=pytest.mark.slow)


@pytest.fixture(params=["memory", "file", ON_S3])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    match request.param:
        case "memory":
            return MemoryStore()
        case "file":
            return FileStore(tmp_path / "root")
        case _:
            return request.getfixturevalue("s3").store(limits=SMALL)


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


def compare_listings(one: ObjectStore, other: ObjectStore, prefix: str, after: str) -> None:
    for wanted in {"", prefix, prefix[:1], prefix + "/"}:
        for start in {"", after, after + "/", next(other.list(wanted), "")}:
            assert list(one.list(wanted, start_after=start)) == list(other.list(wanted, start_after=start))
    assert {key: one.get(key) for key in one.list("")} == {key: other.get(key) for key in other.list("")}


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(KEYS, st.binary(max_size=3), max_size=12), KEYS, KEYS)
def test_files_and_memory_list_alike(
    tmp_path_factory: pytest.TempPathFactory, objects: dict[str, bytes], prefix: str, after: str
) -> None:
    files, memory = FileStore(tmp_path_factory.mktemp("store")), MemoryStore()
    for key, data in objects.items():
        if not any(key.startswith(other + "/") or other.startswith(key + "/") for other in objects):
            files.put_new(key, data)
            memory.put_new(key, data)
    compare_listings(files, memory, prefix, after)


@settings(deadline=None, max_examples=15)
@given(st.dictionaries(KEYS, st.binary(max_size=3), max_size=12), KEYS, KEYS)
def test_s3_and_memory_list_alike(s3: S3, objects: dict[str, bytes], prefix: str, after: str) -> None:
    bucket, memory = s3.store(limits=SMALL), MemoryStore()
    for key, data in objects.items():
        bucket.put_new(key, data)
        memory.put_new(key, data)
    compare_listings(bucket, memory, prefix, after)


def create(store: ObjectStore, number: int) -> int | None:
    """Try to be the one who creates an object; return the number if it was us."""
    try:
        store.put_new("deep/in/new/directories", bytes([number]))
    except ObjectConflict:
        return None
    return number


def test_one_of_many_concurrent_creators_wins(store: ObjectStore) -> None:
    outcomes: list[int | None] = []
    barrier = threading.Barrier(CREATORS)

    def race(number: int) -> None:
        barrier.wait()
        outcomes.append(create(store, number))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(CREATORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == CREATORS
    [winner] = [outcome for outcome in outcomes if outcome is not None]
    assert store.get("deep/in/new/directories") == bytes([winner])
    assert list(store.list("")) == ["deep/in/new/directories"]


def test_concurrent_creators_leave_no_temporary_files(tmp_path: Path) -> None:
    test_one_of_many_concurrent_creators_wins(FileStore(tmp_path))
    assert list((tmp_path / TEMPORARY).iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("store", ["file", "s3"], indirect=True)
def test_one_of_several_processes_wins_and_each_has_the_store_as_it_was_pickled(store: ObjectStore) -> None:
    store.put_new("used", b"before it is pickled")
    with ProcessPoolExecutor(3, multiprocessing.get_context("spawn")) as processes:
        for round_ in range(5):
            outcomes = list(processes.map(create, [store] * 3, range(3)))
            [winner] = [outcome for outcome in outcomes if outcome is not None]
            assert store.get("deep/in/new/directories") == bytes([winner]), round_
            store.delete("deep/in/new/directories")


@pytest.mark.parametrize("store", ["file", ON_S3], indirect=True)
def test_a_store_is_the_same_after_pickling(store: ObjectStore) -> None:
    store.put_new("a", b"1")
    again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own, of just now
    assert again.get("a") == b"1"
    again.put_new("b", b"2")
    assert store.get("b") == b"2"
