"""The inside of JSON strings (RFC 8259 section 7), written into memory, for kernels.

Texts are looked at in blocks of 32 bytes, which is a handful of vector instructions on any processor: most blocks have
nothing to escape, and one that has tells where. A block may reach beyond its text, but not beyond the texts of its
column: the last few are looked at byte by byte.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types

from lumi_pipeline.kernels.compiling import inlined, instruction, kernel
from lumi_pipeline.kernels.memory import copy_block, load_byte, lowest_bit, store_byte, store_pair
from lumi_pipeline.kernels.parts import BLOCK

_SHORT: Final = dict(zip(b'"\\\b\f\n\r\t', b'"\\bfnrt', strict=True))
"""What is escaped by a backslash and one character."""

_GROWTH: Final = np.array([0 if byte >= 32 else 5 for byte in range(256)], np.int64)
"""By how many bytes a byte's escape is longer than the byte."""
_GROWTH[list(_SHORT)] = 1

_PAIRS: Final = np.frombuffer(b"".join(bytes((92, _SHORT.get(byte, 117))) for byte in range(256)), np.uint16)
"""How each byte's escape begins, as it lies in memory."""
_HEX: Final = np.frombuffer(b"0123456789ABCDEF", np.uint8)
"""Capitals, as DuckDB writes them: the same events have to give the same bytes, whoever encodes them."""

_VECTOR: Final = ir.VectorType(ir.IntType(8), BLOCK)
_WORD: Final = ir.IntType(64)


def _comparing(compare: Callable[[Any, Any, Callable[[int], Any]], Any]) -> Any:
    """Make an instruction of an address: the bytes of a block there that a comparison finds, as the bits of a number.

    Source: LLVM Language Reference, "icmp" of vectors and "bitcast".
    """

    def find(typingctx: Any, address: Any) -> Any:  # noqa: ARG001 - the signature that numba calls
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
            block = builder.load(builder.inttoptr(args[0], _VECTOR.as_pointer()))
            block.align = 1
            found = compare(builder, block, lambda byte: ir.Constant(_VECTOR, [byte] * BLOCK))
            return builder.zext(builder.bitcast(found, ir.IntType(BLOCK)), _WORD)

        return types.int64(types.int64), codegen

    return instruction(find)


def _controls(builder: Any, block: Any, every: Callable[[int], Any]) -> Any:
    return builder.icmp_unsigned("<", block, every(32))


def _escaped(builder: Any, block: Any, every: Callable[[int], Any]) -> Any:
    quotes, slashes = (builder.icmp_unsigned("==", block, every(byte)) for byte in b'"\\')
    return builder.or_(builder.or_(quotes, slashes), _controls(builder, block, every))


def _counting(typingctx: Any, bits: Any) -> Any:  # noqa: ARG001
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.ctpop(args[0])

    return types.int64(types.int64), codegen


_control_bits: Final[Callable[[int], int]] = _comparing(_controls)
_escape_bits: Final[Callable[[int], int]] = _comparing(_escaped)
_ones: Final[Callable[[int], int]] = instruction(_counting)


@inlined
def escaped_length(start: int, length: int, limit: int) -> int:
    """Return the bytes of a text with its escapes. What is before ``limit`` may be read."""
    place, end = start, start + length
    while place < end and place <= limit - BLOCK:
        inside = (1 << min(BLOCK, end - place)) - 1
        found = _escape_bits(place) & inside
        if found != 0:
            length += _ones(found) + 4 * _long_escapes(place, _control_bits(place) & inside)
        place += BLOCK
    while place < end:
        length += _GROWTH[load_byte(place)]
        place += 1
    return length


@kernel
def _long_escapes(place: int, controls: int) -> int:
    """Return how many of the control characters of a block are escaped in six bytes."""
    count = 0
    while controls != 0:
        count += _GROWTH[load_byte(place + lowest_bit(controls))] == 5
        controls &= controls - 1
    return count


@inlined
def write_escaped(at: int, start: int, length: int, limit: int) -> int:
    """Write a text with its escapes, and as much as a block of anything behind it; return the address behind it.

    What is before ``limit`` may be read.
    """
    place, end = start, start + length
    while place < end and place <= limit - 2 * BLOCK:
        size = min(BLOCK, end - place)
        found = _escape_bits(place) & ((1 << size) - 1)
        copy_block(at, place)
        done = 0
        while found != 0:
            next_ = lowest_bit(found)
            at = _write_escape(at + next_ - done, load_byte(place + next_))
            done = next_ + 1
            copy_block(at, place + done)
            found &= found - 1
        at += size - done
        place += size
    while place < end:
        byte = load_byte(place)
        if _GROWTH[byte] == 0:
            store_byte(at, byte)
            at += 1
        else:
            at = _write_escape(at, byte)
        place += 1
    return at


@kernel
def _write_escape(at: int, byte: int) -> int:
    store_pair(at, _PAIRS[byte])
    if _GROWTH[byte] == 1:
        return at + 2
    store_byte(at + 2, 48)
    store_byte(at + 3, 48)
    store_byte(at + 4, _HEX[byte >> 4])
    store_byte(at + 5, _HEX[byte & 15])
    return at + 6
