"""A search for values in every file that a world has: as they lie, unpacked, and in the rows of Parquet files."""

import gzip
import io
import zipfile
from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from tests.lake.places import LOCAL
from tests.lake.world import World


def places_of(world: World, values: Iterable[bytes]) -> set[str]:
    """The objects and files in which any of these values is found."""
    wanted = list(values)
    found = {key for key, data in world.contents().items() if _holds(data, wanted)}
    if world.place.kind == LOCAL:
        # Whatever else lies there: the database with its log, temporary files, what no listing shows.
        files = (path for path in world.directory.rglob("*") if path.is_file())
        found |= {str(path.relative_to(world.directory)) for path in files if _holds(path.read_bytes(), wanted)}
    return found


def _holds(data: bytes, values: list[bytes]) -> bool:
    return any(value in content for content in _contents(data) for value in values)


def _contents(data: bytes) -> Iterator[bytes]:
    yield data
    if data.startswith(b"\x1f\x8b"):
        yield from _contents(gzip.decompress(data))
    elif data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield from _contents(archive.read(name))
    elif data.startswith(b"PAR1"):
        parquet = pq.ParquetFile(pa.BufferReader(data))
        yield from (_bytes(value) for column in parquet.read().columns for value in column.to_pylist())
        for group in range(parquet.num_row_groups):
            for number in range(parquet.metadata.num_columns):
                statistics = parquet.metadata.row_group(group).column(number).statistics
                if statistics is not None and statistics.has_min_max:
                    yield from (_bytes(statistics.min), _bytes(statistics.max))


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
