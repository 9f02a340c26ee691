"""Compiled kernels and DuckDB make the same records, to the byte, for every destination and both formats."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumi_pipeline.catalogue import CATALOGUE
from lumi_pipeline.events import Event
from lumi_pipeline.kernels.engine import Engine
from lumi_pipeline.siem import encoding
from lumi_pipeline.siem.destination import Destination
from lumi_pipeline.siem.encoding import Encoder, Records
from lumi_pipeline.siem.opening import opened
from lumi_pipeline.siem.settings import read_destinations
from tests.siem.test_edited_rows import KINDS
from tests.siem.test_encoding import EVENTS, table_of
from tests.siem.texts import texts_of

_KERNELS = Engine(native=False)
KNOWN = {
    "action": st.sampled_from(sorted(CATALOGUE)),
    "outcome": st.sampled_from(["success", "failure", "unknown"]),
    "actor_type": st.sampled_from(["user", "service", "system", "support"]),
    "entity_type": st.sampled_from(["user", "session", "recommendation", "role"]),
    "auth_method": st.sampled_from(["saml", "oidc", "api_key", None]),
    "ip": st.sampled_from(["203.0.113.7", "2001:db8::1", "none", "", None]),
}


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event, or one as the product writes it."""
    event = draw(EVENTS)
    if draw(st.booleans()):
        for name, values in KNOWN.items():
            object.__setattr__(event, name, draw(values))
    return event


def records(destination: Destination, table: pa.Table, kernels: Engine | None) -> Records:
    with pytest.MonkeyPatch.context() as patch, Encoder(destination) as encoder:
        patch.setattr(encoding, "engine", lambda _: kernels)
        return encoder.encode(table, destination.settings.routes[-1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fmt", ["native", "ocsf"])
@settings(max_examples=5, deadline=None)
@given(rows=st.lists(events(), min_size=1, max_size=30), large=st.booleans())
def test_the_same_records(kind: str, fmt: str, rows: list[Event], large: bool) -> None:
    table = {"name": "siem", "kind": kind, "format": fmt, "allow_private": True, **KINDS[kind]}
    [chosen] = read_destinations([table], "test", Path("/nowhere"))
    if large:  # so that some values are left out, and some events refused
        object.__setattr__(rows[0], "after_state", "\x01" * 700_000)
        object.__setattr__(rows[-1], "entity_id", "é" * 500_000)
    with opened(chosen) as destination:
        if destination.suffix == "parquet":
            return
        by_sql = records(destination, table_of(rows), None)
        by_kernels = records(destination, table_of(rows), _KERNELS)
    assert by_kernels.offsets.tolist() == by_sql.offsets.tolist()
    assert texts_of(by_kernels) == texts_of(by_sql)
    for name in ("rows", "omitted", "refused"):
        assert getattr(by_kernels, name).tolist() == getattr(by_sql, name).tolist()
