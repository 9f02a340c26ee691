"""When the record of a day is due: so long after the midnight that ends the day, written as a time of day."""

import re
from datetime import timedelta
from typing import Final

from transparency.encoding import excerpt

_SYNTAX: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


def parse_due(text: str) -> timedelta:
    """Read ``HH:MM``, a time of day in UTC; raises ValueError with the reason."""
    found = _SYNTAX.fullmatch(text)
    if found is None:
        raise ValueError(f"{excerpt(text)} is not a time of day, HH:MM from 00:00 to 23:59")
    return timedelta(hours=int(found[1]), minutes=int(found[2]))


def format_due(due: timedelta) -> str:
    """Write what :func:`parse_due` reads."""
    minutes = due // timedelta(minutes=1)
    return f"{minutes // 60:02}:{minutes % 60:02}"
