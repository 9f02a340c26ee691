"""What a verification found, in a form for people, for scripts and for the shell."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from transparency.encoding import Json


class Status(Enum):
    """The four outcomes; their values are the exit codes of every verifying command."""

    VERIFIED = 0
    FAILED = 1
    UNRECOGNISED = 2
    INCOMPLETE = 3


_WORST_FIRST: Final = (Status.FAILED, Status.UNRECOGNISED, Status.INCOMPLETE, Status.VERIFIED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing checked.

    ``reason`` is a stable code (``ok``, ``key-unconfirmed``, ``inclusion``, …), ``lines`` are what a person should
    read, ``facts`` what a machine should.
    """

    subject: str
    status: Status
    reason: str
    lines: tuple[str, ...]
    facts: dict[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """The verdict as JSON."""
        messages: list[Json] = list(self.lines)
        return {
            **self.facts,
            "exit_code": self.status.value,
            "messages": messages,
            "reason": self.reason,
            "status": self.status.name.lower(),
            "subject": self.subject,
        }


def worst(statuses: list[Status]) -> Status:
    """Several outcomes as one: failed beats unrecognised beats incomplete beats verified."""
    return next((status for status in _WORST_FIRST if status in statuses), Status.VERIFIED)
