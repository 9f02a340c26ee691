"""Hexadecimal digits in lower case, many at a time, as LLVM instructions on vectors of bytes, for kernels.

Lanes of a vector lie in memory in their order, on every processor (LLVM Language Reference, "Vector Type").
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from llvmlite import ir
from numba import types

from lumi_pipeline.kernels.compiling import instruction

_BYTE: Final = ir.IntType(8)


def _every(lanes: int, value: int) -> Any:
    return ir.Constant(ir.VectorType(_BYTE, lanes), [value] * lanes)


def _lanes(builder: Any, left: Any, right: Any, numbers: Sequence[int]) -> Any:
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(numbers)), list(numbers))
    return builder.shuffle_vector(left, right, mask)


def _place(builder: Any, address: Any, lanes: int) -> Any:
    return builder.inttoptr(address, ir.VectorType(_BYTE, lanes).as_pointer())


def _writing(typingctx: Any, target: Any, origin: Any) -> Any:  # noqa: ARG001 - the signature that numba calls
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        octets = builder.load(_place(builder, args[1], 16))
        octets.align = 1
        high = builder.lshr(octets, _every(16, 4))
        low = builder.and_(octets, _every(16, 15))
        values = _lanes(builder, high, low, [half + lane for lane in range(16) for half in (0, 16)])
        letters = builder.select(builder.icmp_unsigned(">", values, _every(32, 9)), _every(32, 39), _every(32, 0))
        digits = builder.add(builder.add(values, _every(32, 48)), letters)
        builder.store(digits, _place(builder, args[0], 32)).align = 1
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


def _reading(typingctx: Any, target: Any, origin: Any) -> Any:  # noqa: ARG001
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        digits = builder.load(_place(builder, args[1], 32))
        digits.align = 1
        # What is no digit wraps around to 10 or more, and what is no letter from a to f to 6 or more.
        numbers = builder.sub(digits, _every(32, 48))
        letters = builder.sub(digits, _every(32, 97))
        is_number = builder.icmp_unsigned("<", numbers, _every(32, 10))
        is_letter = builder.icmp_unsigned("<", letters, _every(32, 6))
        values = builder.select(is_number, numbers, builder.add(letters, _every(32, 10)))
        high = _lanes(builder, values, values, range(0, 32, 2))
        low = _lanes(builder, values, values, range(1, 32, 2))
        octets = builder.or_(builder.shl(high, _every(16, 4)), low)
        builder.store(octets, _place(builder, args[0], 16)).align = 1
        right = builder.bitcast(builder.or_(is_number, is_letter), ir.IntType(32))
        return builder.icmp_unsigned("==", right, ir.Constant(ir.IntType(32), 0xFFFFFFFF))

    return types.boolean(types.int64, types.int64), codegen


write_sixteen: Final[Callable[[int, int], None]] = instruction(_writing)
"""``write_sixteen(target, origin)``: write the 32 digits of 16 bytes."""
read_sixteen: Final[Callable[[int, int], bool]] = instruction(_reading)
"""``read_sixteen(target, origin)``: read 16 bytes from their 32 digits; tell whether all are digits."""
