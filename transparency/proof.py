"""Proof files: one entry's inclusion in a log, for offline verification (C2SP tlog-proof).

::

    c2sp.org/tlog-proof@v1
    extra <base64>              optional: what the application needs to know the entry
    index <decimal>
    <base64 hash>               the inclusion path, from the leaf's sibling to the root's child
                                an empty line
    <signed checkpoint>
"""

from dataclasses import dataclass

from transparency.encoding import MAX_INT64, b64decode, b64encode, excerpt, parse_decimal
from transparency.errors import EncodingError, ProofFormatError
from transparency.merkle import HASH_SIZE
from transparency.note import MAX_NOTE_SIZE

MAX_PROOF_SIZE = 64 * 1024 * 1024
"""Room for an event of 4 MiB whose every byte JSON has to escape, in base64."""

MAX_PATH_LENGTH = 63
"""A path has one hash a level, and no tree has 2^63 entries."""

_HEADER = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof as read. **Nothing is verified**: neither the path, nor the checkpoint, nor that ``extra`` is true."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    """The signed checkpoint, verbatim."""
    extra: bytes | None = None

    @classmethod
    def parse(cls, data: bytes) -> "TlogProof":
        """Read a proof file; raise ProofFormatError. The checkpoint's own form is left to its parser."""
        if len(data) > MAX_PROOF_SIZE:
            raise ProofFormatError(f"a proof of {len(data)} bytes; at most {MAX_PROOF_SIZE} are accepted")
        reader = _LineReader(data)
        if reader.next() != _HEADER:
            raise ProofFormatError(f"not a proof file: it does not start with the line {_HEADER}")
        try:
            line = reader.next()
            extra = None
            if line.startswith("extra "):
                extra = b64decode(line.removeprefix("extra "))
                line = reader.next()
            if not line.startswith("index "):
                raise ProofFormatError(f"proof line {reader.number}: 'index' expected, got {excerpt(line)}")
            index = parse_decimal(line.removeprefix("index "))
            path: list[bytes] = []
            while line := reader.next():
                if len(path) == MAX_PATH_LENGTH:
                    raise ProofFormatError(f"an inclusion path of more than {MAX_PATH_LENGTH} hashes")
                path.append(b64decode(line, HASH_SIZE))
        except EncodingError as error:
            raise ProofFormatError(f"proof line {reader.number}: {error}") from None
        return cls(index, tuple(path), reader.rest(), extra)._checked()

    def format(self) -> bytes:
        """Write the proof file that :meth:`parse` reads; raise ProofFormatError for what it would refuse."""
        self._checked()
        lines = [_HEADER]
        if self.extra is not None:
            lines.append(f"extra {b64encode(self.extra)}")
        lines.append(f"index {self.index}")
        lines.extend(b64encode(node) for node in self.path)
        data = "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint
        if len(data) > MAX_PROOF_SIZE:
            raise ProofFormatError(f"a proof of {len(data)} bytes; at most {MAX_PROOF_SIZE} are accepted")
        return data

    def _checked(self) -> "TlogProof":
        if not 0 <= self.index <= MAX_INT64:
            raise ProofFormatError(f"index {self.index} is outside 0 to 2^63-1")
        if len(self.path) > MAX_PATH_LENGTH or any(len(node) != HASH_SIZE for node in self.path):
            raise ProofFormatError(f"an inclusion path is at most {MAX_PATH_LENGTH} hashes of {HASH_SIZE} bytes")
        if self.extra == b"":
            raise ProofFormatError("an empty 'extra' line; without extra data there is none")
        if not 0 < len(self.checkpoint) <= MAX_NOTE_SIZE:
            raise ProofFormatError(f"a checkpoint of {len(self.checkpoint)} bytes; 1 to {MAX_NOTE_SIZE} are accepted")
        return self


class _LineReader:
    """Takes LF-ended lines off the front of the data, without splitting the rest."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0
        self.number = 0

    def next(self) -> str:
        self.number += 1
        end = self.data.find(b"\n", self.offset)
        if end < 0:
            raise ProofFormatError(f"the proof is cut short in line {self.number}")
        line = self.data[self.offset : end]
        self.offset = end + 1
        if not line.isascii():
            raise ProofFormatError(f"proof line {self.number} is not ASCII")
        return line.decode("ascii")

    def rest(self) -> bytes:
        return self.data[self.offset :]
