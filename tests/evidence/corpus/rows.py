"""Rows of events.csv changed, taken out, put in or moved."""

from collections.abc import Iterator

from tests.evidence.corpus.bundle import bundle
from tests.evidence.corpus.case import Case, tampered
from tests.evidence.corpus.world import standard


def cases() -> Iterator[Case]:
    plain = bundle(standard().publish())
    first = plain.rows[0]
    yield from tampered("row-dropped-middle", "a row is missing", plain, lambda b: b.rows.pop(2), "row-missing")
    yield from tampered("row-dropped-first", "the first row is missing", plain, lambda b: b.rows.pop(0), "row-missing")
    yield from tampered("row-dropped-last", "the last row is missing", plain, lambda b: b.rows.pop(), "row-missing")
    yield from tampered("row-twice", "a row is there twice", plain, lambda b: b.rows.insert(1, first), "row-duplicate")
    yield from tampered(
        "rows-swapped", "two rows changed places", plain, lambda b: b.rows.insert(0, b.rows.pop(1)), "row-order"
    )
