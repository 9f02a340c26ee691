"""Investigations: questions kept as SQL files, each with a header that says what it asks and which values it takes.

A file of ``investigations/`` begins with comment lines, ``-- KEY: text``, in this order; a text goes on in lines that
begin with ``--`` and three blanks::

    -- title: one line
    -- description: what its rows are
    -- param NAME TYPE: a value that has to be given
    -- param NAME TYPE?: one that may be left out, and then is NULL
    -- param NAME TYPE = DEFAULT: one that has a default
    -- example: a command line

Types are text, integer, number, date (``YYYY-MM-DD``) and timestamp (``YYYY-MM-DDTHH:MM:SSZ``, UTC). The rest of the
file is one SELECT over the analyst database that uses every parameter as ``$NAME`` and no other. Values reach DuckDB as
bound parameters and in no other way. Columns named ``event_id``, or ending so, hold ids of events.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from importlib.resources import files
from typing import Final, TypeAlias

import duckdb

from lumi_pipeline.analytics.asking import Answer, ask
from lumi_pipeline.errors import AnalystError, QuestionError
from transparency.encoding import MAX_INT64, excerpt, parse_day, parse_timestamp
from transparency.errors import EncodingError

Value: TypeAlias = str | int | float | date | datetime | None
"""A parameter's value; None is NULL."""

TYPES: Final = ("text", "integer", "number", "date", "timestamp")
MAX_TEXT: Final = 4096
"""Limit of one text value, in characters."""

