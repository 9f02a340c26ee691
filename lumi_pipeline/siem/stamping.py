"""Putting a batch's id into its records, once it is known: it depends on them."""

from typing import Final

import numpy as np
import numpy.typing as npt

from lumi_pipeline.kernels.engine import engine
from lumi_pipeline.siem.sqltext import BATCH_ID

_PLACEHOLDER: Final = BATCH_ID.encode()


def stamp(content: npt.NDArray[np.uint8], batch_id: str) -> None:
    """Put an id in the place of each :data:`~lumi_pipeline.siem.sqltext.BATCH_ID`, in the same memory."""
    kernels = engine(0)  # if they are loaded already
    if kernels is None:
        stamped = content.tobytes().replace(_PLACEHOLDER, batch_id.encode())
        content[:] = np.frombuffer(stamped, np.uint8)
    else:
        kernels.fill(content, _PLACEHOLDER[0], batch_id.encode())
