"""A batch's id comes into the place of what stands for it, and no other byte changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumi_pipeline.kernels.engine import Engine
from lumi_pipeline.siem import stamping
from lumi_pipeline.siem.sqltext import BATCH_ID

_KERNELS = Engine(native=False)
_ID = "0123456789abcdef" * 4
_BETWEEN = st.binary(max_size=150).map(lambda text: text.replace(b"\x01", b""))


@pytest.mark.parametrize("kernels", [None, _KERNELS], ids=["without", "kernels"])
@given(st.lists(_BETWEEN.map(lambda text: b'"%b"' % text), max_size=5), st.booleans())
def test_ids_come_where_they_belong(kernels: Engine | None, between: list[bytes], bare: bool) -> None:
    text = BATCH_ID.encode().join([b"", *between, b""] if bare else between)
    content = np.frombuffer(bytearray(text), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stamping, "engine", lambda _: kernels)
        stamping.stamp(content, _ID)
    assert content.tobytes() == text.replace(BATCH_ID.encode(), _ID.encode())
