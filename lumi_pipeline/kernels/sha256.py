"""SHA-256 (FIPS 180-4) of bytes in memory, for kernels.

A state is eight 32-bit words in 32 bytes of memory. ``native`` chooses between the processor's SHA instructions and
plain arithmetic; both take the same bytes to the same digest, but keep the words of a state in an order of their own
in between.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from lumi_pipeline.kernels.compiling import kernel
from lumi_pipeline.kernels.constants import INITIAL_STATE, ROUND_CONSTANTS
from lumi_pipeline.kernels.memory import big_int32, big_int64, load_byte, store_byte, store_int32, store_int64
from lumi_pipeline.kernels.shani import compress_block

_K: Final = np.array(ROUND_CONSTANTS, np.uint32)
_PLAIN_START: Final = np.array(INITIAL_STATE, np.uint32)
_NATIVE_ORDER: Final = (5, 4, 1, 0, 7, 6, 3, 2)
"""Which word of the state lies where: the vectors F E B A and H G D C."""
_NATIVE_START: Final = np.array([INITIAL_STATE[word] for word in _NATIVE_ORDER], np.uint32)
_NATIVE_PLACE: Final = np.argsort(np.array(_NATIVE_ORDER)).astype(np.int64)
_BLOCK: Final = 64


@kernel
def _rotated(word: np.uint32, bits: int) -> np.uint32:
    return np.uint32((word >> np.uint32(bits)) | (word << np.uint32(32 - bits)))


@kernel
def _compress_plain(state: npt.NDArray[np.uint32], block: int) -> None:
    """Take the 64 bytes at ``block`` into the eight words of ``state`` (FIPS 180-4 section 6.2.2)."""
    w = np.empty(64, np.uint32)
    for t in range(16):
        word = np.uint32(0)
        for byte in range(4):
            word = np.uint32((word << np.uint32(8)) | np.uint32(load_byte(block + 4 * t + byte)))
        w[t] = word
    for t in range(16, 64):
        s0 = _rotated(w[t - 15], 7) ^ _rotated(w[t - 15], 18) ^ (w[t - 15] >> np.uint32(3))
        s1 = _rotated(w[t - 2], 17) ^ _rotated(w[t - 2], 19) ^ (w[t - 2] >> np.uint32(10))
        w[t] = np.uint32(w[t - 16] + s0 + w[t - 7] + s1)
    a, b, c, d, e, f, g, h = state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7]
    for t in range(64):
        s1 = _rotated(e, 6) ^ _rotated(e, 11) ^ _rotated(e, 25)
        t1 = np.uint32(h + s1 + ((e & f) ^ (~e & g)) + _K[t] + w[t])
        s0 = _rotated(a, 2) ^ _rotated(a, 13) ^ _rotated(a, 22)
        t2 = np.uint32(s0 + ((a & b) ^ (a & c) ^ (b & c)))
        h, g, f, e, d, c, b, a = g, f, e, np.uint32(d + t1), c, b, a, np.uint32(t1 + t2)
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d
    state[4] += e
    state[5] += f
    state[6] += g
    state[7] += h


@kernel
def digest(message: int, length: int, state: npt.NDArray[np.uint32], out: int, native: bool) -> None:
    """Write the SHA-256 of ``length`` bytes at ``message`` to the 32 bytes at ``out``.

    There has to be room for 72 bytes behind the message, which are overwritten. ``state`` is an array of eight
    uint32 to work in.
    """
    # Padding (section 5.1.1): a one bit, zeros, and the number of bits in the last eight bytes.
    end = (length + 9 + _BLOCK - 1) // _BLOCK * _BLOCK
    store_byte(message + length, 0x80)
    for at in range(length + 1, end - 8, 8):
        store_int64(message + at, 0)
    store_int64(message + end - 8, big_int64(length * 8))
    place = state.ctypes.data
    if native:
        for word in range(8):
            state[word] = _NATIVE_START[word]
        for block in range(message, message + end, _BLOCK):
            compress_block(place, block)
    else:
        for word in range(8):
            state[word] = _PLAIN_START[word]
        for block in range(message, message + end, _BLOCK):
            _compress_plain(state, block)
    for word in range(8):
        store_int32(out + 4 * word, big_int32(state[_NATIVE_PLACE[word]] if native else state[word]))
