"""Which keys a log has, and when: the rotations that were ordered, held against the day records that announce them.

An order is an object, ``log-private/rotations/<day>-<role>``, created only if absent: the key is to be announced by the
first record that is sealed from that day on. From then on the records decide (``transparency/rotation.py``), and the
order is what tells where to look, so that nobody has to read every record there is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Final

from lumi_pipeline.days import day_range
from lumi_pipeline.errors import ConcurrentRun, LakeError
from lumi_pipeline.lake import Lake
from lumi_pipeline.sealedday import read_day_record
from transparency.encoding import parse_day
from transparency.entries import DayRecord, Genesis, day_at
from transparency.errors import FormatError, ObjectConflict
from transparency.keys import SigningKey, VerifierKey
from transparency.rotation import Takeover, signing_keys

ORDERS: Final = "log-private/rotations/"
_MAX_ORDER: Final = 4096


class Role(Enum):
    """What a key is for."""

    LOG = "log"
    EVIDENCE = "evidence"

    def first(self, genesis: Genesis) -> VerifierKey:
        """The key that the log began with."""
        return genesis.key if self is Role.LOG else genesis.evidence_key

    def announced(self, record: DayRecord) -> VerifierKey | None:
        """The key that a record announces."""
        return record.next_key if self is Role.LOG else record.next_evidence_key


@dataclass(frozen=True, slots=True)
class Rotation:
    """A key that was ordered to take over. ``takeover`` is None until a record has announced it."""

    role: Role
    ordered: date
    key: VerifierKey
    takeover: Takeover | None


def order_rotation(lake: Lake, role: Role, day: date, key: VerifierKey) -> None:
    """Order that the first record from ``day`` on announces ``key``, durably, unless another key was ordered."""
    try:
        # A crash before this leaves a key file that nobody knows of, and ordering again uses it; a crash after it
        # leaves an order that the next seal carries out.
        lake.store.put_new(_order_key(role, day), f"{key.vkey}\n".encode())
    except ObjectConflict:
        raise ConcurrentRun(
            f"another {role.value} key was ordered at the same time; look again: lumi keys show"
        ) from None


def read_rotations(lake: Lake, last: date | None) -> list[Rotation]:
    """The rotations that were ordered, in order; ``last`` is the last day whose record may be looked at."""
    return [_read_rotation(lake, key, last) for key in lake.store.list(ORDERS)]


def pending_rotations(lake: Lake, last: date | None) -> list[Rotation]:
    """The rotations that no record up to that of ``last`` has announced yet, in order."""
    return [rotation for rotation in read_rotations(lake, last) if rotation.takeover is None]


def due(pending: Sequence[Rotation], day: date) -> dict[Role, VerifierKey]:
    """The keys that the record of ``day`` has to announce: of each role the one that was ordered first."""
    keys: dict[Role, VerifierKey] = {}
    for rotation in pending:
        if rotation.ordered <= day:
            keys.setdefault(rotation.role, rotation.key)
    return keys


def restore_orders(lake: Lake, days: Sequence[date]) -> None:
    """Order again what the records of these days have announced: for a log whose private objects were lost."""
    for day in days:
        record = read_day_record(lake, day)
        for role in Role:
            key = role.announced(record)
            if key is not None:
                order_rotation(lake, role, day, key)


class KeyHistory:
    """Which keys sign for one log at each of its sizes. What was read once of a size is remembered."""

    def __init__(self, lake: Lake, genesis: Genesis) -> None:
        self._lake = lake
        self._genesis = genesis
        self._known: dict[int, tuple[list[Rotation], DayRecord | None]] = {}

    def keys(self, role: Role, size: int) -> tuple[VerifierKey, ...]:
        """The keys that sign when the log has ``size`` entries, the oldest first."""
        rotations, last = self._at(size)
        takeovers = [rotation.takeover for rotation in rotations if rotation.role is role and rotation.takeover]
        return signing_keys(role.first(self._genesis), takeovers, last)

    def _at(self, size: int) -> tuple[list[Rotation], DayRecord | None]:
        if size not in self._known:
            day = day_at(self._genesis.first_day, size - 1) if size > 1 else None
            rotations = read_rotations(self._lake, day)
            announced = day is not None and any(rotation.takeover for rotation in rotations)
            self._known[size] = rotations, read_day_record(self._lake, day) if day and announced else None
        return self._known[size]


@dataclass(frozen=True, slots=True)
class LogSigners:
    """Who signs a log's checkpoints, as :class:`transparency.log.Log` asks. ``find`` has the secret halves."""

    genesis: Genesis
    history: KeyHistory
    find: Callable[[VerifierKey], SigningKey]

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.genesis.origin

    def verifiers(self, size: int) -> tuple[VerifierKey, ...]:
        """The public halves of the keys that sign a checkpoint of this size."""
        return self.history.keys(Role.LOG, size)

    def keys(self, size: int) -> list[SigningKey]:
        """The keys; :class:`~lumi_pipeline.errors.ConfigError` when one is not here."""
        return [self.find(key) for key in self.verifiers(size)]


def _order_key(role: Role, day: date) -> str:
    return f"{ORDERS}{day.isoformat()}-{role.value}"


def _read_rotation(lake: Lake, key: str, last: date | None) -> Rotation:
    try:
        day, role = parse_day(key.removeprefix(ORDERS)[:10]), Role(key.removeprefix(ORDERS)[11:])
        data = lake.store.get(key)
        vkey = VerifierKey.parse(data[:_MAX_ORDER].decode("ascii", errors="replace").removesuffix("\n"))
        if key != _order_key(role, day) or data != f"{vkey.vkey}\n".encode():
            raise ValueError
    except (FormatError, ValueError):
        raise LakeError(f"{key} was altered: it is no order to replace a key; restore it from a backup") from None
    return Rotation(role, day, vkey, _takeover(lake, role, day, vkey, last))


def _takeover(lake: Lake, role: Role, ordered: date, key: VerifierKey, last: date | None) -> Takeover | None:
    if last is None:
        return None
    for day in day_range(ordered, last):
        if role.announced(read_day_record(lake, day)) == key:
            after = day + timedelta(days=1)
            begun = read_day_record(lake, after).sealed.date() if after <= last else None
            return Takeover(key, day, begun)
    return None
