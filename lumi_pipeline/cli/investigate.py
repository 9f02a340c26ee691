"""``lumi investigate``: ask the analyst database one of the questions that are kept as SQL files."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import PATH, Given, config_option, param_option
from lumi_pipeline.cli.output import count, note, say, say_json, say_pairs, say_table
from lumi_pipeline.cli.progress import progress
from lumi_pipeline.cli.results import Format, chosen_format, result_options, write_rows

if TYPE_CHECKING:
    import duckdb

    from lumi_pipeline.analytics.casefolder import Asked
    from lumi_pipeline.analytics.investigation import Investigation, Value

_ABOUT: Final = {"tenant": "tenant_id", "user": "actor_id", "recommendation": "entity_id"}
"""Parameters that name somebody or something, and where events do."""


@click.command(
    cls=Command,
    epilog=examples(
        "lumi investigate",
        "lumi investigate viewed-then-dismissed --explain",
        "lumi investigate viewed-then-dismissed --param recommendation=rec-1-00042",
        "lumi investigate user-timeline --param user=u-17 --tenant acme -o timeline.csv",
        "lumi investigate mass-export --evidence case-17",
    ),
)
@click.argument("name", required=False)
@param_option("A value; --explain says which there are.")
@click.option("--tenant", metavar="TENANT", help="Look at this tenant's events only.")
@click.option("--explain", is_flag=True, help="Say what the investigation asks and takes, with its SQL.")
@click.option(
    "--evidence", "folder", metavar="DIR", type=PATH, help="Write rows and proofs of events to this new folder."
)
@result_options
@config_option
@click.pass_obj
def investigate(
    given: Given,
    name: str | None,
    texts: dict[str, str],
    tenant: str | None,
    explain: bool,
    folder: Path | None,
    form: str | None,
    output: Path | None,
) -> None:
    """Run a saved investigation over the analyst database, or list them.

    Rows carry the ids of their events, which `lumi prove` takes. What is unusual is measured against each user's own
    other days. The database is as recent as the last `lumi analyst build`.
    """
    import pyarrow as pa

    from lumi_pipeline.analytics import connect
    from lumi_pipeline.analytics.asking import Answer
    from lumi_pipeline.analytics.casefolder import Asked
    from lumi_pipeline.analytics.investigation import load

    chosen = chosen_format(form, output)
    if (name is None or explain) and (output is not None or chosen not in {Format.TABLE, Format.JSON}):
        raise click.UsageError("-o and --format are for rows; the list, and what --explain says, is text or --json")
    if name is None:
        if texts or tenant or explain or folder:
            raise click.UsageError("name the investigation; 'lumi investigate' lists them")
        _list(as_json=chosen is Format.JSON)
        return
    investigation = load(name)
    if explain:
        _explain(investigation, as_json=chosen is Format.JSON)
        return
    if tenant is not None:
        if "tenant" in texts:
            raise click.UsageError("tenant is given twice")
        texts = {**texts, "tenant": tenant}
    values = investigation.bind(texts)
    config = given.config()
    if folder is not None and folder.exists():
        raise click.UsageError(f"{folder} is there already; name a new directory with --evidence")
    with closing(connect(config)) as db:
        answer = investigation.run(db, values)
        rows = None
        if folder is not None:
            rows = pa.Table.from_batches(answer.batches, answer.schema)
            answer = Answer.of(rows)
        if not write_rows(answer, chosen, output):
            note(_nothing(db, investigation, values))
    if folder is not None and rows is not None:
        _keep(given, folder, Asked(investigation, values, rows))


def _nothing(db: "duckdb.DuckDBPyConnection", investigation: "Investigation", values: "Mapping[str, Value]") -> str:
    """Nothing found is an answer, unless it was asked for somebody whom there isn't."""
    from lumi_pipeline.analytics.listing import Question, unheard_of

    fields = {parameter: field for parameter, field in _ABOUT.items() if isinstance(values.get(parameter), str)}
    asked = Question(**{field: str(values[parameter]) for parameter, field in fields.items()})  # type: ignore[arg-type]
    unknown = unheard_of(db, asked)
    strange = [f"; no event at all has that {parameter}" for parameter, field in fields.items() if field in unknown]
    return f"{investigation.name} found nothing{''.join(strange)}."


def _list(*, as_json: bool) -> None:
    from lumi_pipeline.analytics.investigation import load, names

    found = [load(name) for name in names()]
    if as_json:
        say_json({"investigations": [_facts(investigation) for investigation in found]})
        return
    say_table(["name", "finds"], [[one.name, one.title] for one in found])


def _explain(investigation: "Investigation", *, as_json: bool) -> None:
    if as_json:
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


def _keep(given: Given, folder: Path, asked: "Asked") -> None:
    """Write the case, and say which events have no proof yet."""
    from lumi_pipeline.analytics.asking import Answer
    from lumi_pipeline.analytics.casefolder import ROWS, write_case

    pipeline = given.pipeline()
    folder.mkdir(parents=True)
    write_rows(Answer.of(asked.rows), Format.CSV, folder / ROWS)
    with progress("Proving", "events") as meter:
        case = write_case(folder, asked, pipeline.lake, pipeline.genesis(), progress=meter.reach)
    note(f"Wrote {folder}: the rows, and {count(len(case.proved), 'proof')}.")
    if case.proved:
        note(f"Check one with: lumi verify {folder}/{case.proved[0]}.tlog-proof --key LOG-VKEY")
    for event_id in case.unsealed:
        note(f"Not sealed and published yet, so without proof: {event_id}")
