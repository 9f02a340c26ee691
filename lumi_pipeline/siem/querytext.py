"""Constants in the query languages of SIEMs: what comes from settings goes into a query through one of these alone.

Each raises :class:`~lumi_pipeline.errors.SiemError` for what its language can't quote exactly.
"""

import re
from typing import Final

from lumi_pipeline.errors import SiemError
from transparency.encoding import excerpt

_KQL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _printable(text: str, language: str, forbidden: str = "") -> str:
    found = set(text) & set(forbidden)
    if not text.isprintable() or found:
        what = f"has {' '.join(sorted(found))}" if found else "has characters that can't be shown"
        raise SiemError(f"{excerpt(text)} {what}, so a query in {language} can't ask for exactly that")
    return text


def spl(text: str) -> str:
    """A string of Splunk's search command, where ``*`` stands for anything even within quotes (Search Manual)."""
    return _escaped(_printable(text, "SPL", "*"))


def sumo(text: str) -> str:
    """A string of Sumo Logic's keyword search, where ``*`` and ``?`` stand for anything."""
    return _escaped(_printable(text, "Sumo Logic's language", "*?"))


def datadog(text: str) -> str:
    """A value of Datadog's log search: within quotes only ``"`` and the backslash are special."""
    return _escaped(_printable(text, "Datadog's search syntax", "*?"))


def kql(text: str) -> str:
    """A string literal of KQL ("The string data type")."""
    return _escaped(_printable(text, "KQL"))


def kql_name(text: str) -> str:
    """A table's name in KQL, in brackets where it is not a plain one ("Entity names")."""
    return text if _KQL_NAME.fullmatch(text) else f"[{kql(text)}]"


def sql(text: str) -> str:
    """A string constant of SQL."""
    return "'" + _printable(text, "SQL").replace("'", "''") + "'"


def glob(text: str) -> str:
    """A path in which DuckDB takes nothing for a pattern."""
    return re.sub(r"([*?\[\\])", r"[\1]", _printable(text, "SQL"))


def _escaped(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
