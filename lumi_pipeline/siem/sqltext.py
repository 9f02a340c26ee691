"""The SQL that records are encoded with: constants and columns. What comes from events is never part of a statement.

Most parts of a record also know what they are in the language of the kernels (kernels/parts.py), which write them in a
fraction of the time; both give the same bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Self

from lumi_pipeline.kernels.parts import Part
from transparency.encoding import Json, canonical_json

BATCH_ID: Final = "\x01" * 64
"""Stands in every record for the batch's id, which is known once all records are: it depends on them.

No JSON text holds this character (in a string it is written as an escape, RFC 8259 section 7), so nothing that an event
says can be taken for it. For the same reason it goes into a statement by :func:`quoted`, never as a JSON constant.
"""


class _Constant(str):
    """An SQL string constant, which knows what it stands for."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        constant = super().__new__(cls, "'" + text.replace("'", "''") + "'")
        constant.text = text
        return constant


class _Joined(str):
    """A concatenation, which knows what of."""

    __slots__ = ("parts",)
    parts: tuple[str, ...]

    def __new__(cls, parts: Sequence[str]) -> Self:
        joined = super().__new__(cls, f"concat({', '.join(parts)})")
        joined.parts = tuple(parts)
        return joined


class Value(str):
    """An expression of one column's value, which knows what it is; ``before`` is the constant before it."""

    __slots__ = ("before", "column", "part")
    part: Part
    column: str
    before: str

    def __new__(cls, expression: str, part: Part, column: str, before: str = "") -> Self:
        """Make one of the SQL expression and what it says."""
        value = super().__new__(cls, expression)
        value.part, value.column, value.before = part, column, before
        return value


class Alternatives(str):
    """An expression that is one of several: that whose number, from 0, the whole number ``selector`` is in SQL."""

    __slots__ = ("branches", "selector")
    selector: str
    branches: tuple[str, ...]

    def __new__(cls, expression: str, selector: str, branches: Sequence[str]) -> Self:
        """Make one of the SQL expression and what it says; ``selector`` is never NULL."""
        alternatives = super().__new__(cls, expression)
        alternatives.selector, alternatives.branches = selector, tuple(branches)
        return alternatives


def parts_of(expression: str) -> Sequence[str]:
    """Return what an expression is the concatenation of: constants, values, alternatives and any other expressions."""
    return expression.parts if isinstance(expression, _Joined) else (expression,)


def constant_of(expression: str) -> str | None:
    """Return the text that an expression stands for, if it is a constant."""
    return expression.text if isinstance(expression, _Constant) else None


def quoted(text: str) -> str:
    """Return text as an SQL string constant."""
    return _Constant(text)


def json_constant(value: Json) -> str:
    """Return a value's JSON text as an SQL string constant."""
    return quoted(canonical_json(value))


def joined(*parts: str) -> str:
    """Return the concatenation of SQL text expressions, none of which may be NULL.

    Concatenations within it are taken apart, and constants side by side become one, as DuckDB makes every text anew.
    """
    flat: list[str] = []
    for part in parts:
        for inner in part.parts if isinstance(part, _Joined) else (part,):
            last = flat[-1] if flat else None
            if isinstance(inner, _Constant) and isinstance(last, _Constant):
                flat[-1] = _Constant(last.text + inner.text)
            else:
                flat.append(inner)
    return _Joined(flat)


def chosen(cases: Sequence[tuple[str, str]], otherwise: str) -> str:
    """Return the expression that is that of the first case (condition, expression) whose condition is true.

    Unless DuckDB makes the whole record, what in them only DuckDB knows is evaluated of all rows, and then must not be
    NULL for any.
    """
    expressions = " ".join(f"WHEN {condition} THEN {expression}" for condition, expression in cases)
    numbers = " ".join(f"WHEN {condition} THEN {number}" for number, (condition, _) in enumerate(cases))
    branches = [*(expression for _, expression in cases), otherwise]
    return Alternatives(f"CASE {expressions} ELSE {otherwise} END", f"CASE {numbers} ELSE {len(cases)} END", branches)


def json_object(members: Mapping[str, str], rest: str | None = None) -> str:
    """Return the expression of a JSON object: name → expression of the JSON text of its value, never NULL.

    ``rest`` is an expression of more members, each with a comma before it, or of no text.
    """
    parts: list[str] = []
    before = "{"
    for name, expression in members.items():
        parts += [quoted(f"{before}{canonical_json(name)}:"), expression]
        before = ","
    return joined(*parts, *([rest] if rest else []), quoted("}"))


def json_text(expression: str) -> str:
    """Return the expression of the JSON text of a text column or expression: a string, or null."""
    sql = f"coalesce(to_json({expression})::VARCHAR, 'null')"
    return Value(sql, Part.STRING, expression) if expression.isidentifier() else sql


def json_number(column: str) -> str:
    """Return the expression of a number's JSON text."""
    return Value(f"{column}::VARCHAR", Part.NUMBER, column)


def plain_text(column: str) -> str:
    """Return the expression of a text column as it is; of no text where it is NULL."""
    return Value(f"coalesce({column}, '')", Part.RAW, column)


def json_plain(expression: str) -> str:
    """Return the expression of the JSON string of a text that we made ourselves and that needs no escape.

    Never of a text column, whatever its syntax: rows are delivered as they were found.
    """
    return joined(quoted('"'), expression, quoted('"'))


def json_time(column: str) -> str:
    """Return the expression of a time column as it is written everywhere: ``"YYYY-MM-DDTHH:MM:SS.ffffffZ"``."""
    # Without the time zone, which is UTC anyway, it takes half the time.
    return Value(f"strftime(make_timestamp(epoch_us({column})), '\"%Y-%m-%dT%H:%M:%S.%fZ\"')", Part.TIME, column)


def millis(column: str) -> str:
    """Return the expression of a time column in milliseconds since 1970, rounded down, so that the day stays the same.

    DuckDB's ``epoch_ms`` rounds to the nearest, and ``//`` towards zero.
    """
    micros = f"epoch_us({column})"
    return Value(f"(({micros} - CASE WHEN {micros} < 0 THEN 999 ELSE 0 END) // 1000)::VARCHAR", Part.MILLIS, column)


def json_hex(column: str) -> str:
    """Return the expression of the JSON string of a hash or salt, or null."""
    return Value(f"coalesce('\"' || {column} || '\"', 'null')", Part.DIGITS, column)


def optional(name: str, expression: str) -> str:
    """Return the expression of a member with a comma before it, or of no text where its value's is NULL."""
    return f"coalesce({_before(name)} || {expression}, '')"


def optional_text(name: str, column: str) -> str:
    """Return the expression of a member that is a text column, or of no text where it is NULL."""
    sql = optional(name, f"to_json({column})::VARCHAR")
    return Value(sql, Part.MEMBER, column, constant_of(_before(name)) or "")


def optional_hex(name: str, column: str) -> str:
    """Return the expression of a member that is a hash or salt, or of no text where it is NULL."""
    sql = optional(name, f"('\"' || {column} || '\"')")
    return Value(sql, Part.DIGITS_MEMBER, column, constant_of(_before(name)) or "")


def optional_json(name: str, column: str) -> str:
    """Return the expression of a member whose column is JSON text that we made, or of no text where it is NULL."""
    return Value(optional(name, column), Part.RAW, column, constant_of(_before(name)) or "")


def _before(name: str) -> str:
    return quoted(f",{canonical_json(name)}:")
