"""Reading a file of JSON records, one after the other, each with the exact text that it has in the file.

A file is NDJSON (one object a line) or, where the caller allows it, one object whose ``Records`` array holds them;
either may be gzipped. Memory stays bounded whatever the file holds: a record over the limit is refused, not parsed.
"""

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NoReturn, TypeAlias

from lumi_pipeline.errors import ImportFailed

_Stream: TypeAlias = BinaryIO | gzip.GzipFile

_GZIP_MAGIC: Final = b"\x1f\x8b"
_READ_BYTES: Final = 1 << 20
_SNIFF_BYTES: Final = 4096
_ARRAY_START: Final = re.compile(r'\s*\{\s*"Records"\s*:\s*\[')
_SPACE: Final = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object of a file: where it is (``line 7``), its exact text, and what it says."""

    place: str
    text: str
    values: dict[str, object]


def read_lines(path: Path, max_bytes: int) -> Iterator[Record]:
    """Yield the objects of an NDJSON file, gzipped or not; ``max_bytes`` limits one line. Blank lines are skipped."""
    with _opened(path) as stream:
        yield from _lines(stream, max_bytes)


def read_records(path: Path, max_bytes: int) -> Iterator[Record]:
    """Yield the objects of an NDJSON file or of the ``Records`` array of a JSON file, gzipped or not."""
    with _opened(path) as stream:
        start = stream.read(_SNIFF_BYTES)
        stream.seek(0)
        if _ARRAY_START.match(start.decode("utf-8", "replace")):
            yield from _array(stream, max_bytes)
        else:
            yield from _lines(stream, max_bytes)


@contextmanager
def _opened(path: Path) -> Iterator[_Stream]:
    """Open a file, decompressing it if need be; whatever is wrong with it names it."""
    try:
        with path.open("rb") as raw:
            compressed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                yield raw
                return
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield unpacked
    except ImportFailed as error:
        raise ImportFailed(f"{path}: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ImportFailed(f"{path} is not a whole gzip file: {error}") from None
    except OSError as error:
        raise ImportFailed(f"{path} cannot be read: {error.strerror or error}") from None


def _lines(stream: _Stream, max_bytes: int) -> Iterator[Record]:
    number = 0
    while line := stream.readline(max_bytes + 2):
        number += 1
        place = f"line {number}"
        data = line.removesuffix(b"\n").removesuffix(b"\r")
        if len(data) > max_bytes:
            raise ImportFailed(f"{place} is longer than {max_bytes} bytes; no event can hold it")
        if not data.strip():
            continue
        if data.startswith(codecs.BOM_UTF8):
            raise ImportFailed(f"{place} starts with a byte order mark; save the file as UTF-8 without one")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ImportFailed(f"{place} is not valid UTF-8 at byte {error.start}") from None
        try:
            values = _decoder.decode(text)
        except (ValueError, RecursionError) as error:
            raise ImportFailed(f"{place} is not a JSON object: {error}") from None
        yield _record(place, text, values)


def _array(stream: _Stream, max_bytes: int) -> Iterator[Record]:
    source = _Text(stream)
    source.skip_start()
    number = 0
    while (mark := source.peek()) != "]":
        number += 1
        place = f"line {source.line}, record {number}"
        if number > 1:
            if mark != ",":
                raise ImportFailed(f"{place}: expected a comma or the end of the array, got {mark!r}")
            source.advance(1)
            source.peek()
        text, values = source.take_value(place, max_bytes)
        yield _record(place, text, values)
    source.advance(1)
    if source.peek() != "}":
        raise ImportFailed(f"line {source.line}: only the end of the object may follow the Records array")
    source.advance(1)
    if source.peek():
        raise ImportFailed(f"line {source.line}: something follows the end of the JSON object")


class _Text:
    """The text of a stream around a position, read on as needed."""

    def __init__(self, stream: _Stream) -> None:
        self.line = 1
        self._stream = stream
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0

    def skip_start(self) -> None:
        while (start := _ARRAY_START.match(self._text)) is None and self._more():
            pass
        self.advance(start.end() if start else 0)

    def peek(self) -> str:
        """Skip white space and return the character that follows; the empty text at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self.advance(space.end() - self._at if space else 0)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def advance(self, count: int) -> None:
        self.line += self._text.count("\n", self._at, self._at + count)
        self._at += count

    def take_value(self, place: str, max_bytes: int) -> tuple[str, object]:
        """Return the exact text of the JSON value that starts here, and the value."""
        while True:
            try:
                values, end = _decoder.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                # Perhaps only cut short: an object that is not all here never parses.
                if len(self._text) - self._at > max_bytes:
                    raise ImportFailed(f"{place} is not JSON, or longer than {max_bytes} bytes: {error}") from None
                if not self._more():
                    raise ImportFailed(f"{place} is not a JSON object: {error}") from None
                continue
            text = self._text[self._at : end]
            if len(text.encode()) > max_bytes:
                raise ImportFailed(f"{place} is longer than {max_bytes} bytes; no event can hold it")
            self.advance(end - self._at)
            return text, values

    def _more(self) -> bool:
        data = self._stream.read(_READ_BYTES)
        try:
            new = self._utf8.decode(data, final=not data)
        except UnicodeDecodeError:
            raise ImportFailed(f"the text after line {self.line} is not valid UTF-8") from None
        self._text = self._text[self._at :] + new
        self._at = 0
        return bool(data)


def _record(place: str, text: str, values: object) -> Record:
    if not isinstance(values, dict):
        raise ImportFailed(f"{place} is not a JSON object but {type(values).__name__}")
    return Record(place, text, values)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
