"""The pipeline's side of the load: land again and again, and close days as they end."""

import json
import time
import traceback
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final

from lumi_pipeline.errors import OutboxError, OutboxLocked
from lumi_pipeline.lake import Lake
from lumi_pipeline.landing import LandingReport, land
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.opening import open_outbox
from tests.soak.ledger import Ledger
from tests.soak.load import Load
from transparency.filestore import FileStore

_PAUSE: Final = 0.15


def keep_landing(load: Load, number: int) -> None:
    """Land until the load is over. What stops a landing has to be an error of ours, about the database."""
    ledger = Ledger(load.directory / f"lander-{number}.ledger")
    random = Random(number)
    while not load.is_over():
        try:
            outbox = open_outbox(load.address)
            while not load.is_over():
                land_once(outbox, load.lake, ledger)
                _close(outbox, load, ledger)
                time.sleep(_PAUSE * random.random())
        except OutboxError as error:
            ledger.note("count", detail="landings refused")
            ledger.note("message", detail=str(error))
            time.sleep(0.1)
        except Exception:  # noqa: BLE001 - whatever it is, the test is told
            ledger.note("complaint", detail=traceback.format_exc())
            time.sleep(0.1)


def open_lake(root: Path) -> Lake:
    """The lake in a directory."""
    store = FileStore(root)
    return Lake(store, lambda key: str(store.path(key)))


def land_once(outbox: Outbox, root: Path, ledger: Ledger) -> LandingReport:
    """Land what there is; the commit objects say what that was."""
    report = land(outbox, open_lake(root), None)
    if report.number is not None:
        ledger.note("count", detail="landings")
    return report


def _close(outbox: Outbox, load: Load, ledger: Ledger) -> None:
    """Close the last day that is over, by the writers' clocks; then land, and note after which landing it was exact."""
    day = load.clock()().date() - timedelta(days=1)
    try:
        outbox.close_day(day, timeout=3)
    except OutboxLocked:
        ledger.note("count", detail="closings put off")
        return
    number = land_once(outbox, load.lake, ledger).number
    if number is not None:
        ledger.note("count", detail="closings")
        ledger.note("closed", str(number), day.isoformat())


def closings(directory: Path) -> dict[int, str]:
    """By number of landing, the latest day that no later landing may add to."""
    lines = [line for path in directory.glob("lander-*.ledger") for line in path.read_text().splitlines()]
    noted = [line.split(" ") for line in lines if line.startswith("closed ")]
    return {int(number): day for _, number, day in sorted(noted, key=lambda words: words[2])}


def committed_landings(root: Path) -> list[dict[str, object]]:
    """The landings' commit objects as they are, in order."""
    return [json.loads(path.read_text()) for path in sorted((root / "landings").glob("*.json"))]
