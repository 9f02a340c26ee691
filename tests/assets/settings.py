"""``dagster.yaml`` as it is, and with the PostgreSQL storage that it describes in a comment."""

import re
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SETTINGS: Final = (REPOSITORY / "dagster.yaml").read_text(encoding="utf-8")


def with_postgresql() -> str:
    """The file's own text, its SQLite storage replaced as it says: by the lines that are commented out."""
    [variant] = re.findall(r"(?m)(^# storage:\n(?:#   .*\n)+)", SETTINGS)
    uncommented = re.sub("(?m)^# ?", "", variant)
    text, replaced = re.subn(r"(?m)^storage:\n(?:  .*\n)+", uncommented, SETTINGS)
    assert replaced == 1
    return text
