"""A lake of which some objects were altered, looked at by exactly the verifications that have to notice.

``lumi verify --all`` gives each of these verdicts whatever the others are. So what one of them finds is found, and the
rest need not be asked a thousand times.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from lumi_pipeline.acknowledging import check_acknowledgements
from lumi_pipeline.chain import Break
from lumi_pipeline.judgements import failure
from lumi_pipeline.lake import Lake
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.verdict import Status, Verdict
from lumi_pipeline.verification import verify_days, verify_folders, verify_landings, verify_published
from tests.lake.world import World
from transparency.encoding import parse_day
from transparency.errors import LumiError, ObjectMissing

Altered = Mapping[str, bytes | None]
"""Objects with other bytes than before, new ones, and (None) those that are gone."""


class AlteredStore:
    """The objects of a lake in memory, some of them altered. Whoever writes to it fails the test."""

    def __init__(self, objects: Mapping[str, bytes], altered: Altered) -> None:
        found = {**objects, **altered}
        self._objects = {key: data for key, data in found.items() if data is not None}

    def get(self, key: str) -> bytes:
        if key not in self._objects:
            raise ObjectMissing(f"{key}: there is no such object")
        return self._objects[key]

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        return iter(sorted(key for key in self._objects if key.startswith(prefix) and key > start_after))

    def put_new(self, key: str, data: bytes) -> None:
        raise AssertionError(f"verification wrote {len(data)} bytes to {key}")

    def put(self, key: str, data: bytes) -> None:
        self.put_new(key, data)

    def delete(self, key: str) -> None:
        raise AssertionError(f"verification deleted {key}")


@dataclass(frozen=True, slots=True)
class Original:
    """A world whose objects are about to be altered. ``breaks`` are those that it has on purpose, all on one day."""

    world: World
    objects: Mapping[str, bytes]
    breaks: tuple[Break, ...]

    def pipeline(self, altered: Altered) -> Pipeline:
        """A pipeline on the altered lake. Paths lead to the unaltered files: altered ones are refused before."""
        store = AlteredStore(self.objects, altered)
        lake = Lake(store, lambda key: str(self.world.store.path(key)))
        return Pipeline(self.world.config, lake, self.world.clock)


Look = Callable[[Original, str, Altered], list[Verdict]]
"""Gives the verdicts that concern an object."""


def look_at_log(original: Original, _: str, altered: Altered) -> list[Verdict]:
    return [verify_published(original.pipeline(altered).lake, original.world.policy)]


def look_at_day(original: Original, key: str, altered: Altered) -> list[Verdict]:
    """The verdict on the day that the object is of."""
    pipeline = original.pipeline(altered)
    try:
        pipeline.sealed_days()
    except LumiError as error:
        return [failure("lake", error)]
    genesis = pipeline.genesis()
    assert genesis is not None
    return list(verify_days(pipeline.lake, pipeline.sealer(genesis), genesis, [day_of(key)]))


def look_at_acknowledgement(original: Original, key: str, altered: Altered) -> list[Verdict]:
    """The part of the verdict on a broken day that reads reports and acknowledgements."""
    day = day_of(key)
    try:
        check_acknowledgements(original.pipeline(altered).lake, day, original.breaks)
    except LumiError as error:
        return [failure(str(day), error)]
    return []


def look_at_folders(original: Original, _: str, altered: Altered) -> list[Verdict]:
    pipeline = original.pipeline(altered)
    return list(verify_folders(pipeline.lake, pipeline.genesis()))


def look_at_landings(original: Original, _: str, altered: Altered) -> list[Verdict]:
    pipeline = original.pipeline(altered)
    last = pipeline.lake.sealed_days()[-1]
    return [verify_landings(pipeline.lake, load_sealed_day(pipeline.lake, last).tenants, pipeline.erasures())]


def day_of(key: str) -> date:
    """The day in whose folder an object lies."""
    return parse_day(key.split("/")[1].removeprefix("day="))


def names(verdict: Verdict, key: str, status: Status = Status.FAILED) -> bool:
    """Whether a verdict of this status tells which object it is about: by its key, its path in the log, or its day."""
    text = "\n".join((verdict.subject, verdict.reason, *verdict.lines))
    known_as = [key, key.removeprefix("log/")]
    if "/day=" in key:
        known_as.append(key.split("/")[1].removeprefix("day="))
    return verdict.status is status and any(name in text for name in known_as)
