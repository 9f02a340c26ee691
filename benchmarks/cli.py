"""The command line of the benchmarks."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks.command import CommandError
from benchmarks.machine import describe_machine
from benchmarks.measuring import DisagreementError
from benchmarks.report import machine_lines, markdown_lines, table_lines, to_json
from benchmarks.row import Row
from benchmarks.suite import NAMES, run_suite
from lumi_pipeline.errors import LumiError

_EVENTS = 200_000
_QUICK_EVENTS = 20_000
_RUNS = 5
_QUICK_RUNS = 3
_PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--events", type=click.IntRange(1, 100_000_000), help=f"How many events. [{_EVENTS}]")
@click.option("--quick", is_flag=True, help=f"{_QUICK_EVENTS} events and fewer runs: to see that it works.")
@click.option("--runs", type=click.IntRange(1, 100), help=f"How often each side runs. [{_RUNS}]")
@click.option("--only", "names", multiple=True, type=click.Choice(NAMES), help="Only this row; repeat for several.")
@click.option("--json", "file", metavar="FILE", type=_PATH, help="Where the figures go. [data/local/bench/<time>.json]")
@click.option("--markdown", type=_PATH, metavar="FILE", help="Where to write the table as Markdown too.")
@click.option("--data", "home", metavar="DIR", type=_PATH, default="data/local/bench", help="Where data sets are kept.")
def bench(
    *,
    events: int | None,
    quick: bool,
    runs: int | None,
    names: tuple[str, ...],
    file: Path | None,
    markdown: Path | None,
    home: Path,
) -> None:
    """Measure the pipeline against what one could have used instead.

    Every ratio is taken in one run, both sides taking turns on the same data.
    """
    began = datetime.now(UTC)
    events = events or (_QUICK_EVENTS if quick else _EVENTS)
    runs = runs or (_QUICK_RUNS if quick else _RUNS)
    machine = describe_machine()
    rows: list[Row] = []
    failure: Exception | None = None
    try:
        for row in run_suite(names or NAMES, home, events, runs, lambda name: click.echo(f"{name} …", err=True)):
            rows.append(row)  # noqa: PERF402 - what was measured before a failure is worth keeping
    except (LumiError, CommandError, DisagreementError) as error:
        failure = error
    file = file or home / f"{began:%Y%m%dT%H%M%SZ}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(to_json(rows, machine, events, runs, began), indent=2) + "\n", encoding="utf-8")
    about = [*machine_lines(machine), f"{events:,} events, medians of {runs} runs"]
    for line in (*about, "", *table_lines(rows)):
        click.echo(line)
    if markdown is not None:
        markdown.write_text("\n".join([*about, "", *markdown_lines(rows), ""]), encoding="utf-8")
    click.echo(f"\nWrote {file}")
    if failure is not None:
        click.echo(str(failure), err=True)
        sys.exit(1)
