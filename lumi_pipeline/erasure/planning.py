"""Which events an erasure is about, and whether it can be carried out: found out before anything is touched.

What is chosen was verified: every file that holds a chosen event is read in full against its SHA-256, and a row counts
only if its columns give its hashes. So what is refused is refused now, and not halfway.

A payload that is gone already, and that nothing ordered to be erased, was taken away by somebody else. It is an erasure
only where the operator asks for exactly that, and the order then says what was found.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.days import DAY_MICROS
from lumi_pipeline.erasure.eventfiles import EventFiles, FoundRow
from lumi_pipeline.erasure.holds import Hold
from lumi_pipeline.erasure.orders import MAX_EVENTS, Gone, Place, Selector
from lumi_pipeline.errors import ErasureError
from lumi_pipeline.events import EVENT_ID_SYNTAX, PAYLOAD_COLUMNS, TENANT_ID_SYNTAX, from_micros
from lumi_pipeline.lake import Lake, check_values, reading
from lumi_pipeline.rowhash import digest_column, recompute_hashes
from lumi_pipeline.stores.purging import kept_by
from transparency.encoding import excerpt

_NAMED: Final = 5

Marks = Callable[[Sequence[int]], Mapping[int, int | None]]
"""Looks rows up in the outbox by seq: when each was erased as a whole (µs), None where it was not."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What to erase: all events of a tenant by one actor, or those of these ids.

    ``already_gone``: those whose payload neither outbox nor lake has any more, which nothing had ordered.
    """

    tenant_id: str
    actor_id: str | None = None
    event_ids: tuple[str, ...] = ()
    already_gone: bool = False

    @property
    def selector(self) -> Selector:
        """What the audit event says of it."""
        return Selector.EVENT if self.actor_id is None else Selector.ACTOR

    def check(self, operator_tenant: str) -> None:
        """Raise :class:`~lumi_pipeline.errors.ErasureError` unless it is in form."""
        if (self.actor_id is None) == (not self.event_ids):
            raise ErasureError("an erasure is about one actor, or about events by their ids, and not both")
        if not TENANT_ID_SYNTAX.fullmatch(self.tenant_id):
            raise ErasureError(f"{excerpt(self.tenant_id)} is not a tenant id")
        if self.tenant_id == operator_tenant:
            raise ErasureError(
                f"{self.tenant_id} is the operator's own tenant: what the operator did is what erasures themselves are "
                "proved by, so it is never erased"
            )
        if self.actor_id is not None and not self.actor_id.strip():
            raise ErasureError("the actor's id is empty; nothing was erased")
        for event_id in self.event_ids:
            if not EVENT_ID_SYNTAX.fullmatch(event_id):
                raise ErasureError(f"{excerpt(event_id)} is not an event id: a UUID in lower case is expected")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The events of a selection: those to be erased, by seq, and how many were erased before or are held.

    ``files`` and ``size`` are the files of the lake that hold them, and their bytes; ``days`` the UTC days. ``gone`` is
    what is gone of them already, without an order.
    """

    events: Mapping[int, str]
    days: tuple[date, ...]
    erased_before: int
    held: Mapping[Hold, int]
    files: int
    size: int
    gone: Gone = field(default_factory=dict)


