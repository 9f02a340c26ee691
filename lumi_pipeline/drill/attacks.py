"""Every attack of the drill, in the order in which it is told."""

from typing import Final

from lumi_pipeline.drill import bundles, logs, outboxes, proofparts, seals
from lumi_pipeline.drill.attack import Area, Attack
from lumi_pipeline.drill.checks import BUNDLE, LOG, PROOF
from lumi_pipeline.drill.scratch import Trial


def _rewrite_and_hand_over(trial: Trial) -> None:
    """Rewrite everything, then give an auditor who has seen nothing before new evidence of it."""
    logs.rewrite_everything(trial)
    trial.write_evidence(trial.keys.pinned)


_OPERATOR: Final = Attack(
    "operator",
    Area.OPERATOR,
    "Everything rewritten, evidence too; shown to who kept nothing and names no witness",
    _rewrite_and_hand_over,
    (LOG, PROOF, BUNDLE),
    beyond="witnesses, if your policy names one; whoever kept an earlier checkpoint, proof or evidence and compares",
)

ATTACKS: Final[tuple[Attack, ...]] = (
    *seals.ATTACKS,
    *outboxes.ATTACKS,
    *logs.ATTACKS,
    *proofparts.ATTACKS,
    *bundles.ATTACKS,
    _OPERATOR,
)
