"""From the SQL of a record to what compiled kernels make it of: columns of events, and columns that DuckDB makes."""

from collections.abc import Sequence
from dataclasses import dataclass

from lumi_pipeline.kernels.parts import AnyPart, Choice, Part, RecordPart
from lumi_pipeline.siem.sqltext import Alternatives, Value, constant_of, parts_of


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """The parts of a record. Their columns are those of events that are named, and then those of SQL expressions."""

    parts: tuple[AnyPart, ...]
    columns: Sequence[str]
    evaluated: Sequence[str]

    @classmethod
    def of(cls, record: str) -> "RecordPlan":
        """Make one of a record's expression; what kernels don't know is left to DuckDB, each expression once."""
        columns, evaluated = _columns(record)
        return cls(tuple(_parts(record, columns, evaluated)), columns, evaluated)


def _columns(record: str) -> tuple[list[str], list[str]]:
    """The columns and the expressions that a record needs, each once."""
    columns: dict[str, None] = {}
    evaluated: dict[str, None] = {}

    def look_at(expression: str) -> None:
        for part in parts_of(expression):
            if isinstance(part, Value):
                columns[part.column] = None
            elif isinstance(part, Alternatives):
                evaluated[_number(part)] = None
                for branch in part.branches:
                    look_at(branch)
            elif constant_of(part) is None:
                evaluated[part] = None

    look_at(record)
    return list(columns), list(evaluated)


def _parts(record: str, columns: Sequence[str], evaluated: Sequence[str]) -> list[AnyPart]:
    found: list[AnyPart] = []
    for part in parts_of(record):
        text = constant_of(part)
        if text is not None:
            found.append(RecordPart(Part.CONSTANT, constant=text.encode()))
        elif isinstance(part, Value):
            found.append(RecordPart(part.part, columns.index(part.column), part.before.encode()))
        elif isinstance(part, Alternatives):
            branches = tuple(tuple(_parts(branch, columns, evaluated)) for branch in part.branches)
            found.append(Choice(len(columns) + evaluated.index(_number(part)), branches))
        else:
            found.append(RecordPart(Part.RAW, len(columns) + evaluated.index(part)))
    return found


def _number(part: Alternatives) -> str:
    return f"({part.selector})::BIGINT"
