"""Where a journal ends, however long it is and whatever of its beginning was removed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumi_pipeline.siem import journal
from lumi_pipeline.siem.journal import Journal, Overtaken
from transparency.memorystore import MemoryStore


@given(st.integers(0, 400), st.integers(0, 400), st.integers(2, 60))
def test_the_end_is_found(length: int, removed: int, listed: int) -> None:
    store = MemoryStore()
    book = Journal(store, "a/b/")
    for number in range(length):
        book.append(number, b"x")
    for number in range(min(removed, length - 1)):
        store.delete(book.key(number))
    store.put_new("a/b.json", b"another's")
    store.put_new("a/c/000000009999.json", b"another's")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_LISTED", listed)  # a length, so that a test need not write thousands
        assert book.last() == (length - 1 if length else None)


def test_a_number_is_written_once() -> None:
    book = Journal(MemoryStore(), "a/")
    book.append(0, b"first")
    with pytest.raises(Overtaken):
        book.append(0, b"second")
    assert list(book.since(0)) == [(0, b"first")]
