"""Valid and tampered evidence bundles, and the verdict that every verifier must reach about each.

``cases()`` makes all of them anew, the same bytes in every run, with an implementation of the format that shares no
code with the project. The verifiers are held against it: the package's, the script's and the page's.
"""

from tests.evidence.corpus import breaks, containers, days, proofs, resaved, rows, valid
from tests.evidence.corpus.case import Case

__all__ = ["Case", "cases"]


def cases() -> list[Case]:
    """Every case, each with a name of its own."""
    return [
        *valid.cases(),
        *breaks.cases(),
        *rows.cases(),
        *resaved.cases(),
        *proofs.cases(),
        *days.cases(),
        *containers.cases(),
    ]
