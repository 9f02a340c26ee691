"""``lumi sql``: one query to the analyst database."""

import sys
from contextlib import closing
from pathlib import Path

import click

from lumi_pipeline.cli.command import Command, examples
from lumi_pipeline.cli.options import Given, config_option, param_option
from lumi_pipeline.cli.results import chosen_format, result_options, write_rows


@click.command(
    cls=Command,
    epilog=examples(
        'lumi sql "SELECT action, count(*) FROM activity GROUP BY ALL ORDER BY ALL"',
        'lumi sql "FROM activity WHERE actor_id = $who" --param who=u-17 -o found.csv',
        'lumi sql --tenant acme "SELECT * FROM days"',
    ),
)
@click.argument("query", metavar="SQL")
@click.option("--tenant", metavar="TENANT", help="See this tenant's rows only, in a database that holds nothing else.")
@param_option("The text for $NAME in the query.")
@result_options
@config_option
@click.pass_obj
def sql(
    given: Given,
    query: str,
    tenant: str | None,
    texts: dict[str, str],
    form: str | None,
    output: Path | None,
) -> None:
    """Run one SQL query on the analyst database and print what it gives.

    The dialect is DuckDB's; SQL is - for standard input. Nothing can be written. "DESCRIBE activity" shows columns,
    "SHOW ALL TABLES" what there is. 'lumi analyst build' brings the database up to date; so does every 'lumi run'.
    """
    from lumi_pipeline.analytics import connect
    from lumi_pipeline.analytics.asking import ask

    chosen = chosen_format(form, output)
    text = _standard_input() if query == "-" else query
    with closing(connect(given.config(), tenant)) as db:
        write_rows(ask(db, text, texts), chosen, output)


def _standard_input() -> str:
    """What is there; bytes that are no text are kept, and refused like those of an argument."""
    if sys.stdin is None:  # closed by whoever started us
        return ""
    return sys.stdin.buffer.read().decode(errors="surrogateescape")
