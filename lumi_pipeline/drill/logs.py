"""Attacks on the public log: single objects, the checkpoint, and whole second logs made by who holds the log's key."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from lumi_pipeline.drill.attack import Area, Attack
from lumi_pipeline.drill.checks import FSCK, LOG, MONITOR, WITNESSED_LOG
from lumi_pipeline.drill.rows import change_cell
from lumi_pipeline.drill.scratch import Trial
from lumi_pipeline.drill.seals import Cover, edit_rows
from lumi_pipeline.genesis import GENESIS_KEY
from lumi_pipeline.lake import seal_prefix
from transparency.checkpoint import parse_signed_checkpoint, sign_checkpoint
from transparency.entries import DayRecord
from transparency.keys import SigningKey
from transparency.log import Log
from transparency.memorystore import MemoryStore

_Edit = Callable[[list[bytes]], list[bytes]]


def _flip(path: str) -> Callable[[Trial], None]:
    """Return the attack that changes a byte in the largest file under a path of the log."""

    def act(trial: Trial) -> None:
        key = max(trial.store.list(f"log/{path}"), key=lambda key: (len(trial.store.get(key)), key))
        data = trial.store.get(key)
        trial.store.put(key, data[:-40] + bytes([data[-40] ^ 1]) + data[-39:] if len(data) > 40 else data + b"\0")

    return act


def _resign(trial: Trial) -> None:
    checkpoint = parse_signed_checkpoint(trial.store.get("log/checkpoint")).checkpoint
    trial.store.put("log/checkpoint", sign_checkpoint(checkpoint, [trial.keys.stranger]))


def _set_back(trial: Trial) -> None:
    trial.store.put("log/checkpoint", trial.store.get(min(trial.store.list("log-private/cosigned/"))))


def _delete_checkpoint_tiles(trial: Trial) -> None:
    trial.store.delete(max(trial.store.list("log/tile/entries/"), key=lambda key: int(key.rpartition("/")[2])))


def entries_of(trial: Trial) -> list[bytes]:
    """Return the log's entries as the records beside the sealed days have them now."""
    size = trial.followed.head.size
    days = trial.pipeline.sealed_days()[: size - 1]
    return [trial.store.get(GENESIS_KEY), *(trial.store.get(f"{seal_prefix(day)}day.txt") for day in days)]


def put_second_log(trial: Trial, entries: Sequence[bytes], key: SigningKey, *, private: bool) -> None:
    """Put another log in the place of this one; with ``private`` its journal too, as its operator could."""
    made = MemoryStore()
    log = Log(made, [key])
    # In the same steps as the first one, so that no file of an earlier size is missing and gives it away.
    step = int(min(trial.store.list("log-private/cosigned/")).rpartition("/")[2])
    log.append(entries[:step])
    log.append(entries[step:])
    genesis = trial.store.get(GENESIS_KEY)
    prefixes = ("log/", "log-private/") if private else ("log/",)
    for prefix in prefixes:
        for old in list(trial.store.list(prefix)):
            trial.store.delete(old)
        for new in made.list(prefix):
            trial.store.put_new(new, made.get(new))
    if private:
        trial.store.put_new(GENESIS_KEY, genesis)


def _second_log(edit: _Edit) -> Callable[[Trial], None]:
    """Return the attack that shows visitors another log than the one kept, signed with the log's own key."""

    def act(trial: Trial) -> None:
        put_second_log(trial, edit(entries_of(trial)), trial.keys.log, private=False)

    return act


def _other_last(entries: list[bytes]) -> list[bytes]:
    record = DayRecord.parse(entries[-1])
    return [*entries[:-1], replace(record, map_root=hashlib.sha256(b"another history").digest()).encode()]


def _second_record(entries: list[bytes]) -> list[bytes]:
    record = DayRecord.parse(entries[-1])
    return [*entries, replace(record, index=record.index + 1).encode()]


def _wrong_index(entries: list[bytes]) -> list[bytes]:
    return [*entries[:-1], replace(DayRecord.parse(entries[-1]), index=len(entries) + 6).encode()]


def _stranger_log(trial: Trial) -> None:
    put_second_log(trial, entries_of(trial), trial.keys.stranger, private=False)


def rewrite_everything(trial: Trial) -> None:
    """Be the operator as a whole: change a cell, then every hash, record, proof, the log and its journal."""
    edit_rows(change_cell, Cover.HASHES)(trial)
    put_second_log(trial, entries_of(trial), trial.keys.log, private=True)


_EVERYTHING: Final = "Everything rewritten, under the log's own key"

ATTACKS: Final = (
    Attack("tile", Area.LOG, "A byte changed in a tile of hashes", _flip("tile/0/"), (FSCK,)),
    Attack("entries", Area.LOG, "A byte changed in a bundle of entries", _flip("tile/entries/"), (FSCK,)),
    Attack("entries-deleted", Area.LOG, "A bundle of entries deleted", _delete_checkpoint_tiles, (FSCK,)),
    Attack("checkpoint-key", Area.LOG, "The checkpoint signed with another key of the same name", _resign, (FSCK,)),
    Attack("checkpoint-back", Area.LOG, "The checkpoint set back to an earlier one", _set_back, (FSCK,)),
    Attack("other-log", Area.LOG, "The same log signed by somebody else under its name", _stranger_log, (LOG,)),
    Attack(
        "second-record",
        Area.LOG,
        "A second record of a day, with the log's own key",
        _second_log(_second_record),
        (LOG,),
    ),
    Attack("index", Area.LOG, "A record at an index that is not its day's", _second_log(_wrong_index), (LOG,)),
    Attack(
        "split-view",
        Area.LOG,
        "A second log under its own key shown instead: a split view",
        _second_log(_other_last),
        (FSCK,),
    ),
    Attack(
        "split-view-kept",
        Area.LOG,
        f"{_EVERYTHING}; shown to who followed the log before",
        rewrite_everything,
        (MONITOR,),
    ),
    Attack(
        "split-view-witness",
        Area.LOG,
        f"{_EVERYTHING}; shown to who names a witness",
        rewrite_everything,
        (WITNESSED_LOG,),
    ),
)
