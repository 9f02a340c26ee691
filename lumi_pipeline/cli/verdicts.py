"""How verdicts are shown, and how several become one exit code."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Final

import click

from lumi_pipeline.cli.output import count, rate, safe, say, say_json

if TYPE_CHECKING:
    from lumi_pipeline.verdict import Verdict
    from transparency.encoding import Json

_COLORS: Final = {"verified": "green", "failed": "red"}


def show_verdicts(verdicts: "Iterable[Verdict]", *, as_json: bool) -> int:
    """Print every verdict, each as soon as it is reached, and return the exit code of them all.

    Where events were recomputed, their number and the rate come last. Days that verify and hold no event are told
    together.
    """
    from lumi_pipeline.verdict import worst

    started = time.monotonic()
    reached: list[Verdict] = []
    for idle, group in groupby(verdicts, _is_idle_day):
        some = []
        for verdict in group:
            some.append(verdict)
            if not idle and not as_json:
                _show(verdict)
        if idle and not as_json:
            _show_idle(some)
        reached += some
    code = worst([verdict.status for verdict in reached]).value
    events = sum(int(str(verdict.facts.get("events", 0))) for verdict in reached)
    seconds = time.monotonic() - started
    if as_json:
        totals: dict[str, Json] = {"events": str(events), "milliseconds": int(seconds * 1000)}
        say_json({"exit_code": code, "verdicts": [verdict.to_json() for verdict in reached], **totals})
    elif events:
        say(f"Recomputed {count(events, 'event')} in {rate(events, seconds)}.")
    return code


def _is_idle_day(verdict: "Verdict") -> bool:
    return verdict.reason == "ok" and "day" in verdict.facts and verdict.facts.get("events") == "0"


def _show_idle(days: "Sequence[Verdict]") -> None:
    if len(days) == 1:
        _show(days[0])
        return
    line = f"{count(len(days), 'day')} without events give their sealed roots."
    _show(replace(days[0], subject=f"{days[0].subject} to {days[-1].subject}", lines=(line,)))


def _show(verdict: "Verdict") -> None:
    word = verdict.status.name.lower()
    click.secho(word, fg=_COLORS.get(word, "yellow"), bold=True, nl=False)
    reason = "" if verdict.reason in ("ok", word) else f" ({verdict.reason})"
    click.echo(safe(f"{reason}: {verdict.subject}"))
    for line in verdict.lines:
        say(f"  {line}")
