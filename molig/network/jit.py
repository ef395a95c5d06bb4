"""Compilation of loops, kept on disk where there is a place for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec

import numba

P = ParamSpec("P")

FAST_MATH = {"contract", "reassoc", "nsz"}
"""Sums may be taken in any order; NaN and infinity keep their meaning."""


def compiled(function: Callable[P, None]) -> Callable[P, None]:
    """Compile a function that fills arrays, on its first call.

    Parameters
    ----------
    function : callable
        Loops over arrays, in what Numba understands.
    """
    options: dict[str, Any] = {"fastmath": FAST_MATH, "nogil": True, "error_model": "numpy"}
    try:
        found: Callable[P, None] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's directory nor the user's cache can be written
        found = numba.njit(**options)(function)
    return found
