"""The witnesses of the policy: each is asked about the checkpoint that is public already."""

from collections.abc import Iterator
from typing import Final

from lumi_pipeline.config import OPEN
from lumi_pipeline.doctor.examination import Examination
from lumi_pipeline.doctor.findings import Check, Finding, not_configured, ok, problem, warning
from lumi_pipeline.witnessing import Cosigner
from transparency.logview import LogView

_PATIENCE: Final = 6.0
"""Seconds that one request may take; a witness is asked twice at most."""


def look_at_witnesses(examination: Examination) -> Iterator[Finding]:
    """Have the public checkpoint cosigned once more, and keep nothing of it."""
    policy, view = examination.pipeline.witness_policy(), LogView(examination.root.store)
    if policy is None:
        yield not_configured("no witness is named, so a split view of the log is not excluded")
        return
    published = view.checkpoint()
    if published is None:
        yield ok(f"{len(policy.witnesses)} named; there is no checkpoint yet to show them")
        return
    cosigner = Cosigner(policy, view, examination.clock, required=False, timeout=_PATIENCE)
    cosigner(published)
    asked = cosigner.last
    if asked is None:
        return
    failing = [reply for reply in asked.replies if reply.problem]
    waits = not asked.fresh_quorum and examination.config.witness_fail != OPEN
    for reply in failing:
        find = problem if waits else warning
        yield find(f"{reply.witness}: {reply.problem}", "correct the policy or tell the witness's operator")
    if waits:
        yield problem(
            f"these make no quorum ({asked.quorum} needed), so the next day would not be published",
            "repair them, or set witness_fail = 'open' meanwhile",
        )
    if not failing:
        yield ok(f"all {len(asked.replies)} cosign, the last checkpoint of {asked.size:,} entries just now")


WITNESS_CHECK: Final = Check(
    "witnesses",
    look_at_witnesses,
    "see 'A witness has seen another history' in docs/operations.md",
    ("root",),
)
