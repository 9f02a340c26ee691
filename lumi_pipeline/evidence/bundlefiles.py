"""A bundle as somebody handed it over, a folder or a ZIP file, not trusted (docs/formats.md section 9)."""

import errno
import os
import stat
import struct
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader, RawIOBase
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

from lumi_pipeline.evidence.proofsfile import MAX_SIZE
from transparency.errors import VerificationError

EVENTS: Final = "events.csv"
PROOFS: Final = "evidence.json"
SUMS: Final = "SHA256SUMS"
SIGNATURE: Final = "SHA256SUMS.sig"
VKEY: Final = "log.vkey"
README: Final = "README.txt"
PAGE: Final = "verify.html"
SCRIPT: Final = "verify.py"
SUMMED: Final = (README, EVENTS, PROOFS, VKEY, PAGE, SCRIPT)
"""What has a line in ``SHA256SUMS``."""
UNSIGNED: Final = tuple(sorted((*SUMMED, SUMS)))
"""What lies in a ZIP file before the signature, which is made last."""
NAMES: Final = frozenset((*UNSIGNED, SIGNATURE))

_MIB: Final = 1 << 20
MAX_SMALL: Final = _MIB
"""Bytes of each of the three small files."""
_LIMITS: Final = {PROOFS: MAX_SIZE, SUMS: MAX_SMALL, SIGNATURE: MAX_SMALL, VKEY: MAX_SMALL}
MAX_ENTRIES: Final = 16
_PORTION: Final = _MIB
_MAX_LIST: Final = 4 * _MIB
"""Bytes of a ZIP file's list of files: with as many entries as there may be it is always shorter."""
_LOCAL_HEADER: Final = struct.Struct("<4sHHHHHLLLHH")
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What reading a ZIP file that is none, or is damaged, ends with (Python's documentation of zipfile)."""


class Unrecognised(Exception):
    """What is there is no evidence bundle."""


class Bundle(Protocol):
    """The files of a bundle. ``others`` names what lies beside them and was passed over."""

    others: tuple[str, ...]

    def names(self) -> frozenset[str]:
        """Which of the bundle's files are there."""
        ...

    def size(self, name: str) -> int:
        """A file's size in bytes."""
        ...

    def open(self, name: str) -> BufferedIOBase:
        """Open a file that is there, for reading from its beginning.

        Reading raises VerificationError ``bundle-format`` where it turns out to be damaged.
        """
        ...

    def check_rest(self) -> None:
        """Raise the same for damage of what was not read to its end."""
        ...


def read_whole(bundle: Bundle, name: str) -> bytes:
    """Read a file that has a limit, and is within it."""
    with bundle.open(name) as file:
        return file.read(_LIMITS[name] + 1)


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open a bundle: a folder, a file in one, or a ZIP file.

    Raises :class:`Unrecognised` for what is none, VerificationError ``bundle-format`` for what holds other files than a
    bundle does, and what the operating system raises.
    """
    if path.is_dir():
        yield _Folder(path)
    elif path.is_file() and path.name in {EVENTS, PROOFS}:
        yield _Folder(path.parent)
    elif path.exists() and not path.is_file():
        raise Unrecognised(f"{path.name} is neither a folder nor a file")
    else:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise Unrecognised(f"{path.name} is neither a folder nor a ZIP file")
            yield _open_archive(file)


def _open_archive(file: BinaryIO) -> "_Archive":
    try:
        sparing = _Sparing(file)
        archive = zipfile.ZipFile(cast("BinaryIO", sparing))
        sparing.opening = False
        return _Archive(archive, file)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise _damaged("it names a place that there is not") from None  # where a size or an offset in it led
    except _DAMAGE as error:
        raise _damaged(str(error)) from None


def _damaged(why: str) -> VerificationError:
    return VerificationError("bundle-format", f"the ZIP file is damaged, or no bundle's: {why}")


def looks_like_bundle(path: Path) -> bool:
    """Whether somebody meant this to be a bundle."""
    if path.is_dir():
        return any((path / name).exists() for name in (EVENTS, PROOFS))
    if not path.is_file():
        return False
    if path.name in {EVENTS, PROOFS}:
        return True
    with path.open("rb") as file:
        return file.read(4) in {b"PK\x03\x04", b"PK\x05\x06"} or zipfile.is_zipfile(file)


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path
        with os.scandir(path) as found:
            entries = {entry.name: entry for entry in found}
        if not {EVENTS, PROOFS} & entries.keys():
            raise Unrecognised(f"{path} holds neither {EVENTS} nor {PROOFS}")
        self._sizes: dict[str, int] = {}
        for name in sorted(NAMES & entries.keys()):
            status = entries[name].stat(follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                raise VerificationError("bundle-format", f"{name} is no regular file, but a link or a folder")
            _check_size(name, status.st_size)
            self._sizes[name] = status.st_size
        self.others = tuple(sorted(entries.keys() - NAMES))

    def names(self) -> frozenset[str]:
        return frozenset(self._sizes)

    def size(self, name: str) -> int:
        return self._sizes[name]

    def open(self, name: str) -> BufferedIOBase:
        # Should somebody put a link there meanwhile, it is not followed.
        return os.fdopen(os.open(self._path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")

    def check_rest(self) -> None:
        """Nothing of a file in a folder can be damaged, as far as that goes."""


class _Sparing:
    """A file of which not much is read at once while it is opened: the list in a ZIP file is, however long it says."""

    def __init__(self, file: BinaryIO) -> None:
        self.opening = True
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1, /) -> bytes:
        """Read so many bytes."""
        if self.opening and size > _MAX_LIST:
            raise zipfile.BadZipFile("the list of its files is too long")
        return self._file.read(size)


class _Archive:
    """A ZIP file. Everything about it is checked before any of its content is used, but for ``events.csv``.

    That may be large, so it is unpacked once, and checked while it is read.
    """

    def __init__(self, archive: zipfile.ZipFile, file: BinaryIO) -> None:
        self._archive = archive
        self._file = file
        self._entries = archive.infolist()
        self._by_name = {entry.filename: entry for entry in self._entries}
        self.others: tuple[str, ...] = ()
        self._check()

    def _check(self) -> None:
        """Check names, sizes and kinds, that no byte belongs to two files, and that each unpacks to what it says."""
        if not {EVENTS, PROOFS} & self._by_name.keys():
            folder = any(name.endswith(f"/{PROOFS}") for name in self._by_name)
            hint = "; it holds a folder with one: unpack it, and verify that folder" if folder else ""
            raise Unrecognised(f"the ZIP file holds neither {EVENTS} nor {PROOFS}{hint}")
        if len(self._entries) > MAX_ENTRIES:
            raise ValueError(f"it has {len(self._entries)} entries")
        if len(self._by_name) < len(self._entries):
            raise ValueError("it holds a file twice")
        end = 0
        places = {}
        for entry in sorted(self._entries, key=lambda one: one.header_offset):
            if entry.filename not in NAMES:
                raise ValueError(f"it holds {entry.filename!r}, which is no file of a bundle")
            _check_size(entry.filename, entry.file_size)
            _check_kind(entry)
            if entry.header_offset < end:
                raise ValueError("two of its files share bytes")
            places[entry.filename] = self._checked_header(entry)
            end = places[entry.filename] + entry.compress_size
        if end > self._archive.start_dir:
            raise ValueError("a file shares bytes with the list of files")
        self._places = places
        for entry in self._entries:
            if entry.filename != EVENTS:
                deque(self._unpacked(entry), maxlen=0)

    def _unpacked(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        """Unpack a file to its end: more bytes than are listed would be unpacked by other programs, and not by us.

        What goes wrong is one of ``_DAMAGE``.
        """
        at = self._places[entry.filename]
        left, size, crc = entry.compress_size, 0, 0
        inflating = zlib.decompressobj(-zlib.MAX_WBITS) if entry.compress_type == zipfile.ZIP_DEFLATED else None
        packed = b""
        while left or packed:
            if not packed:
                self._file.seek(at)  # others are read meanwhile
                packed = self._file.read(min(left, _PORTION))
                at, left = at + len(packed), left - len(packed)
                if not packed:
                    raise EOFError(f"{entry.filename} is cut off")
            if inflating is None:
                data, packed = packed, b""
            else:
                data = inflating.decompress(packed, _PORTION)
                packed = inflating.unconsumed_tail
                if inflating.eof and (packed or inflating.unused_data or left):
                    raise ValueError(f"there is more behind {entry.filename}")
            size, crc = size + len(data), zlib.crc32(data, crc)
            if size > entry.file_size:
                break
            yield data
        while inflating is not None and size <= entry.file_size and (data := inflating.decompress(b"", _PORTION)):
            # What was left within when the input had ended.
            size, crc = size + len(data), zlib.crc32(data, crc)
            yield data
        if (size, crc) != (entry.file_size, entry.CRC) or (inflating is not None and not inflating.eof):
            raise ValueError(f"{entry.filename} is not what the list says")

    def _checked_header(self, entry: zipfile.ZipInfo) -> int:
        """Compare the header before a file's bytes with the list at the end; return where the bytes begin."""
        self._file.seek(entry.header_offset)
        magic, _, flags, method, _, _, _, _, _, name_length, extra = _LOCAL_HEADER.unpack(
            self._file.read(_LOCAL_HEADER.size)
        )
        name = self._file.read(name_length)
        if (magic, flags, method, name) != (
            b"PK\x03\x04",
            entry.flag_bits,
            entry.compress_type,
            entry.filename.encode(),
        ):
            raise ValueError(f"its two headers of {entry.filename} differ")
        return entry.header_offset + _LOCAL_HEADER.size + int(name_length) + int(extra)

    def names(self) -> frozenset[str]:
        return frozenset(self._by_name)

    def size(self, name: str) -> int:
        return self._by_name[name].file_size

    def open(self, name: str) -> BufferedIOBase:
        return BufferedReader(_Unpacking(self._unpacked(self._by_name[name])), _PORTION)

    def check_rest(self) -> None:
        if EVENTS in self._by_name:
            with self.open(EVENTS) as file:
                while file.read(_PORTION):
                    pass


class _Unpacking(RawIOBase):
    """Portions of a file, for whoever reads it."""

    def __init__(self, portions: Iterator[bytes]) -> None:
        self._portions = portions
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        while not self._left:
            try:
                self._left = memoryview(next(self._portions))
            except StopIteration:
                return 0
            except _DAMAGE as error:
                raise _damaged(str(error)) from None
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _check_kind(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & 0x1:
        raise ValueError(f"{entry.filename} is encrypted")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError(f"{entry.filename} is compressed in another way than deflate")
    kind = entry.external_attr >> 16
    if entry.is_dir() or (kind and stat.S_IFMT(kind) not in {0, stat.S_IFREG}):
        raise ValueError(f"{entry.filename} is no regular file")


def _check_size(name: str, size: int) -> None:
    if size > _LIMITS.get(name, size):
        raise VerificationError("bundle-format", f"{name} has {size:,} bytes; at most {_LIMITS[name]:,} are accepted")
