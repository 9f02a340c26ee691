"""The primitive encodings of docs/formats.md: each value has exactly one accepted text or byte form.

Published bytes are hashed, so a second spelling of the same value would be a second truth. Every decoder here
therefore rejects whatever its encoder would not have written, and checks sizes before it allocates. All of them raise
:class:`~transparency.errors.EncodingError` and nothing else, whatever text or bytes they are given.

What a log publishes is text, base64, decimals and varints. JSON is only for the operator's journal (journal.py) and
for what users of this package put into entries and proofs.
"""

import base64
import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import NoReturn, TypeAlias

from transparency.errors import EncodingError

Json: TypeAlias = "None | bool | int | str | list[Json] | dict[str, Json]"
"""A JSON value as we write it: no floating point numbers, which have too many spellings."""

MAX_INT64 = 2**63 - 1
MAX_UINT64 = 2**64 - 1
MAX_JSON_INT = 2**53 - 1
"""Largest magnitude of a JSON integer; beyond it JavaScript readers lose digits, so larger numbers travel as text."""

MAX_JSON_DEPTH = 8
MAX_JSON_TOKENS = 2_000_000
"""Most strings, commas and brackets in a JSON text: what the memory for its values grows with."""

_DECIMAL = re.compile(r"0|[1-9][0-9]*")
_HEX = re.compile(r"[0-9a-f]*")
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_TIMESTAMP = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{6})Z")
# A string (possessive, so that no text makes it backtrack), a quote that begins none, or a sign of structure.
_JSON_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)


def excerpt(text: str, limit: int = 60) -> str:
    """Return ``text`` quoted for an error message: escaped, so it cannot forge lines, and cut to ``limit``."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}… ({len(text)} characters)"


def b64encode(data: bytes) -> str:
    """Return standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def b64decode(text: str, size: int | None = None) -> bytes:
    """Decode canonical, padded standard base64 (RFC 4648 sections 3.5 and 4).

    ``size`` is the required number of decoded bytes; None takes any. Missing padding, white space, the URL alphabet
    and non-zero trailing bits are refused.
    """
    if size is not None and len(text) != (size + 2) // 3 * 4:
        raise EncodingError(f"base64 of {size} bytes expected, got {excerpt(text)}")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise EncodingError(f"not standard base64: {excerpt(text)}") from None
    # Re-encoding catches what the standard library lets pass, such as set bits after the last whole byte.
    if b64encode(data) != text:
        raise EncodingError(f"not canonical base64: {excerpt(text)}")
    if size is not None and len(data) != size:
        raise EncodingError(f"base64 of {size} bytes expected, got {len(data)} bytes")
    return data


def hex_decode(text: str, size: int) -> bytes:
    """Decode lower-case hexadecimal text of exactly ``size`` bytes."""
    if len(text) != 2 * size or not _HEX.fullmatch(text):
        raise EncodingError(f"{2 * size} lower-case hexadecimal digits expected, got {excerpt(text)}")
    return bytes.fromhex(text)


def parse_decimal(text: str, maximum: int = MAX_INT64) -> int:
    """Parse a number in 0…``maximum`` written in decimal without sign, spaces or leading zeros."""
    if not _DECIMAL.fullmatch(text):
        raise EncodingError(f"decimal number without sign or leading zeros expected, got {excerpt(text)}")
    # Comparing lengths first keeps a megabyte of digits away from the quadratic text-to-integer conversion.
    if len(text) > len(str(maximum)) or int(text) > maximum:
        raise EncodingError(f"number is larger than {maximum}: {excerpt(text)}")
    return int(text)


def encode_varint(value: int) -> bytes:
    """Return the minimal unsigned LEB128 form of a number in 0…2^64-1."""
    if not 0 <= value <= MAX_UINT64:
        raise EncodingError(f"varint out of range: {value}")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_varint(data: bytes, offset: int) -> tuple[int, int]:
    """Read a minimal unsigned LEB128 number (at most 64 bits) at ``offset``; return it and the offset after it."""
    value = 0
    for position in range(offset, min(offset + 10, len(data))):
        byte = data[position]
        value |= (byte & 0x7F) << 7 * (position - offset)
        if byte < 0x80:
            if byte == 0 and position > offset:
                raise EncodingError(f"varint at byte {offset} is longer than necessary")
            if value > MAX_UINT64:
                raise EncodingError(f"varint at byte {offset} is larger than 64 bits")
            return value, position + 1
    raise EncodingError(f"varint at byte {offset} is cut short or larger than 64 bits")


def parse_day(text: str) -> date:
    """Parse a real calendar day, written ``YYYY-MM-DD``, years 0001 to 9999."""
    match = _DAY.fullmatch(text)
    if match is None:
        raise EncodingError(f"day as YYYY-MM-DD expected, got {excerpt(text)}")
    year, month, day = (int(group) for group in match.groups())
    try:
        return date(year, month, day)
    except ValueError:
        raise EncodingError(f"no such day: {excerpt(text)}") from None


