"""Whether a store can be read and written, and whether its create-only puts decide, as every commit relies on."""

import errno
import threading
from collections.abc import Iterator
from functools import partial
from typing import Final

from lumi_pipeline.doctor.examination import Examination, Place
from lumi_pipeline.doctor.findings import Check, Finding, ok, problem
from lumi_pipeline.doctor.probes import probing, sweep
from transparency.errors import ObjectConflict, StoreError
from transparency.store import ObjectStore

_REMEDIES: Final = {
    errno.EACCES: "give the pipeline's user the right to write there",
    errno.EDQUOT: "raise the quota, or clear space",
    errno.EMLINK: "choose a file system with hard links",
    errno.ENOSPC: "clear space, or move the root to a larger file system",
    errno.ENOTSUP: "choose a file system with hard links",
    errno.EPERM: "choose a file system with hard links, or give the pipeline's user the right to write there",
    errno.EROFS: "mount it writable, or correct 'root'",
    errno.EXDEV: "keep all of the root on one file system",
}
_RACES: Final = 3
"""Pairs of puts at the same time: one pair may happen to come one after the other."""


def writing_checks(place: Place) -> list[Check]:
    """The checks of one store."""
    needs = (f"{place.name} bucket",) if place.s3 else ()
    advice = f"see '{place.name.replace(' ', '_')}' and the AWS_ settings" if place.s3 else "see 'root' in lumi.toml"
    return [
        Check(place.name, partial(look_at_store, place), advice, needs),
        Check(f"{place.name} create-only", partial(look_at_create_only, place), advice, (place.name,)),
    ]


def look_at_store(place: Place, examination: Examination) -> Iterator[Finding]:
    """List, create, read back and remove."""
    try:
        next(iter(place.store.list("log/")), None)
        sweep(examination, place)
        with probing(examination, place) as (store, key):
            store.put_new(key, b"probe")
            if store.get(key) != b"probe":
                yield problem(f"{place.store}: other bytes come back than were written", "check disk and network")
                return
    except StoreError as error:
        remedy = _REMEDIES.get(getattr(error.__cause__, "errno", None) or 0)
        if remedy is None:
            raise
        yield problem(str(error), remedy)
        return
    yield ok(f"{examination.root_path if place.s3 is None else place.s3} can be read and written")


def look_at_create_only(place: Place, examination: Examination) -> Iterator[Finding]:
    """Create an object twice, with different bytes, one after the other and at the same time."""
    with probing(examination, place) as (store, key):
        store.put_new(key, b"first")
        refused = _is_refused(store, key, b"second") and store.get(key) == b"first"
        winners = [_race(examination, place) for _ in range(_RACES)] if refused else []
    honoured = refused and all(count == 1 for count in winners)
    if honoured:
        yield ok("of several puts of one new key exactly one wins")
    elif place is not examination.root:
        yield ok(
            "a second put of one key is not refused, as some gateways do where versions are kept; nothing rests"
            " on that in a locked copy"
        )
    else:
        what = "are not decided" if refused else "are not honoured"
        yield problem(
            f"create-only puts {what} in {place.store}: two runs could overwrite each other's commits",
            "use a bucket without versions for 'root'; for Object Lock name another one in 'locked_root'",
        )


def _is_refused(store: ObjectStore, key: str, data: bytes) -> bool:
    try:
        store.put_new(key, data)
    except ObjectConflict:
        return True
    return False


def _race(examination: Examination, place: Place) -> int:
    """Let two writers create one key at the same time; return how many were told that they did."""
    outcomes: list[bool] = []
    start = threading.Barrier(2)
    with probing(examination, place) as (store, key):

        def write(data: bytes) -> None:
            start.wait()
            outcomes.append(not _is_refused(store, key, data))

        threads = [threading.Thread(target=write, args=(data,), daemon=True) for data in (b"one", b"other")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(outcomes)
