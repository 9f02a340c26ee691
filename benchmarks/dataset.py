"""The data that both sides of a ratio work on: a demo's events, and lakes that hold them landed or published."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from datetime import date
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import lumi_pipeline
from benchmarks.multiplying import multiply
from lumi_pipeline.config import load_config
from lumi_pipeline.cutting import ROW_GROUP_ROWS
from lumi_pipeline.demo import make_demo
from lumi_pipeline.demo.report import CONFIG_NAME, OUTBOX_NAME
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.pipeline import Pipeline

DEMO_EVENTS = 200_000
"""What the demo is asked for. More events than that are copies of them, so many at a time."""

LAST_DAY = date(2025, 3, 31)
"""Long over, so that its events can be sealed, and fixed, so that everybody measures the same ones."""

TENANTS = 20
SEED = 7
_MAKERS = ("demo/*.py", "outbox/**/*", "events.py", "hashing.py", "recorder.py")


class Dataset:
    """So many events of so many tenants over so many days; above ``DEMO_EVENTS``, a multiple of that.

    The outbox is made once and kept in ``home``; lakes live in ``scratch``.
    """

    def __init__(self, home: Path, scratch: Path, events: int, days: int, tenants: int = TENANTS) -> None:
        self._copies = max(1, events // DEMO_EVENTS)
        self.events = events if self._copies == 1 else self._copies * DEMO_EVENTS
        self.last_day = LAST_DAY
        self._home = home
        self._days = days
        self._tenants = tenants
        self._directory = home / f"{self.events}-events-{days}-days-{tenants}-tenants-{_recipe()}"
        self._lakes = scratch
        self._scratch = scratch / f"{self.events}-events-{days}-days-{tenants}-tenants"

    def like(self, *, events: int | None = None, tenants: int | None = None) -> "Dataset":
        """Another data set that differs in this only."""
        return Dataset(self._home, self._lakes, events or self.events, self._days, tenants or self._tenants)

    @cached_property
    def directory(self) -> Path:
        """The demo: outbox, keys and configuration. Killed while making it, a run leaves nothing that counts."""
        if self._copies == 1:
            make_demo(
                self._directory,
                days=self._days,
                tenants=self._tenants,
                events=self.events,
                seed=SEED,
                through=self.last_day,
            )
        elif not (self._directory / OUTBOX_NAME).exists():
            demo = self.like(events=DEMO_EVENTS)
            for file in (demo.config, *demo.directory.glob("keys/*")):
                copy = self._directory / file.relative_to(demo.directory)
                copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                shutil.copy(file, copy)
            multiply(demo.outbox, self._directory / OUTBOX_NAME, self._copies)
        return self._directory

    @property
    def outbox(self) -> Path:
        return self.directory / OUTBOX_NAME

    @property
    def config(self) -> Path:
        return self.directory / CONFIG_NAME

    def pipeline(self, lake: Path) -> Pipeline:
        """A pipeline from the outbox to the lake in that directory, newly opened."""
        return Pipeline.open(load_config(self.config, env={}, overrides={"root": str(lake)}))

    @cached_property
    def landed(self) -> Path:
        """A lake in which everything is landed and nothing sealed."""
        lake = self.fresh("landed")
        self.pipeline(lake).land()
        return lake

    @cached_property
    def published(self) -> Path:
        """A lake in which every day is sealed and published."""
        lake = self.clone(self.landed, "published")
        pipeline = self.pipeline(lake)
        list(pipeline.seal(pipeline.missing_days(self.last_day)))
        pipeline.publish()
        return lake

    def landed_files(self) -> list[Path]:
        """The Parquet files of landed events, in order."""
        return sorted(self.landed.glob("landed/*/part-*.parquet"))

    def tables(self) -> list[pa.Table]:
        """The landed events, sorted by (tenant_id, seq), a row group's worth a table."""
        return [table for file in self.landed_files() for table in read_events(file)]

    def fresh(self, name: str) -> Path:
        """An empty place of that name, for one run; what an earlier run left there is gone."""
        place = self._scratch / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def clone(self, lake: Path, name: str) -> Path:
        """A lake in the same state. Its files are links: the lake's writers replace files, and never write into one."""
        place = self._scratch / name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(lake, place, copy_function=os.link)
        return place


def read_events(file: Path) -> Iterator[pa.Table]:
    """Yield an event file's rows as tables in EVENT_SCHEMA of at most a row group's size."""
    for batch in pq.ParquetFile(file).iter_batches(ROW_GROUP_ROWS):
        yield pa.Table.from_batches([batch]).cast(EVENT_SCHEMA)


def _recipe() -> str:
    """Name the code that makes the events, so that a change of it makes them anew."""
    package = Path(lumi_pipeline.__file__).parent
    files = sorted({path for pattern in _MAKERS for path in package.glob(pattern) if path.suffix in {".py", ".sql"}})
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]
