"""The constants of SHA-256 (FIPS 180-4, sections 4.2.2 and 5.3.3), computed from what they are defined as.

They are the first 32 bits of the fractions of the cube roots of the first 64 primes, and of the square roots of the
first eight.
"""

from itertools import count, islice
from math import isqrt
from typing import Final


def _primes() -> "islice[int]":
    return islice((n for n in count(2) if all(n % d for d in range(2, isqrt(n) + 1))), 64)


def _cube_root(value: int) -> int:
    """Return the whole part of the cube root."""
    low, high = 0, value
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= value else (low, middle - 1)
    return low


ROUND_CONSTANTS: Final = tuple(_cube_root(prime << 96) & 0xFFFFFFFF for prime in _primes())
INITIAL_STATE: Final = tuple(isqrt(prime << 64) & 0xFFFFFFFF for prime in islice(_primes(), 8))
