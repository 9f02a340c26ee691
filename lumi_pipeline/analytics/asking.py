"""One SQL query by a user of the analyst database: read only, its rows streamed."""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa

from lumi_pipeline.errors import AnalystError
from lumi_pipeline.interrupting import interruptible
from lumi_pipeline.wording import is_text

BATCH_ROWS: Final = 2048
"""Rows that a reader gets at a time: what they need is all that is held in memory."""

_EXPLAINS_QUERY: Final = re.compile(r"\s*EXPLAIN\s+(ANALYZE\s+)?(SELECT|FROM|WITH|VALUES)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows as they come, and their columns. Reading them raises AnalystError when the query fails on the way."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]

    @classmethod
    def of(cls, table: pa.Table) -> "Answer":
        """Rows that are there already."""
        return cls(table.schema, iter(table.to_batches()))


def ask(db: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object] | None = None) -> Answer:
    """Run one query; ``parameters`` stand where it has ``$name``.

    Raises :class:`~lumi_pipeline.errors.AnalystError` for what is no query, or not one alone. Statements that write,
    COPY included, are refused.
    """
    if not is_text(sql):
        raise AnalystError("the query is no text in UTF-8")
    with _answering():
        statements = db.extract_statements(sql)
        if len(statements) != 1:
            raise AnalystError(f"give one query, not {len(statements)}")
        kind = statements[0].type
        explains = kind == duckdb.StatementType.EXPLAIN and _EXPLAINS_QUERY.match(sql)
        if kind != duckdb.StatementType.SELECT and not explains:
            if kind == duckdb.StatementType.MULTI:
                raise AnalystError("a PIVOT has to name its values here, as PIVOT … ON column IN (…)")
            raise AnalystError(
                f"only queries are run here (SELECT, FROM, WITH, DESCRIBE, SHOW, SUMMARIZE), not {kind.name}; for "
                "anything else open the database in DuckDB, or use lumi_pipeline.analytics.connect()"
            )
        given = dict(parameters or {})
        asked = statements[0].named_parameters
        if asked != given.keys():
            raise AnalystError(
                f"the query has the parameters {_listed(asked)}, and values were given for {_listed(given.keys())}"
            )
        reader = db.sql(sql, params=given or None).to_arrow_reader(BATCH_ROWS)
    return Answer(reader.schema, _batches(reader))


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    while True:
        with _answering():
            batch = next(reader, None)
        if batch is None:
            return
        yield batch


@contextmanager
def _answering() -> Iterator[None]:
    """Make what DuckDB says of a query, at once or through Arrow while it runs, an error of ours."""
    try:
        with interruptible():
            yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise AnalystError(_said(error)) from None


def _listed(names: AbstractSet[str]) -> str:
    return ", ".join(f"${name}" for name in sorted(names)) or "none"


def _said(error: Exception) -> str:
    """DuckDB's own words, which say where in the query; of trouble with a store the last line of its traceback."""
    text = str(error).strip()
    first, _, rest = text.partition("\n")
    return rest.splitlines()[-1] if "Traceback" in first and rest else text
