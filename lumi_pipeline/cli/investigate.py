"""``lumi investigate``: ask the analyst database one of the questions that are kept as SQL files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import PATH, Given, config_option
from lumi_pipeline.cli.output import count, note, say, say_json, say_pairs, say_table
from lumi_pipeline.cli.progress import progress
from lumi_pipeline.cli.rows import format_option, print_rows, write_csv

if TYPE_CHECKING:
    from lumi_pipeline.analytics.casefolder import Answer
    from lumi_pipeline.analytics.investigation import Investigation, Value


@click.command(
    cls=Command,
    epilog=examples(
        "lumi investigate",
        "lumi investigate viewed-then-dismissed --explain",
        "lumi investigate viewed-then-dismissed --param recommendation=rec-1-00042",
        "lumi investigate user-timeline --param user=u-17 --tenant acme --format csv > timeline.csv",
        "lumi investigate mass-export --evidence case-17",
    ),
)
@click.argument("name", required=False)
@click.option("--param", "params", metavar="NAME=VALUE", multiple=True, help="A value; --explain says which there are.")
@click.option("--tenant", metavar="TENANT", help="Look at this tenant's events only.")
@click.option("--explain", is_flag=True, help="Say what the investigation asks and takes, with its SQL.")
@click.option(
    "--evidence", "folder", metavar="DIR", type=PATH, help="Write rows and proofs of events to this new folder."
)
@format_option
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@config_option
@click.pass_obj
def investigate(
    given: Given,
    name: str | None,
    params: tuple[str, ...],
    tenant: str | None,
    explain: bool,
    folder: Path | None,
    form: str,
    as_json: bool,
) -> None:
    """Run a saved investigation over the analyst database, or list them.

    Rows carry the ids of their events, which `lumi prove` takes. What is unusual is measured against each user's own
    other days. The database is as recent as the last `lumi analyst build`.
    """
    from lumi_pipeline.analytics import connect
    from lumi_pipeline.analytics.casefolder import Answer
    from lumi_pipeline.analytics.investigation import load

    form = "json" if as_json else form
    if name is None:
        if params or tenant or explain or folder:
            raise click.UsageError("name the investigation; 'lumi investigate' lists them")
        _list(form)
        return
    investigation = load(name)
    if explain:
        _explain(investigation, form)
        return
    values = investigation.bind(_texts(params, tenant))
    config = given.config()
    if folder is not None and folder.exists():
        raise click.UsageError(f"{folder} is there already; name a new directory with --evidence")
    with connect(config) as db:
        rows = investigation.run(db, values)
        if folder is None:
            found = print_rows(rows, form)
        else:
            answer = Answer(investigation, values, rows.read_all())
            found = print_rows(answer.rows.to_reader(), form)
            _keep(given, folder, answer)
    note(f"{count(found, 'row')}.")


def _texts(params: tuple[str, ...], tenant: str | None) -> dict[str, str]:
    texts: dict[str, str] = {} if tenant is None else {"tenant": tenant}
    for param in params:
        name, sign, value = param.partition("=")
        if not sign:
            raise click.UsageError(f"--param takes NAME=VALUE, not {param!r}")
        if name in texts:
            raise click.UsageError(f"{name} is given twice")
        texts[name] = value
    return texts


def _list(form: str) -> None:
    from lumi_pipeline.analytics.investigation import load, names

    found = [load(name) for name in names()]
    if form == "json":
        say_json({"investigations": [_facts(investigation) for investigation in found]})
        return
    say_table(["name", "finds"], [[one.name, one.title] for one in found])


def _explain(investigation: "Investigation", form: str) -> None:
    if form == "json":
        say_json({**_facts(investigation), "sql": investigation.sql})
        return
    say(f"{investigation.title}\n\n{investigation.description}\n\nParameters:")
    say_pairs(
        (f"  {one.name} ({one.type}{', required' if one.required else ''})", f"{one.meaning}{_default(one.default)}")
        for one in investigation.parameters
    )
    say(f"\nExample:\n  {investigation.example}\n\n{investigation.sql.rstrip()}")


def _default(value: "Value") -> str:
    return "" if value is None else f" [{value}]"


def _facts(investigation: "Investigation") -> dict[str, object]:
    return {
        "description": investigation.description,
        "example": investigation.example,
        "name": investigation.name,
        "parameters": [
            {
                "default": one.default,
                "meaning": one.meaning,
                "name": one.name,
                "required": one.required,
                "type": one.type,
            }
            for one in investigation.parameters
        ],
        "title": investigation.title,
    }


def _keep(given: Given, folder: Path, answer: "Answer") -> None:
    """Write the case, and say which events have no proof yet."""
    from lumi_pipeline.analytics.casefolder import ROWS, write_case

    pipeline = given.pipeline()
    folder.mkdir(parents=True)
    with (folder / ROWS).open("w", encoding="utf-8", newline="") as file:
        write_csv(answer.rows.to_reader(), file)
    with progress("Proving", "events") as meter:
        case = write_case(folder, answer, pipeline.lake, pipeline.genesis(), progress=meter.reach)
    note(f"Wrote {folder}: the rows, and {count(len(case.proved), 'proof')}.")
    if case.proved:
        note(f"Check one with: lumi verify {folder}/{case.proved[0]}.tlog-proof --key LOG-VKEY")
    for event_id in case.unsealed:
        note(f"Not sealed and published yet, so without proof: {event_id}")
