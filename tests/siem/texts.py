"""Encoded records one by one."""

from itertools import pairwise

import numpy as np

from lumi_pipeline.kernels.parts import BLOCK
from lumi_pipeline.siem.encoding import Records


def texts_of(records: Records) -> list[bytes]:
    """Each record's JSON text, without the separator behind it."""
    content = np.empty(int(records.offsets[-1]) + BLOCK, np.uint8)
    records.write(0, len(records.rows), content)
    data = content.tobytes()
    return [data[start : end - 1] for start, end in pairwise(records.offsets.tolist())]
