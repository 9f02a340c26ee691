"""Valid and tampered evidence bundles, and the verdict that every verifier must reach about each.

``cases()`` makes all of them, the same bytes in every run, with an implementation of the format that shares no code
with the project. The verifiers are held against it: the package's, the script's and the page's.
"""

from functools import cache

from tests.evidence.corpus import breaks, containers, days, proofs, resaved, rows, valid
from tests.evidence.corpus.case import Case

__all__ = ["Case", "cases", "made"]


def cases() -> list[Case]:
    """Every case, each with a name of its own; made once in a process."""
    return list(_cases())


@cache
def _cases() -> tuple[Case, ...]:
    return made()


def made() -> tuple[Case, ...]:
    """Every case, made anew."""
    parts = (valid, breaks, rows, resaved, proofs, days, containers)
    return tuple(case for part in parts for case in part.cases())
