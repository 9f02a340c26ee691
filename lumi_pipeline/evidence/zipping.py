"""The bundle as one ZIP file: the same files, the same bytes whenever it is made."""

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_WHEN: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a ZIP file can name: none that would differ from run to run."""

_LEVEL: Final = 1


def write_zip(folder: Path, names: Sequence[str], target: Path) -> None:
    """Write these files of a folder to a ZIP file, in this order; to one that is there already they are added.

    Whether they are written at once or a few at a time, the same bytes come of it.
    """
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, _WHEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16  # a regular file
            with (folder / name).open("rb") as file, archive.open(entry, "w", force_zip64=True) as packed:
                shutil.copyfileobj(file, packed, 1 << 20)
