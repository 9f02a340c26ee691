"""How kernels are compiled: without Python's lock, and kept on disk so that it happens once for an installation."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit
from numba.extending import intrinsic

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile a function when it is first called, for the types it is called with.

    An array that only its address is used of may be freed before: arrays are arguments, kept by who calls.
    """
    return cast("_Function", njit(function, nogil=True, cache=True))


def inlined(function: _Function) -> _Function:
    """Compile a function into each that calls it, where calling it would take as long as what it does."""
    return cast("_Function", njit(function, nogil=True, cache=True, forceinline=True))


def instruction(typing: Callable[..., Any]) -> Any:
    """Make what writes LLVM instructions itself callable from kernels (numba.extending.intrinsic)."""
    return intrinsic(typing)
