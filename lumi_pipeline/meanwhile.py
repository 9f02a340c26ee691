"""Whether an erasure or a pruning went on while something was verified.

Verification reads the orders first and the files one after the other; files that are replaced in between, or rows that
an order of later erased, would look like damage. So what failed is looked at once more when anything went on.
"""

from lumi_pipeline.erasure.confirming import Erasures
from lumi_pipeline.erasure.orders import steps_taken
from lumi_pipeline.lake import Lake
from lumi_pipeline.pruned import pruned_keys
from lumi_pipeline.pruning.confirming import Prunings


class Meanwhile:
    """Watches one lake from its making on, for whoever verifies by ``erasures`` and ``prunings``."""

    def __init__(self, lake: Lake, erasures: Erasures, prunings: Prunings) -> None:
        self._lake = lake
        self.erasures = erasures
        self.prunings = prunings
        self._seen = self._look()

    def went_on(self) -> bool:
        """Whether any did since it was asked last; if so, what was read of them before is forgotten."""
        before, self._seen = self._seen, self._look()
        if before == self._seen:
            return False
        self.erasures.forget()
        self.prunings.forget()
        return True

    def _look(self) -> tuple[int, int]:
        return steps_taken(self._lake), sum(len(keys) for keys in pruned_keys(self._lake).values())
