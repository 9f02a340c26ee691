"""The lease of a destination: who delivers to it, and until when that is promised.

A numbered journal: whoever creates the next number holds the lease until the time it names. It is renewed the same way
long before; a holder that died is followed by the next process once its time is over. Clocks may differ by
:data:`SKEW`. What a holder must not do after its time is begin a request, so it asks before each.
"""

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Final, Self

from lumi_pipeline.errors import LeaseHeld
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from lumi_pipeline.siem.journal import Journal, Overtaken
from lumi_pipeline.siem.processes import for_people, has_ended, this_process
from transparency.encoding import format_timestamp, parse_timestamp
from transparency.errors import ObjectMissing

LEASE_FORMAT: Final = "lumi/siem-lease/v1"
SKEW: Final = timedelta(seconds=15)
LONGEST: Final = timedelta(hours=1)
"""No lease is as long: the longest is taken for two requests of ten minutes each."""

_FIELDS: Final = frozenset({"holder", "until", "where"})


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease, ``where`` in words for people, until when."""

    holder: str
    where: str
    until: datetime


def current_holder(lake: Lake, destination: str) -> Holder | None:
    """Who held the lease last; None when nobody ever did."""
    journal = _journal(lake, destination)
    number = journal.last()
    return None if number is None else _read(journal, number)


class Lease:
    """The lease of a destination, held while the ``with`` block lasts. Threads may share it.

    Raises :class:`~lumi_pipeline.errors.LeaseHeld` where another process holds it. With ``follow_ended`` one that is
    known to run no more is followed at once; that is for who sends nothing, as its last request may still arrive.
    """

    def __init__(
        self,
        lake: Lake,
        destination: str,
        clock: Callable[[], datetime],
        length: timedelta,
        *,
        follow_ended: bool = False,
    ) -> None:
        self.holder = secrets.token_hex(8)
        self._destination = destination
        self._journal = _journal(lake, destination)
        self._clock = clock
        self._length = length
        self._follow_ended = follow_ended
        self._where = this_process(socket.gethostname())
        self._number = -1
        self._until = clock()
        self._lock = Lock()
        self._lake = lake

    def __enter__(self) -> Self:
        now = self._clock()
        last = self._journal.last()
        if last is not None:
            found = _read(self._journal, last)
            # What is longer than any lease was written by a clock that was wrong, and would stop delivery until then.
            # Should its holder be alive, its next renewal finds our number, and the ledger what both have sent.
            if found is not None and now < found.until + SKEW <= now + LONGEST and not self._follows(found):
                raise self._held(found)
        self._number = -1 if last is None else last
        self._write(now + self._length)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock, suppress(LeaseHeld):
            # A crash before this leaves a lease that the next process waits for.
            self._write(self._clock() - SKEW)

    def assure(self, duration: timedelta) -> None:
        """Make sure that the lease is ours for so long from now on, renewing it where it is not.

        Raises :class:`~lumi_pipeline.errors.LeaseHeld` when it was lost; then nothing may be begun.
        """
        with self._lock:
            now = self._clock()
            if now + duration + SKEW > self._until:
                if now > self._until:
                    # Somebody may hold it by now, and have begun: only the ledger could tell, and it will.
                    raise LeaseHeld(f"{self._destination}: the lease ran out before it was renewed; run again")
                self._write(now + max(self._length, duration + 2 * SKEW))

    def _write(self, until: datetime) -> None:
        fields = {"holder": self.holder, "until": format_timestamp(until), "where": self._where}
        try:
            self._journal.append(self._number + 1, encode_sealed(LEASE_FORMAT, {**fields}))
        except Overtaken:
            raise self._held(_read(self._journal, self._number + 1)) from None
        if self._journal.reaches(self._number + 2):
            # Whoever was asleep while others took it and went on finds a number free that was removed since.
            raise self._held(current_holder(self._lake, self._destination))
        self._number, self._until = self._number + 1, until
        # The last one says it all; the one before stays for whoever is reading it right now.
        if self._number > 1:
            self._lake.discard(self._journal.key(self._number - 2))

    def _follows(self, found: Holder) -> bool:
        return self._follow_ended and has_ended(found.where)

    def _held(self, found: Holder | None) -> LeaseHeld:
        if found is None:
            return LeaseHeld(f"{self._destination}: another process delivers to it right now")
        until = format_timestamp(found.until)
        return LeaseHeld(
            f"{self._destination}: {for_people(found.where)} delivers to it right now, and holds it until {until}"
        )


def _journal(lake: Lake, destination: str) -> Journal:
    return Journal(lake.store, f"siem/{destination}/lease/")


def _read(journal: Journal, number: int) -> Holder | None:
    try:
        data = journal.read(number)
    except ObjectMissing:  # renewed, and removed, since it was listed
        return None
    value = parse_sealed(LEASE_FORMAT, data, _FIELDS, journal.key(number))
    return Holder(json_text(value["holder"]), json_text(value["where"]), parse_timestamp(json_text(value["until"])))
