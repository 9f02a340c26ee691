"""A format: what an event looks like in JSON, whoever gets it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """How events are written.

    ``version`` names it and changes with whatever it writes. ``event`` is the SQL expression of an event's JSON text
    over what :func:`~lumi_pipeline.siem.encoding.spelled` makes of the columns of ``EVENT_SCHEMA`` and ``omitted``, and
    over what ``source`` has besides: the FROM clause, a query of the table ``events`` that keeps its rows and their
    order, and works out once what ``event`` needs several times.
    """

    version: str
    event: str
    source: str = "events"
