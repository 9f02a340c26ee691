"""How verdicts are shown, and how several become one exit code."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import click

from lumi_pipeline.cli.output import safe, say, say_json

if TYPE_CHECKING:
    from lumi_pipeline.verdict import Verdict

_COLORS: Final = {"verified": "green", "failed": "red"}


def show_verdicts(verdicts: "Iterable[Verdict]", *, as_json: bool) -> int:
    """Print every verdict, each as soon as it is reached, and return the exit code of them all."""
    from lumi_pipeline.verdict import worst

    reached = []
    for verdict in verdicts:
        reached.append(verdict)
        if not as_json:
            _show(verdict)
    code = worst([verdict.status for verdict in reached]).value
    if as_json:
        say_json({"exit_code": code, "verdicts": [verdict.to_json() for verdict in reached]})
    return code


def _show(verdict: "Verdict") -> None:
    word = verdict.status.name.lower()
    click.secho(word, fg=_COLORS.get(word, "yellow"), bold=True, nl=False)
    reason = "" if verdict.reason in ("ok", word) else f" ({verdict.reason})"
    click.echo(safe(f"{reason}: {verdict.subject}"))
    for line in verdict.lines:
        say(f"  {line.removeprefix('Verified: ')}")  # the line above says it
