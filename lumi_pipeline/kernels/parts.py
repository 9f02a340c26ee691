"""What records consist of: the language between those who say how records look and the kernel that writes them."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

BLOCK: Final = 32
"""Bytes that are looked at and written at a time; so many behind the last record may be overwritten."""


class Part(IntEnum):
    """What a part of a record is. A constant, where one is named, may be empty."""

    CONSTANT = 0
    """The constant."""
    RAW = 1
    """The constant, then a text as it is; nothing where it is null."""
    STRING = 2
    """A JSON string of a text; ``null`` where it is null."""
    MEMBER = 3
    """The constant, then a JSON string of a text; nothing where it is null."""
    NUMBER = 4
    """A 64-bit number in decimal."""
    TIME = 5
    """A time in quotes: ``"YYYY-MM-DDTHH:MM:SS.ffffffZ"``."""
    MILLIS = 6
    """A time in milliseconds since 1970, rounded down."""
    DIGITS = 7
    """Bytes in hexadecimal, in quotes; ``null`` where they are null."""
    DIGITS_MEMBER = 8
    """The constant, then bytes in hexadecimal, in quotes; nothing where they are null."""


@dataclass(frozen=True, slots=True)
class RecordPart:
    """A part of a record: what it is, the number of the column that it reads, and its constant."""

    part: Part
    column: int = 0
    constant: bytes = b""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several sequences of parts: the one whose number, from 0, a column of 64-bit numbers has."""

    column: int
    branches: "tuple[tuple[AnyPart, ...], ...]"


AnyPart: TypeAlias = RecordPart | Choice