def parse_timestamp(text: str) -> datetime:
    """Parse a UTC time written exactly ``YYYY-MM-DDTHH:MM:SS.ffffffZ``; the result is aware, in UTC."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise EncodingError(f"time as YYYY-MM-DDTHH:MM:SS.ffffffZ expected, got {excerpt(text)}")
    year, month, day, hour, minute, second, microsecond = (int(group) for group in match.groups())
    try:
        return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)
    except ValueError:
        raise EncodingError(f"no such time: {excerpt(text)}") from None


def format_timestamp(value: datetime) -> str:
    """Return a UTC time as ``YYYY-MM-DDTHH:MM:SS.ffffffZ``; refuse a time without zone or of another zone."""
    if value.utcoffset() != timedelta(0):
        raise EncodingError(f"a time in UTC is needed, got {value!r}")
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def decode_text(data: bytes, max_bytes: int, what: str) -> str:
    """Decode UTF-8 of at most ``max_bytes`` bytes; ``what`` names it in the error."""
    if len(data) > max_bytes:
        raise EncodingError(f"{what} has {len(data)} bytes; at most {max_bytes} are accepted")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EncodingError(f"{what} is not valid UTF-8 at byte {error.start}") from None


def canonical_json(value: Json, *, max_depth: int = MAX_JSON_DEPTH) -> str:
    """Return ``value`` in the one form that we write.

    Keys are sorted by code point, there are no spaces, and only quotes, backslashes and controls are escaped.
    Floats, integers of 2^53 or beyond, lone surrogates and more than ``max_depth`` nested containers are refused.
    """
    _check_json(value, max_depth)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise EncodingError("JSON text holds a lone surrogate") from None
    return text


def parse_canonical_json(
    data: bytes, max_bytes: int, max_depth: int = MAX_JSON_DEPTH, *, max_tokens: int = MAX_JSON_TOKENS
) -> Json:
    """Parse JSON and accept it only in the form that :func:`canonical_json` writes.

    Size, nesting and the number of tokens are checked before anything is built, so that hostile bytes cost no more
    time and memory than honest ones of the same size.
    """
    text = decode_text(data, max_bytes, "JSON")
    _check_json_shape(data, max_depth, max_tokens)
    try:
        value: Json = json.loads(
            text,
            parse_int=_parse_json_int,
            parse_float=_refuse_json_float,
            parse_constant=_refuse_json_float,
            object_pairs_hook=_unique_object,
        )
    except EncodingError:
        raise
    except (ValueError, RecursionError) as error:
        raise EncodingError(f"not JSON: {error}") from None
    if canonical_json(value, max_depth=max_depth) != text:
        raise EncodingError("JSON is not in canonical form (key order, spaces or escapes)")
    return value


def _check_json(value: Json, depth_left: int) -> None:
    """Refuse what has no canonical form; ``depth_left`` is how many more containers may be nested."""
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if abs(value) > MAX_JSON_INT:
            raise EncodingError(f"JSON integer of 2^53 or more: {value}")
        return
    if not isinstance(value, list | dict):
        raise EncodingError(f"JSON cannot hold a {type(value).__name__}")
    if depth_left == 0:
        raise EncodingError("JSON is nested too deeply")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise EncodingError("JSON object keys must be text")
        value = list(value.values())
    for item in value:
        _check_json(item, depth_left - 1)


def _check_json_shape(data: bytes, max_depth: int, max_tokens: int) -> None:
    """Bound nesting and number of tokens without building anything; stop at the first sign of what is no JSON."""
    depth = 0
    for number, token in enumerate(_JSON_TOKEN.finditer(data), start=1):
        if number > max_tokens:
            raise EncodingError(f"JSON holds more than {max_tokens} strings, commas and brackets")
        match data[token.start() : token.start() + 1]:
            case b"[" | b"{":
                depth += 1
            case b"]" | b"}":
                depth -= 1
            case b'"' if token.end() - token.start() == 1:
                raise EncodingError(f"not JSON: the string at byte {token.start()} does not end")
        if not 0 <= depth <= max_depth:
            raise EncodingError(f"JSON is not nested properly at byte {token.start()}, or more than {max_depth} deep")


def _parse_json_int(text: str) -> int:
    if len(text) > len(str(MAX_JSON_INT)) + 1:
        raise EncodingError(f"JSON integer of 2^53 or more: {excerpt(text)}")
    return int(text)


def _refuse_json_float(text: str) -> NoReturn:
    raise EncodingError(f"JSON number is not an integer: {excerpt(text)}")


def _unique_object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise EncodingError("JSON object repeats a key")
    return value
