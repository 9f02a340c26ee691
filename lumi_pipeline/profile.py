"""The profile of a sealed day: how its events spread over the hours and the tenants.

Counted by DuckDB straight from the files that the manifest lists, so it owes nothing to the code that sealed the day.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from lumi_pipeline.lake import Lake, events_prefix
from lumi_pipeline.sealedday import current_files

HOURS: Final = 24

# Remainders first: a day before 1970 counts in negative microseconds, and division alone would round towards zero.
_COUNT: Final = """
SELECT tenant_id, ((epoch_us(recorded_at) % 86400000000 + 86400000000) % 86400000000) // 3600000000 AS hour, count(*)
FROM events GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class DayProfile:
    """Numbers of events of one day: by UTC hour of ``recorded_at`` (24 of them), and by tenant (idle ones left out)."""

    day: date
    by_hour: tuple[int, ...]
    by_tenant: Mapping[str, int]

    @property
    def events(self) -> int:
        """All events of the day."""
        return sum(self.by_hour)


def day_profile(lake: Lake, day: date) -> DayProfile:
    """Count the events in the files of a sealed day; the bytes of the files are not verified here.

    Raises :class:`~transparency.errors.ObjectMissing` when the day is not sealed, and
    :class:`~lumi_pipeline.errors.LakeError` when its manifest is not in form or a file can't be read.
    """
    files = [lake.locate(file.path) for file in current_files(lake, day)]
    by_hour = [0] * HOURS
    by_tenant: dict[str, int] = {}
    if files:
        with lake.searching(events_prefix(day)) as db:
            db.from_parquet(files, hive_partitioning=False).create_view("events")
            for tenant_id, hour, count in db.execute(_COUNT).fetchall():
                by_hour[hour] += count
                by_tenant[tenant_id] = by_tenant.get(tenant_id, 0) + count
    return DayProfile(day, tuple(by_hour), by_tenant)
