"""Filling in what stands for a text of known length: a run of one byte that is nowhere else."""

import numpy as np
import numpy.typing as npt

from lumi_pipeline.kernels.compiling import kernel
from lumi_pipeline.kernels.memory import copy, load_byte


@kernel
def fill_runs(content: npt.NDArray[np.uint8], byte: int, text: npt.NDArray[np.uint8]) -> None:
    """Put ``text`` in the place of every run of ``byte``; each run is as long as the text.

    A run covers one of the places whose number is a multiple of its length, so no others are looked at.
    """
    base, size = content.ctypes.data, len(text)
    for place in range(0, len(content), size):
        if load_byte(base + place) == byte:
            start = place
            while start > 0 and load_byte(base + start - 1) == byte:
                start -= 1
            copy(base + start, text.ctypes.data, size)
