"""What the checks look at: one configuration, opened with little patience, and its stores, each by itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lumi_pipeline.config import Config
from lumi_pipeline.errors import LumiError
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.recorder import system_clock
from lumi_pipeline.sealedday import SealedDay
from lumi_pipeline.stores.lockedcopy import LockedCopyStore
from lumi_pipeline.stores.roots import open_lake
from transparency.errors import StoreError
from transparency.store import ObjectStore

if TYPE_CHECKING:
    from lumi_pipeline.doctor.bucketfacts import BucketFacts
    from lumi_pipeline.stores.s3 import S3Store

DEAD_AFTER: Final = 3.0
"""Seconds after which an S3 endpoint that nobody answers at is given up; each request is sent twice at most."""

SILENT_AFTER: Final = 8.0
"""Seconds that S3 may take for an answer."""


@dataclass(frozen=True, slots=True)
class Place:
    """A store of the configuration: ``name`` is ``root`` or ``locked root``; ``s3`` is the store where it is in S3."""

    name: str
    store: ObjectStore
    s3: "S3Store | None"
    has_lock: bool
    """Whether the configuration wants Object Lock there."""


class Examination:
    """One look at a configuration. Nothing is opened before a check asks for it."""

    def __init__(self, config: Config, clock: Callable[[], datetime] = system_clock) -> None:
        self.config = config
        self.clock = clock
        lake = open_lake(config, clock)
        working, copy = (lake.store, None)
        if isinstance(lake.store, LockedCopyStore):
            working, copy = lake.store.working, lake.store.copy
        self.root = _place("root", working, has_lock=config.object_lock is not None and copy is None)
        self.locked_root = None if copy is None else _place("locked root", copy, has_lock=True)
        self.pipeline = Pipeline(config, replace(lake, store=self.root.store), clock)
        self._facts: dict[str, BucketFacts | StoreError] = {}
        self._no_outbox: LumiError | None = None

    @property
    def outbox(self) -> Outbox:
        """The outbox; :class:`~lumi_pipeline.errors.OutboxError` when it isn't there or isn't one.

        A server that does not answer is waited for once.
        """
        if self._no_outbox is not None:
            raise self._no_outbox
        try:
            return self.pipeline.outbox
        except LumiError as error:
            self._no_outbox = error
            raise

    @cached_property
    def last_sealed(self) -> SealedDay | None:
        """The last sealed day, if there is one."""
        if self.root.s3 is not None:
            self.facts(self.root)  # which is known by now if it can't be reached
        return self.pipeline.last_sealed()

    def facts(self, place: Place) -> "BucketFacts":
        """What is known of a place's bucket, or the :class:`~transparency.errors.StoreError` that keeps it unknown.

        S3 is asked once.
        """
        from lumi_pipeline.doctor.bucketfacts import read_facts  # noqa: PLC0415 - botocore takes a while to load

        if place.s3 is None:
            raise ValueError(f"{place.name} is not in S3")
        if place.name not in self._facts:
            try:
                self._facts[place.name] = read_facts(place.s3)
            except StoreError as error:
                self._facts[place.name] = error
        known = self._facts[place.name]
        if isinstance(known, StoreError):
            raise known
        return known

    @property
    def root_path(self) -> Path | None:
        """The local directory of the root; None when it is in S3."""
        return self.config.root_path


def _place(name: str, store: ObjectStore, *, has_lock: bool) -> Place:
    from lumi_pipeline.stores.s3 import S3Store  # noqa: PLC0415 - botocore takes a while to load
    from lumi_pipeline.stores.s3client import Limits, S3Connection  # noqa: PLC0415

    if not isinstance(store, S3Store):
        return Place(name, store, None, has_lock)
    limits = Limits(attempts=2, connect_timeout=DEAD_AFTER, read_timeout=SILENT_AFTER)
    impatient = replace(store, connection=S3Connection(limits))
    return Place(name, impatient, impatient, has_lock)
