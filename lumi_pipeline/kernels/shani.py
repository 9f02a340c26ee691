"""One block of SHA-256 with the SHA extensions of x86 processors, as LLVM's intrinsics for them.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, SHA256RNDS2, SHA256MSG1, SHA256MSG2; the
constants are those of FIPS 180-4 section 4.2.2. The instructions want the eight words of the state in two vectors of
four, from the lowest lane: F E B A and H G D C.
"""

from collections.abc import Callable
from typing import Any, Final

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types

from lumi_pipeline.kernels.compiling import instruction
from lumi_pipeline.kernels.constants import ROUND_CONSTANTS

_WORD: Final = ir.IntType(32)
_VECTOR: Final = ir.VectorType(_WORD, 4)
_BYTES: Final = ir.VectorType(ir.IntType(8), 16)


def supported() -> bool:
    """Tell whether this processor has what :func:`compress_block` needs."""
    features = llvm.get_host_cpu_features()
    return all(features.get(name, False) for name in ("sha", "sse4.1", "ssse3", "avx"))


def _mask(*lanes: int) -> Any:
    return ir.Constant(ir.VectorType(_WORD, len(lanes)), list(lanes))


def _rounds(builder: Any, state: Any, block: Any) -> None:
    """Write the code of one block: ``state`` and ``block`` are pointers to bytes."""
    module = builder.module

    def function(name: str, *arguments: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, arguments)
        return module.globals.get(name) or ir.Function(module, kind, name)

    rounds = function("llvm.x86.sha256rnds2", _VECTOR, _VECTOR, _VECTOR)
    first = function("llvm.x86.sha256msg1", _VECTOR, _VECTOR)
    second = function("llvm.x86.sha256msg2", _VECTOR, _VECTOR)
    # With dirty upper halves of the AVX registers, which copying leaves behind, they would be many times slower.
    clean = module.globals.get("llvm.x86.avx.vzeroupper") or ir.Function(
        module, ir.FunctionType(ir.VoidType(), ()), "llvm.x86.avx.vzeroupper"
    )
    builder.call(clean, ())

    def vector(base: Any, offset: int) -> Any:
        place = builder.gep(base, [ir.Constant(ir.IntType(64), offset)])
        return builder.bitcast(place, _VECTOR.as_pointer())

    def load(base: Any, offset: int) -> Any:
        value = builder.load(vector(base, offset))
        value.align = 1
        return value

    swap = _mask(*(4 * word + byte for word in range(4) for byte in (3, 2, 1, 0)))
    words = []
    for offset in range(0, 64, 16):
        octets = builder.bitcast(load(block, offset), _BYTES)
        words.append(builder.bitcast(builder.shuffle_vector(octets, octets, swap), _VECTOR))
    low, high = load(state, 0), load(state, 16)
    before = low, high
    for group in range(16):
        if group >= 4:
            last, middle = words[group - 1], words[group - 2]
            carried = builder.shuffle_vector(middle, last, _mask(1, 2, 3, 4))
            mixed = builder.add(builder.call(first, (words[group - 4], words[group - 3])), carried)
            words.append(builder.call(second, (mixed, last)))
        constants = ir.Constant(_VECTOR, [int(k) for k in ROUND_CONSTANTS[4 * group : 4 * group + 4]])
        keyed = builder.add(words[group], constants)
        high = builder.call(rounds, (high, low, keyed))
        low = builder.call(rounds, (low, high, builder.shuffle_vector(keyed, keyed, _mask(2, 3, 2, 3))))
    for offset, value, old in ((0, low, before[0]), (16, high, before[1])):
        stored = builder.store(builder.add(value, old), vector(state, offset))
        stored.align = 1


def _compressing(typingctx: Any, state: Any, block: Any) -> Any:  # noqa: ARG001 - the signature that numba calls
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        if supported():
            pointer = ir.IntType(8).as_pointer()
            _rounds(builder, builder.inttoptr(args[0], pointer), builder.inttoptr(args[1], pointer))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


compress_block: Final[Callable[[int, int], None]] = instruction(_compressing)
"""``compress_block(state, block)``: take 64 bytes at ``block`` into the 32 bytes at ``state``, in the order above.

Where the processor lacks the instructions it does nothing; whoever calls asks :func:`supported` first.
"""
