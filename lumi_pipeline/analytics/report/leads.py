"""What saved investigations found in the period of a report, and how to go on from there."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an investigation: its cells as text, and the ids of its events."""

    cells: tuple[str, ...]
    event_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lead:
    """What one investigation found: ``findings`` in ``events`` rows, of which ``rows`` are the first of some findings.

    ``header`` names the cells of a row; ``command`` shows all of it. ``problem`` says why it could not be run.
    """

    name: str
    title: str
    description: str
    command: str
    findings: int = 0
    events: int = 0
    header: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    problem: str = ""
