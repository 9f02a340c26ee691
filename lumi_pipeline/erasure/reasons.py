"""Reasons of what the operator does. They are kept for ever and read by auditors, so they are checked first."""

from typing import Final

from lumi_pipeline.errors import ErasureError

MAX_REASON: Final = 4_000
"""Characters of a reason. What needs more words belongs into a ticket, which the reason names."""


def check_reason(reason: str, what: str) -> None:
    """Raise :class:`~lumi_pipeline.errors.ErasureError` unless ``what`` has a reason that can be recorded and read."""
    if not reason.strip():
        raise ErasureError(f"{what} needs a reason that an auditor can read")
    if len(reason) > MAX_REASON:
        raise ErasureError(
            f"the reason of {what} has {len(reason):,} characters, and {MAX_REASON:,} are kept; name a ticket that "
            "says the rest"
        )
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in reason):
        raise ErasureError(f"the reason of {what} holds a character that is no text (U+0000, or half of a pair)")
