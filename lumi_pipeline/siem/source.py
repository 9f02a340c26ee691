"""What there is to deliver: landed rows of chosen tenants and seqs, wherever in the lake they lie."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

import pyarrow as pa

from lumi_pipeline.chain import Gap
from lumi_pipeline.erasure.orders import steps_taken
from lumi_pipeline.errors import ConcurrentRun, ErasureMeanwhile, LakeError, SiemError
from lumi_pipeline.lake import Lake
from lumi_pipeline.landedrows import LandedRows
from lumi_pipeline.landings import Cursor, last_landing, read_cursors
from lumi_pipeline.prunedgaps import first_pruned, read_gaps
from lumi_pipeline.sealedday import SealedDay, load_sealed_day


@dataclass(frozen=True)
class Source:
    """The lake as it is now: sealed ``days``, and how far each tenant was landed (``cursors``)."""

    lake: Lake
    days: tuple[date, ...]
    last: SealedDay | None
    cursors: Mapping[str, Cursor]
    landings: int
    """Number of landings: the first that is not among what the cursors say."""
    erasures: int
    """How far erasures had come (:func:`~lumi_pipeline.erasure.orders.steps_taken`)."""

    @classmethod
    def open(cls, lake: Lake, days: tuple[date, ...]) -> "Source":
        """Look at a lake whose sealed days are these."""
        with _overtaken_or_damaged(lake, days):
            erasures = steps_taken(lake)
            last = load_sealed_day(lake, days[-1]) if days else None
            tenants = last.tenants if last else None
            # The number first: a landing that is committed in between is in the cursors, and looked at again next time.
            found = last_landing(lake, tenants.landing_floor if tenants else 0)
            return cls(
                lake, days, last, read_cursors(lake, tenants), found.landing.number + 1 if found else 0, erasures
            )

    def check_unchanged(self) -> None:
        """Raise :class:`~lumi_pipeline.errors.ErasureMeanwhile` if an erasure went on since the lake was looked at.

        Rows that were read before it may hold what it erases, so they must not be written anywhere.
        """
        if steps_taken(self.lake) != self.erasures:
            raise ErasureMeanwhile

    def first_seqs(self, day: date) -> Mapping[str, int]:
        """The seq that each tenant's ``day`` may begin with: no event of that day or later has a lower one.

        Exact for sealed days; for later ones that of the first day that is not sealed. A tenant that is not named
        begins at 0.
        """
        before = [sealed for sealed in self.days if sealed < day]
        if not before:
            return {}
        sealed = (
            self.last if self.last and before[-1] == self.last.record.day else load_sealed_day(self.lake, before[-1])
        )
        return {tenant_id: tenant.record.next for tenant_id, tenant in sealed.tenants.tenants.items()}

    def next_seqs(self, day: date) -> Mapping[str, int]:
        """The seq behind each tenant's last one that ``day`` may hold."""
        if self.last is None or day >= self.last.record.day + timedelta(days=1):
            return {tenant_id: cursor.next_seq for tenant_id, cursor in self.cursors.items()}
        return self.first_seqs(day + timedelta(days=1))

    @cached_property
    def gaps(self) -> Mapping[str, Sequence[Gap]]:
        """Where chains have gaps because days of theirs were pruned."""
        return read_gaps(self.lake, self.days)

    def rows(
        self, ranges: Mapping[str, tuple[int, int]], landing: int = 0, *, around_pruned: bool = False
    ) -> Iterator[pa.Table]:
        """Yield the rows of tenant → (first, next) seqs, sorted by (tenant_id, seq), in tables of bounded size.

        Landings before number ``landing`` are not looked at. With ``around_pruned`` rows that were pruned are left out,
        and whoever asks so has to say it. Raises :class:`~lumi_pipeline.errors.ConcurrentRun` when
        another run has sealed a day since, and cleared away what was landed of it, and
        :class:`~lumi_pipeline.errors.SiemError` when some of them were pruned.
        """
        gone = None if around_pruned else first_pruned(self.lake, self.days, ranges)
        if gone is not None:
            raise SiemError(
                f"the events of tenant {gone[1]} of {gone[0]} were pruned under policy, so they can't be delivered any "
                f"more; begin after that day: since = {gone[0] + timedelta(days=1)}"
            )
        cursors = {t: replace(self.cursors[t], next_seq=after) for t, (_, after) in ranges.items()}
        firsts = {t: first for t, (first, _) in ranges.items()}
        try:
            with (
                _overtaken_or_damaged(self.lake, self.days),
                LandedRows(self.lake, self.days, cursors, firsts, landing) as rows,
            ):
                yield from rows.tables()
        except LakeError:
            self.check_unchanged()  # an erasure replaces files, which is no damage
            raise

    @cached_property
    def counts(self) -> int:
        """Number of events that were landed."""
        return sum(cursor.next_seq for cursor in self.cursors.values())


@contextmanager
def _overtaken_or_damaged(lake: Lake, days: Sequence[date]) -> Iterator[None]:
    """Tell another run's work from damage: the landings of a day that it sealed are cleared away."""
    try:
        yield
    except LakeError:
        sealed = lake.sealed_days()
        if sealed and (not days or sealed[-1] > days[-1]):
            raise ConcurrentRun(
                f"another run sealed {sealed[-1]} meanwhile; run again to carry on from there"
            ) from None
        raise
