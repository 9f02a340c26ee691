"""Beginning a log that succeeds another, whose key was stolen: in a copy of its lake, with other keys and another name.

The copy holds the earlier days as they were sealed. The new log's genesis pins them, by the size and root at which it
takes the earlier log over, and the earlier log's own genesis is kept beside it: so everything that was sealed before
can be recomputed from the new lake alone (:func:`verify_earlier`), without believing anybody who has the old key.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from lumi_pipeline.days import day_range
from lumi_pipeline.errors import ConfigError, LakeError
from lumi_pipeline.genesis import GENESIS_KEY, read_genesis, write_genesis
from lumi_pipeline.lake import Lake, events_prefix, seal_prefix
from lumi_pipeline.landings import landed_prefix, landing_key
from lumi_pipeline.pruned import pruned_keys
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.superseding import LANDED_RECORDS, landing_records
from transparency.checkpoint import parse_signed_checkpoint, verify_checkpoint
from transparency.encoding import parse_day
from transparency.entries import Genesis, PreviousLog
from transparency.errors import EncodingError, EntryError, ObjectMissing, VerificationError
from transparency.history import History, read_history
from transparency.keys import VerifierKey
from transparency.logview import LogView
from transparency.merkle import leaf_hash, tree_root

_EARLIER: Final = "log-private/previous/"
"""The geneses of the logs before this one, each named after its first day."""


@dataclass(frozen=True, slots=True)
class Succession:
    """The ``genesis`` of a new log, what it takes over, and how many objects of later days were removed."""

    genesis: Genesis
    previous: PreviousLog
    last_day: date
    discarded: int


def succeed(
    lake: Lake, before: Lake, keys: tuple[VerifierKey, VerifierKey], checkpoint: bytes | None, *, discard: bool
) -> Succession:
    """Begin a log in ``lake``, a copy of the lake ``before`` without its log, that succeeds that one's.

    ``keys`` are the new log key and evidence key. ``checkpoint`` is the last one of the old log that is beyond doubt;
    without it the one that is public there. Sealed days that it does not cover are removed from the copy if ``discard``
    allows it; they are sealed anew from the outbox. Repeating it after a crash goes on from there.
    """
    view = LogView(before.store)
    data = checkpoint or view.checkpoint()
    if data is None:
        raise ConfigError("the log to succeed has no checkpoint; if nothing of it was public, begin a log without it")
    head = parse_signed_checkpoint(data).checkpoint
    history = read_history(view.tiles(head.size, head.root), head.origin)
    last = _last_day(history, data)
    previous = PreviousLog(head.origin, head.size, head.root)
    genesis = Genesis(keys[0].name, last + timedelta(days=1), *keys, previous)
    _check_new(genesis, history)
    _check_target(lake, genesis)
    verify_earlier(lake, history.genesis, previous)
    discarded = _discard_after(lake, last, discard=discard)
    for key in before.store.list(_EARLIER):
        lake.store.put_new(key, before.store.get(key))
    # A crash before the genesis leaves a copy that is no log yet; doing it again finds this there already.
    lake.store.put_new(f"{_EARLIER}{history.genesis.first_day}", history.genesis.encode())
    write_genesis(lake, genesis)
    return Succession(genesis, previous, last, discarded)


def earlier_logs(lake: Lake, genesis: Genesis) -> list[tuple[Genesis, PreviousLog]]:
    """The logs before this one, the latest first, each with what its successor pins of it."""
    found = []
    geneses = {}
    for key in lake.store.list(_EARLIER):
        try:
            geneses[parse_day(key.removeprefix(_EARLIER))] = Genesis.parse(lake.store.get(key))
        except (EncodingError, EntryError) as error:
            raise LakeError(f"{key} was altered: {error}; restore it from a backup") from None
    for first_day in sorted(geneses, reverse=True):
        if genesis.previous is None:
            raise LakeError(f"{_EARLIER}{first_day} is not of a log before this one; move it away")
        found.append((geneses[first_day], genesis.previous))
        genesis = geneses[first_day]
    if genesis.previous is not None:
        raise LakeError(f"the genesis of {genesis.previous.origin} is missing under {_EARLIER}; restore it")
    return found


def verify_earlier(lake: Lake, genesis: Genesis, previous: PreviousLog) -> list[date]:
    """Check that an earlier log's days in this lake are those that its successor pins; return them.

    Raises VerificationError ``previous``: a record is missing, or they don't give the root.
    """
    last = genesis.first_day + timedelta(days=previous.size - 2)
    days = list(day_range(genesis.first_day, last))
    try:
        records = lake.side_by_side(lake.store.get, [f"{seal_prefix(day)}day.txt" for day in days])
        leaves = [leaf_hash(genesis.encode()), *map(leaf_hash, records)]
    except ObjectMissing as error:
        raise VerificationError(
            "previous", f"{error}: copy it from the lake of the log before, {genesis.origin}"
        ) from None
    if genesis.origin != previous.origin or tree_root(leaves) != previous.root:
        raise VerificationError(
            "previous",
            f"the records of {genesis.first_day} to {last} are not those of the first {previous.size} entries of "
            f"{previous.origin}, which its successor pins: one of them was altered",
        )
    return days


def _last_day(history: History, checkpoint: bytes) -> date:
    """The last day of a log under this checkpoint, which one of its own keys has to have signed."""
    if history.last is None:
        raise ConfigError(f"{history.genesis.origin} has no day yet; begin a log without it")
    keys = [history.genesis.key, *(takeover.key for takeover in history.takeovers)]
    history.check_signers(verify_checkpoint(parse_signed_checkpoint(checkpoint), keys))
    return history.last.day


def _check_new(genesis: Genesis, history: History) -> None:
    """Another name and other keys: witnesses know a log by its name, and a thief keeps what he has."""
    old = history.genesis
    if genesis.origin == old.origin:
        raise ConfigError(f"a log can't succeed itself: set 'origin' to another name than {old.origin}")
    used = {key.public for key in (old.key, old.evidence_key)}
    used |= {takeover.key.public for takeover in (*history.takeovers, *history.evidence_takeovers)}
    for key in (genesis.key, genesis.evidence_key):
        if key.public in used:
            raise ConfigError(f"{key.vkey} is a key of the log before; make others with 'lumi keys new'")


def _check_target(lake: Lake, genesis: Genesis) -> None:
    found = read_genesis(lake)
    if found is not None and found != genesis:
        raise ConfigError(
            f"{GENESIS_KEY} is that of {found.origin}, first day {found.first_day}: 'root' has to be a copy without "
            "log/ and log-private/"
        )
    if found is None and any(True for prefix in ("log/", "log-private/commits/") for _ in lake.store.list(prefix)):
        raise ConfigError("'root' holds a log already; it has to be a copy without log/ and log-private/")


def _discard_after(lake: Lake, last: date, *, discard: bool) -> int:
    """Remove what was sealed after ``last``, and the landings it came from: they are landed and sealed anew."""
    later = [day for day in lake.sealed_days() if day > last]
    if not later:
        return 0
    if not discard:
        raise ConfigError(
            f"the copy has {len(later)} sealed day(s) that the checkpoint does not cover, from {later[0]} on; to have "
            "them sealed anew from the outbox, allow it with --discard-later"
        )
    pruned = sorted(pruned_keys(lake).keys() & set(later))
    if pruned:
        raise ConfigError(
            f"{pruned[0]} was pruned, so its events are nowhere any more and it can't be sealed anew; name a later "
            "checkpoint, which covers it. Nothing was discarded"
        )
    floor = load_sealed_day(lake, last).tenants.landing_floor
    doomed = [key for key in lake.store.list("landings/") if key >= landing_key(floor)]
    doomed += [key for key in lake.store.list("landed/") if key >= landed_prefix(floor)]
    doomed += [key for key in lake.store.list(LANDED_RECORDS) if key >= landing_records(floor)]
    for day in later:
        doomed += [*lake.store.list(events_prefix(day)), *lake.store.list(seal_prefix(day))]
    # Records last: as long as one is there, doing it again after a crash finds that there is something to remove.
    for key in sorted(doomed, key=lambda key: key.endswith("day.txt")):
        lake.discard(key)
    return len(doomed)
