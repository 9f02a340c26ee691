"""What a spreadsheet takes for a formula (docs/formats.md section 9, "events.csv"), for kernels."""

from typing import Final

import numpy as np

from lumi_pipeline.kernels.compiling import kernel
from lumi_pipeline.kernels.memory import load_byte

MARK: Final = 39
"""What stands in front of a cell that would be one."""

_STARTS: Final = np.zeros(256, np.bool_)
"""What such a cell begins with: ``' = + - @`` TAB CR LF."""
_STARTS[list(b"'=+-@\t\r\n")] = True
_WIDE: Final = np.zeros(256, np.bool_)
"""The last byte of U+FF07 U+FF0B U+FF0D U+FF1D U+FF20 in UTF-8; the two before are EF BC."""
_WIDE[[0x87, 0x8B, 0x8D, 0x9D, 0xA0]] = True


@kernel
def is_formula(start: int, length: int) -> bool:
    """Tell whether so many bytes at this address begin as a formula may."""
    if length <= 0:
        return False
    first = load_byte(start)
    if _STARTS[first]:
        return True
    return first == 0xEF and length >= 3 and load_byte(start + 1) == 0xBC and _WIDE[load_byte(start + 2)]
