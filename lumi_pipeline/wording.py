"""Words for people that commands and pages share: text that is safe to show, counts, lengths of time."""

import unicodedata
from datetime import timedelta
from typing import Final

_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


FORMULA_STARTS: Final = "'=+-@\t\r\n\uff07\uff1d\uff0b\uff0d\uff20"
"""What a cell must not begin with in a spreadsheet (OWASP, "CSV Injection", and full-width forms), and the mark."""


def is_text(text: str) -> bool:
    """Whether it is Unicode. Arguments are not where they came as other bytes (PEP 383)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def safe(text: str) -> str:
    """Escape what could move the cursor, forge a line or turn the reading order: text may come from anybody."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if char in "\n\t" or unicodedata.category(char) not in _UNSAFE_CATEGORIES
        else char.encode("unicode_escape").decode()
        for char in text
    )


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return ``1 event`` or ``20,000 events``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def duration(length: timedelta) -> str:
    """A time span in its two largest units: ``3 h 12 min``."""
    seconds = max(int(length.total_seconds()), 0)
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2])
