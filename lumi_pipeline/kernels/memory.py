"""Reading and writing memory by address, for kernels that work straight on the buffers of Arrow arrays.

An address is an int64, as ``pyarrow.Buffer.address`` gives it. Nothing is checked: whoever calls keeps the buffers
alive and stays within them. Apart from ``copy`` each is an instruction or a few; any alignment will do, and the order
of bytes is the machine's (LLVM Language Reference, "load", "store", "llvm.memcpy").
"""

import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from lumi_pipeline.kernels.compiling import instruction
from lumi_pipeline.kernels.parts import BLOCK


def _pointer(builder: Any, address: Any, bits: int) -> Any:
    return builder.inttoptr(address, ir.IntType(bits).as_pointer())


def _loading(result: Any, bits: int) -> Any:
    def load(typingctx: Any, address: Any) -> Any:  # noqa: ARG001 - the signature that numba calls
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
            value = builder.load(_pointer(builder, args[0], bits))
            value.align = 1
            return value

        return result(types.int64), codegen

    return instruction(load)


def _storing(kind: Any, bits: int) -> Any:
    def store(typingctx: Any, address: Any, value: Any) -> Any:  # noqa: ARG001
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            cut = context.cast(builder, args[1], signature.args[1], kind)
            builder.store(cut, _pointer(builder, args[0], bits)).align = 1
            return context.get_dummy_value()

        return types.void(types.int64, value), codegen

    return instruction(store)


def _copying(typingctx: Any, target: Any, origin: Any, size: Any) -> Any:  # noqa: ARG001
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        move: Any = cgutils.raw_memcpy
        move(builder, _pointer(builder, args[0], 8), _pointer(builder, args[1], 8), args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


def _copying_block(typingctx: Any, target: Any, origin: Any) -> Any:  # noqa: ARG001
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        kind = ir.VectorType(ir.IntType(8), BLOCK).as_pointer()
        block = builder.load(builder.inttoptr(args[1], kind))
        block.align = 1
        builder.store(block, builder.inttoptr(args[0], kind)).align = 1
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


def _highest_first(kind: Any) -> Any:
    def swap(typingctx: Any, value: Any) -> Any:  # noqa: ARG001
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            cut = context.cast(builder, args[0], signature.args[0], kind)
            return builder.bswap(cut) if sys.byteorder == "little" else cut

        return kind(value), codegen

    return instruction(swap)


def _matching(typingctx: Any, address: Any, byte: Any) -> Any:  # noqa: ARG001
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        octets = ir.VectorType(ir.IntType(8), 64)
        found = builder.load(builder.inttoptr(args[0], octets.as_pointer()))
        found.align = 1
        one = builder.insert_element(ir.Constant(octets, ir.Undefined), args[1], ir.Constant(ir.IntType(32), 0))
        every = builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64))
        return builder.bitcast(builder.icmp_unsigned("==", found, every), ir.IntType(64))

    return types.uint64(types.int64, types.uint8), codegen


def _counting(typingctx: Any, bits: Any) -> Any:  # noqa: ARG001
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


load_byte: Final[Callable[[int], int]] = _loading(types.uint8, 8)
"""``load_byte(address)``: the byte there."""
load_int32: Final[Callable[[int], int]] = _loading(types.int32, 32)
"""``load_int32(address)``: the four bytes there, signed."""
load_int64: Final[Callable[[int], int]] = _loading(types.int64, 64)
"""``load_int64(address)``: the eight bytes there, signed."""
store_byte: Final[Callable[[int, Any], None]] = _storing(types.uint8, 8)
"""``store_byte(address, value)``: put the lowest eight bits there."""
store_pair: Final[Callable[[int, Any], None]] = _storing(types.uint16, 16)
"""``store_pair(address, value)``: put the lowest sixteen bits there."""
store_int32: Final[Callable[[int, int], None]] = _storing(types.int32, 32)
"""``store_int32(address, value)``: put the lowest 32 bits there."""
store_int64: Final[Callable[[int, int], None]] = _storing(types.int64, 64)
"""``store_int64(address, value)``: put all eight bytes there."""
copy: Final[Callable[[int, int, int], None]] = instruction(_copying)
"""``copy(target, origin, size)``: copy bytes between places that do not overlap."""
copy_block: Final[Callable[[int, int], None]] = instruction(_copying_block)
"""``copy_block(target, origin)``: copy a block of bytes between any places, as if by way of a third."""
big_int32: Final[Callable[[Any], int]] = _highest_first(types.int32)
"""``big_int32(value)``: the number that lies in memory as the lowest 32 bits of this one do with the highest first."""
big_int64: Final[Callable[[Any], int]] = _highest_first(types.int64)
"""``big_int64(value)``: the same of all 64 bits."""
matching: Final[Callable[[int, int], np.uint64]] = instruction(_matching)
"""``matching(address, byte)``: of the 64 bytes there, one bit for each that is this byte; the first is the lowest."""
lowest_bit: Final[Callable[[Any], int]] = instruction(_counting)
"""``lowest_bit(bits)``: the number of the lowest bit that is set; 64 if none is (LLVM, "llvm.cttz")."""
