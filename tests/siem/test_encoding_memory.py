"""Many long texts: DuckDB gets them a few at a time, and whatever the sizes, records are those of the rows."""

from pathlib import Path

import pyarrow as pa
import pytest

from lumi_pipeline.errors import SiemError
from lumi_pipeline.kernels.engine import WORTH_LOADING
from lumi_pipeline.siem import encoding
from lumi_pipeline.siem.encoding import Encoder
from lumi_pipeline.siem.opening import opened
from lumi_pipeline.siem.settings import read_destinations
from tests.siem.test_encoding import event, table_of
from tests.siem.texts import texts_of

MIB = 1 << 20
LONG = '"' * MIB  # twice as long in JSON


def encoded(table: pa.Table) -> list[bytes]:
    [settings] = read_destinations([{"name": "siem", "kind": "s3", "bucket": "b-1"}], "test", Path("/nowhere"))
    with opened(settings) as destination, Encoder(destination) as encoder:
        return texts_of(encoder.encode(table, settings.routes[-1]))


def test_long_texts_fit_into_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of([event(seq=seq, after_state=LONG if seq % 3 else None) for seq in range(30)])
    monkeypatch.setattr(encoding, "engine", lambda _: None)
    expected = encoded(table)
    monkeypatch.setattr(encoding, "_MEMORY_LIMIT", "48MB")
    monkeypatch.setattr(encoding, "_SLICE", 8 * MIB)
    assert encoded(table) == expected
    # All at once they would not.
    monkeypatch.setattr(encoding, "_SLICE", 256 * MIB)
    with pytest.raises(SiemError, match="siem: an event has too much text to be encoded in 48MB of memory"):
        encoded(table)


@pytest.mark.parametrize("size", [1, 1000, 3500, 1 << 30])
def test_slices_are_all_of_the_rows_in_their_order(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(encoding, "engine", lambda _: None)
    table = table_of([event(seq=seq, after_state="x" * (seq * 97 % 1100)) for seq in range(40)])
    expected = encoded(table)
    monkeypatch.setattr(encoding, "_SLICE", size)
    assert encoded(table) == expected


def test_few_events_with_much_text_go_through_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(encoding, "engine", asked.append)
    encoded(table_of([event(seq=seq, after_state="x" * MIB) for seq in range(17)]))
    encoded(table_of([event(seq=seq) for seq in range(17)]))
    assert asked[0] >= WORTH_LOADING > 17 == asked[1]
