"""The rows there are, in the order of the table, and the data each works on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import (
    analyst,
    chains,
    daily,
    delivering,
    encoding,
    evidence,
    history,
    landing,
    landingpostgresql,
    planning,
    proofs,
    recording,
    sealing,
    trees,
)
from benchmarks.dataset import TENANTS, Dataset
from benchmarks.row import Row
from benchmarks.server import MissingServerError

Benchmark = Callable[[Dataset, int], Row]


@dataclass(frozen=True, slots=True)
class _Entry:
    measure: Benchmark
    days: int
    tenants: int = TENANTS


_HISTORY_DAYS: Final = 7
_ANALYST_DAYS: Final = 30
_ANALYST_TENANTS: Final = 200
_SUITE: Final = {
    "chain": _Entry(chains.measure, 1),
    "tree": _Entry(trees.measure, 1),
    "land": _Entry(landing.measure, 1),
    "land-postgresql": _Entry(landingpostgresql.measure, 1),
    "record": _Entry(recording.many_tenants, 1),
    "record-16": _Entry(recording.many_writers, 1),
    "record-hot": _Entry(recording.one_tenant, 1),
    "record-batch": _Entry(recording.batches, 1),
    "seal": _Entry(sealing.measure, 1),
    "daily": _Entry(daily.measure, 1),
    "daily-growth": _Entry(daily.measure_growth, 1),
    "daily-one-tenant": _Entry(daily.measure_one_tenant, 1, 1),
    "verify-all": _Entry(history.measure, _HISTORY_DAYS),
    "prove": _Entry(proofs.prove, 1),
    "prove-cold": _Entry(proofs.prove_cold, 1),
    "verify-proof": _Entry(proofs.verify, 1),
    "verify-proof-cold": _Entry(proofs.verify_cold, 1),
    "evidence-write": _Entry(evidence.write, 1, 1),
    "evidence-verify": _Entry(evidence.verify, 1, 1),
    "siem-encode": _Entry(encoding.measure_native, 1),
    "siem-encode-ocsf": _Entry(encoding.measure_ocsf, 1),
    "siem-plan": _Entry(planning.measure_native, 1),
    "siem-plan-ocsf": _Entry(planning.measure_ocsf, 1),
    "siem-deliver": _Entry(delivering.deliver, 1),
    "siem-send": _Entry(delivering.send, 1),
    "analyst-newest": _Entry(analyst.newest, _ANALYST_DAYS, _ANALYST_TENANTS),
    "analyst-investigate": _Entry(analyst.investigate, _ANALYST_DAYS, _ANALYST_TENANTS),
    "analyst-build": _Entry(analyst.build, _ANALYST_DAYS, _ANALYST_TENANTS),
}
NAMES: Final = tuple(_SUITE)


def run_suite(
    names: Sequence[str], home: Path, events: int, runs: int, progress: Callable[[str], None]
) -> Iterator[Row]:
    """Measure the rows of these names, in the table's order; ``progress`` is told what comes next, or is left out."""
    with _datasets(home, events) as dataset:
        for name in NAMES:
            if name in names:
                progress(name)
                try:
                    yield _SUITE[name].measure(dataset(_SUITE[name]), runs)
                except MissingServerError as missing:
                    progress(f"{name} is left out: {missing}")


@contextmanager
def _datasets(home: Path, events: int) -> Iterator[Callable[[_Entry], Dataset]]:
    """Give entries their data sets, each made once; their lakes are gone afterwards."""
    home.mkdir(parents=True, exist_ok=True)
    made: dict[tuple[int, int], Dataset] = {}
    with TemporaryDirectory(prefix="run-", dir=home) as scratch:

        def dataset(entry: _Entry) -> Dataset:
            found = Dataset(home, Path(scratch), events, entry.days, entry.tenants)
            return made.setdefault((entry.days, entry.tenants), found)

        yield dataset