def choose(  # noqa: PLR0917 - the places, what is looked for, and what stands in its way
    lake: Lake,
    files: EventFiles,
    marks: Marks,
    selection: Selection,
    holds: Sequence[Hold],
    ordered: Collection[int],
) -> Chosen:
    """Find and verify the events of a selection; those at ``ordered`` seqs were erased before.

    Raises :class:`~lumi_pipeline.errors.ErasureError` when an event is not there, or can't be erased, and
    :class:`~lumi_pipeline.errors.LakeError` when a file that holds one is not what was committed.
    """
    wanted = selection.actor_id if selection.actor_id is not None else selection.event_ids
    found = list(files.rows(selection.tenant_id, wanted))
    committed = [row for row in found if files.files[row.path][0].scope != "rebases/"]
    _check_found(selection, {row.event_id for row in committed})
    rows = {row.seq: row for row in committed if row.seq not in ordered}
    erased_before = len({row.seq for row in committed} - rows.keys())
    found_in = _states(rows, committed, marks)
    # A rebase may have taken the only copy that is left out of the outbox.
    taken_out = [row for row in found if files.files[row.path][0].scope == "rebases/"]
    aside = {row.event_id for row in taken_out if row.erased_at is None}
    rows = _gone_or_not(selection, rows, found_in, aside)
    held: Counter[Hold] = Counter()
    free = {}
    for seq, row in sorted(rows.items()):
        hold = next((h for h in holds if h.covers(selection.tenant_id, row.actor_id, row.recorded_at)), None)
        if hold is None:
            free[seq] = row
        else:
            held[hold] += 1
    if len(free) > MAX_EVENTS:
        raise ErasureError(
            f"{len(free):,} events are more than one erasure can name ({MAX_EVENTS:,}); give --event ids"
        )
    events = {seq: row.event_id for seq, row in free.items()}
    ids = set(events.values())
    paths = sorted({row.path for row in found if row.event_id in ids and row.erased_at is None})
    _check_locks(lake, paths)
    for path in sorted({row.path for row in found if row.event_id in ids}):
        _check_file(files, path, selection, ids)
    return Chosen(
        events,
        tuple(sorted({from_micros(row.recorded_at // DAY_MICROS * DAY_MICROS).date() for row in free.values()})),
        erased_before,
        held,
        len(paths),
        sum(files.files[path][1].size for path in paths),
        {
            place: {seq: from_micros(at) for seq, at in state.items() if at is not None and seq in events}
            for place, state in found_in.items()
        },
    )


def _states(rows: Collection[int], committed: Sequence[FoundRow], marks: Marks) -> dict[Place, dict[int, int | None]]:
    """When each of these rows was erased, by place and seq, though nothing ordered it; None where it was not."""
    lake: dict[int, int | None] = {}
    for row in committed:
        if row.seq in rows:
            # One copy that still has the payload is enough to have it.
            lake[row.seq] = row.erased_at if row.seq not in lake or row.erased_at is None else lake[row.seq]
    return {Place.LAKE: lake, Place.OUTBOX: dict(marks(sorted(rows)))}


def _gone_or_not(
    selection: Selection,
    rows: Mapping[int, FoundRow],
    found_in: Mapping[Place, Mapping[int, int | None]],
    aside: Collection[str],
) -> dict[int, FoundRow]:
    """The rows that are gone, or those that are not, as the selection asks; raise where it asks for the wrong ones.

    Of events ``aside`` the lake has the payload, though not in its rows. A payload that nobody ordered to be erased is
    no erasure, and must not look like one by mistake.
    """
    there = {place: {seq for seq, at in state.items() if at is None} for place, state in found_in.items()}
    there[Place.LAKE] |= {seq for seq, row in rows.items() if row.event_id in aside}
    left = set().union(*there.values())
    gone = [row for seq, row in sorted(rows.items()) if seq not in left]
    if gone and not selection.already_gone:
        ids = ", ".join(row.event_id for row in gone[:_NAMED])
        more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
        raise ErasureError(
            f"the payload of tenant {selection.tenant_id} seq {gone[0].seq} is gone, and nothing ordered that; "
            "'lumi verify --all' says more. The lake was given it like that, so no backup brings it back there: put on "
            f"record that it is gone, with --already-gone (event {ids}{more}). Nothing was touched"
        )
    if selection.already_gone and selection.event_ids and left:
        seq = min(left)
        places = " and the ".join(place.value for place in Place if seq in there[place])
        raise ErasureError(
            f"tenant {selection.tenant_id} seq {seq} is not gone: the {places} does not have it as erased as a whole. "
            "--already-gone is for what is gone everywhere, so leave it out, or erase it without; nothing was touched"
        )
    return {row.seq: row for row in gone} if selection.already_gone else dict(rows)


def _check_found(selection: Selection, known: set[str]) -> None:
    lacking = [event_id for event_id in selection.event_ids if event_id not in known]
    if lacking:
        shown = ", ".join(lacking[:_NAMED]) + (" …" if len(lacking) > _NAMED else "")
        raise ErasureError(
            f"tenant {selection.tenant_id} has no event {shown} that was landed; nothing was erased. Correct the ids, "
            "or the tenant"
        )


def _check_locks(lake: Lake, paths: Sequence[str]) -> None:
    kept = {path: reason for path in paths if (reason := kept_by(lake.store, path)) is not None}
    if kept:
        path, reason = max(kept.items(), key=lambda item: item[1])
        raise ErasureError(
            f"{len(kept)} file(s) that hold these events can't be deleted by anybody yet: {path} is under {reason}. "
            "Nothing was touched; run this again then"
        )


def _check_file(files: EventFiles, path: str, selection: Selection, events: set[str]) -> None:
    """Check a file's SHA-256, and that the chosen rows in it are what their hashes say, or erased as a whole."""
    folder, file = files.files[path]
    with reading(path):
        table = files.lake.open_events(file).read()
        check_values(table, path)
    chosen = pc.and_(
        pc.equal(table.column("tenant_id"), pa.scalar(selection.tenant_id)),
        pc.is_in(table.column("event_id"), pa.array(sorted(events), pa.string())),
    )
    rows = table.filter(chosen)
    if folder.scope == "rebases/" or not len(rows):
        return  # what a rebase took out may be broken; that is why it was taken out
    payload, integrity = recompute_hashes(rows)
    bad = (payload != digest_column(rows.column("payload_hash"))).any(axis=1)
    bad |= (integrity != digest_column(rows.column("integrity_hash"))).any(axis=1)
    # What is marked as erased is not looked for in files, so with a payload left it would stay, and look forgotten.
    bad |= pc.is_valid(rows.column("erased_at")).to_numpy()
    # Nothing can be taken away from what is gone, so it does not matter what else was done to such a row.
    bad &= ~_is_blank(rows)
    if bad.any():
        seq = rows.column("seq")[int(np.flatnonzero(bad)[0])].as_py()
        raise ErasureError(
            f"tenant {selection.tenant_id} seq {seq} is not the row that was recorded: its hashes do not recompute. "
            "Erasing it would take away what its day was sealed with, so it can't be; nothing was touched. "
            f"{'Choose other events with --event' if selection.actor_id else 'Leave it out'}"
        )


def _is_blank(rows: pa.Table) -> npt.NDArray[np.bool_]:
    """Which rows are marked as erased and hold nothing of their payload."""
    blank = pc.is_valid(rows.column("erased_at"))
    for name in PAYLOAD_COLUMNS:
        blank = pc.and_(blank, pc.is_null(rows.column(name)))
    return np.asarray(blank.to_numpy(), np.bool_)
