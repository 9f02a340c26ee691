"""Rows of landings in the order of (tenant_id, seq), without sorting them.

A landing's rows are in that order already, and a tenant's rows of one landing follow those of the landing before. Where
nothing was missing or out of place when it was landed, it is even known in which row of its files each seq is. Should a
file say otherwise, the rows come out as they lie there, and whoever verifies their chains will find breaks.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, Self

from lumi_pipeline.cutting import ROW_GROUP_ROWS, SMALL_GROUPS, GroupSize
from lumi_pipeline.landings import LandedTenant, Landing
from lumi_pipeline.records import StoredFile
from lumi_pipeline.rowgroups import row_groups
from lumi_pipeline.stretches import HELD_BYTES, Stretch

_LANDINGS: Final = HELD_BYTES // SMALL_GROUPS.size
"""As many as there may be, if of each a row group is held."""

_SPARSE: Final = 4
"""Decoding so many rows for each that is wanted costs more than sorting."""

_FEW_ROWS: Final = 4 * ROW_GROUP_ROWS
"""Rows that are decoded so fast that it does not matter for how many."""


class LandedMerge:
    """Where the rows of intact landings lie."""

    def __init__(self, landings: Sequence["_IntactLanding"]) -> None:
        self._landings = landings

    @classmethod
    def plan(cls, landings: Sequence[tuple[Landing, Sequence[LandedTenant], Sequence[str]]]) -> Self | None:
        """Look at landings, each with its tenants and with the places of its event files.

        None if rows of one of them are missing or out of place, or if they are too many to be merged in little memory.
        """
        found = [landing for landing in landings if landing[0].files]
        if len(found) > _LANDINGS or not all(_is_intact(landing, tenants) for landing, tenants, _ in found):
            return None
        merged = []
        for landing, tenants, places in found:
            groups = [row_groups(place) for place in places]
            merged.append(_IntactLanding(landing.event_files, groups, tenants))
        return cls(merged) if sum(landing.largest_group for landing in merged) <= HELD_BYTES else None

    def stretches(self, wanted: Mapping[str, tuple[int, int]]) -> Iterator[Stretch] | None:
        """Yield where the rows of these tenants are that have the first seq given up to before the second, in order.

        None if they are few among those that would be decoded for them, as one day's are in a long backlog of many
        tenants: a query that sorts them looks for them first, and decodes less.
        """
        rows = decoded = 0
        last: dict[int, tuple[StoredFile, int]] = {}
        for found in self._stretches(wanted):
            rows += found.after - found.first
            for number, count in self._landings[found.stream].groups_with(found):
                if last.get(found.stream) != (found.file, number):
                    last[found.stream] = (found.file, number)
                    decoded += count
        return None if decoded > max(_FEW_ROWS, rows * _SPARSE) else self._stretches(wanted)

    def _stretches(self, wanted: Mapping[str, tuple[int, int]]) -> Iterator[Stretch]:
        for tenant_id in sorted(wanted):
            for stream, landing in enumerate(self._landings):
                for file, rows in landing.files_with(tenant_id, *wanted[tenant_id]):
                    yield Stretch(tenant_id, stream, file, rows.start, rows.stop)


class _IntactLanding:
    """One landing: in which of its rows each tenant begins, and at which row each file ends, and each row group."""

    def __init__(
        self, files: Sequence[StoredFile], groups: Sequence[Sequence[GroupSize]], tenants: Sequence[LandedTenant]
    ) -> None:
        self.largest_group = max((group.size for of_file in groups for group in of_file), default=0)
        self._groups = {
            file: list(accumulate(group.rows for group in of_file)) for file, of_file in zip(files, groups, strict=True)
        }
        self._files = files
        self._ends = list(accumulate(file.rows for file in files))
        ordered = sorted(tenants, key=lambda tenant: tenant.tenant_id)
        begins = accumulate((tenant.rows for tenant in ordered), initial=0)
        self._tenants = {tenant.tenant_id: (begin, tenant) for begin, tenant in zip(begins, ordered, strict=False)}

    def files_with(self, tenant_id: str, first: int, after: int) -> Iterator[tuple[StoredFile, range]]:
        """Yield the files that hold rows of a tenant with these seqs, and the numbers of those rows in them."""
        begin, tenant = self._tenants.get(tenant_id, (0, None))
        if tenant is None:
            return
        start = begin + max(first, tenant.first) - tenant.first
        stop = begin + min(after, tenant.cursor.next_seq) - tenant.first
        while start < stop:
            number = bisect_right(self._ends, start)
            file, end = self._files[number], self._ends[number]
            begin = end - file.rows
            yield file, range(start - begin, min(stop, end) - begin)
            start = end

    def groups_with(self, found: Stretch) -> Iterator[tuple[int, int]]:
        """Yield the numbers of the row groups that hold rows of a stretch, and how many rows each has."""
        ends = self._groups[found.file]
        for number in range(bisect_right(ends, found.first), min(bisect_left(ends, found.after) + 1, len(ends))):
            yield number, ends[number] - (ends[number - 1] if number else 0)


def _is_intact(landing: Landing, tenants: Sequence[LandedTenant]) -> bool:
    files = landing.event_files
    return (
        landing.breaks is None
        and sum(file.rows for file in files) == sum(tenant.rows for tenant in tenants)
        and all(0 <= tenant.rows == tenant.cursor.next_seq - tenant.first for tenant in tenants)
        # A commit object that was altered may list anything.
        and len(set(files)) == len(files)
        and len({tenant.tenant_id for tenant in tenants}) == len(tenants)
    )