_PERIODS: Final = (("since", "until"), ("from", "to"))
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LINE: Final = re.compile(r"-- (?P<key>title|description|param|example)(?: (?P<what>[^:]+))?: (?P<text>\S.*)")
_PARAM: Final = re.compile(r"(?P<name>[a-z][a-z_]*) (?P<type>[a-z]+)(?P<optional>\?)?(?: = (?P<default>\S.*))?")
_MORE: Final = "--   "
_USED: Final = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)
_SECONDS: Final = re.compile(r"(?P<seconds>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.(?P<fraction>\d{1,6}))?Z", re.ASCII)
_SHAPES: Final[Mapping[str, str]] = {
    "text": f"text of at most {MAX_TEXT} characters, without NUL",
    "integer": "a whole number of 64 bits",
    "number": "a decimal number such as 2.5",
    "date": "a day as YYYY-MM-DD",
    "timestamp": "a time in UTC as YYYY-MM-DDTHH:MM:SSZ",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value that an investigation takes. ``required``: there is no default, not even NULL."""

    name: str
    type: str
    meaning: str
    required: bool
    default: Value = None

    def parse(self, text: str) -> Value:
        """Return the value that a text stands for; raises :class:`~lumi_pipeline.errors.QuestionError`."""
        try:
            return _parse(self.type, text)
        except (EncodingError, ValueError):
            raise QuestionError(f"parameter {self.name}: {_SHAPES[self.type]} expected, got {excerpt(text)}") from None


@dataclass(frozen=True, slots=True)
class Investigation:
    """A question: ``name`` is that of its file, ``sql`` the whole file, header included."""

    name: str
    title: str
    description: str
    parameters: tuple[Parameter, ...]
    example: str
    sql: str

    def bind(self, given: Mapping[str, str]) -> dict[str, Value]:
        """Return a value for every parameter, from texts where they are given.

        Raises :class:`~lumi_pipeline.errors.QuestionError` for a name that it does not have, one that is missing, a
        value of another type, and a period that ends before it begins.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                names = ", ".join(known)
                raise QuestionError(f"{self.name} has no parameter {excerpt(name)}; it has: {names}")
        for parameter in self.parameters:
            if parameter.required and parameter.name not in given:
                raise QuestionError(f"{self.name} needs --param {parameter.name}=…: {parameter.meaning}")
        values = {
            name: parameter.parse(given[name]) if name in given else parameter.default
            for name, parameter in known.items()
        }
        for begin, end in _PERIODS:
            first, last = values.get(begin), values.get(end)
            # No row lies in such a period, which would read as nobody having done anything.
            if isinstance(first, date) and isinstance(last, date) and first > last:
                raise QuestionError(f"the period would end with {end}={last}, before it begins with {begin}={first}")
        return values

    def run(self, db: duckdb.DuckDBPyConnection, values: Mapping[str, Value]) -> Answer:
        """Ask the analyst database, and return the rows as they come. ``values`` are those of :meth:`bind`."""
        return ask(db, self.sql, values)


def names_events(column: str) -> bool:
    """Whether a column of an investigation holds ids of events."""
    return column == "event_id" or column.endswith("_event_id")


def names() -> list[str]:
    """Return the names of all investigations, in alphabetical order."""
    folder = files("lumi_pipeline.analytics").joinpath("investigations")
    return sorted(entry.name.removesuffix(".sql") for entry in folder.iterdir() if entry.name.endswith(".sql"))


def load(name: str) -> Investigation:
    """Return an investigation by its name; raises :class:`~lumi_pipeline.errors.QuestionError` if there is none."""
    known = names()
    if name not in known:
        raise QuestionError(f"there is no investigation {excerpt(name)}; there are: {', '.join(known)}")
    folder = files("lumi_pipeline.analytics").joinpath("investigations")
    return parse(name, folder.joinpath(f"{name}.sql").read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Investigation:
    """Read an investigation from the text of its file.

    Raises :class:`~lumi_pipeline.errors.AnalystError`, naming the line, when the header is not exactly in form or its
    parameters are not those that the SQL uses.
    """
    if not _NAME.fullmatch(name):
        raise AnalystError(f"an investigation is named like dormant-account, not {excerpt(name)}")
    entries: list[tuple[str, str, str, int]] = []
    lines = text.splitlines()
    body = next((at for at, line in enumerate(lines) if not line.startswith("--")), len(lines))
    for number, line in enumerate(lines[:body], start=1):
        match = _LINE.fullmatch(line)
        if match is not None:
            entries.append((match["key"], match["what"] or "", match["text"], number))
        elif line.startswith(_MORE) and line[len(_MORE) :].strip() and entries:
            key, what, so_far, first = entries[-1]
            entries[-1] = (key, what, f"{so_far} {line[len(_MORE) :].strip()}", first)
        else:
            raise AnalystError(f"{name}.sql, line {number}: not a line of a header: {excerpt(line)}")
    order = [key for key, *_ in entries if key != "param"]
    if order != ["title", "description", "example"] or [key for key, *_ in entries] != [
        "title",
        "description",
        *["param"] * (len(entries) - 3),
        "example",
    ]:
        raise AnalystError(f"{name}.sql: a header is one title, one description, its parameters, one example")
    parameters = tuple(_parameter(name, what, told, at) for key, what, told, at in entries if key == "param")
    _check_use(name, parameters, "\n".join(lines[body:]))
    title, description, example = (told for key, _, told, _ in entries if key != "param")
    return Investigation(name, title, description, parameters, example, text)


def _parameter(name: str, what: str, meaning: str, line: int) -> Parameter:
    match = _PARAM.fullmatch(what)
    where = f"{name}.sql, line {line}"
    if match is None or match["type"] not in TYPES or (match["optional"] and match["default"]):
        raise AnalystError(f"{where}: 'param NAME TYPE', 'param NAME TYPE?' or 'param NAME TYPE = DEFAULT' expected")
    required = not match["optional"] and match["default"] is None
    parameter = Parameter(match["name"], match["type"], meaning, required)
    if match["default"] is None:
        return parameter
    try:
        return Parameter(match["name"], match["type"], meaning, False, parameter.parse(match["default"]))
    except AnalystError as error:
        raise AnalystError(f"{where}: {error}") from None


def _check_use(name: str, parameters: tuple[Parameter, ...], sql: str) -> None:
    declared = [parameter.name for parameter in parameters]
    if len(set(declared)) != len(declared):
        raise AnalystError(f"{name}.sql declares a parameter twice")
    used = set(_USED.findall(sql))
    if used != set(declared):
        odd = ", ".join(sorted(used ^ set(declared)))
        raise AnalystError(f"{name}.sql does not use exactly the parameters that it declares: {odd}")


def _parse(kind: str, text: str) -> Value:
    """Read a value of the given type; raises ValueError, or what the parsers of days and times raise."""
    match kind:
        case "integer":
            return _integer(text)
        case "number":
            if not _NUMBER.fullmatch(text):
                raise ValueError
            return float(text)
        case "date":
            return parse_day(text)
        case "timestamp":
            return _timestamp(text)
        case _:
            if len(text) > MAX_TEXT or "\0" in text:
                raise ValueError
            return text.encode().decode()  # what is no Unicode ends here, as a ValueError


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text) or abs(value := int(text)) > MAX_INT64:
        raise ValueError
    return value


def _timestamp(text: str) -> datetime:
    match = _SECONDS.fullmatch(text)
    if match is None:
        raise ValueError
    return parse_timestamp(f"{match['seconds']}.{(match['fraction'] or '').ljust(6, '0')}Z")
