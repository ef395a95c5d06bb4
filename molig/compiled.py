"""Loops that Numba compiles at their first call; machine code is kept on disk where there is a place for it.

Numba takes a third of a second to import, which a single molecule should not wait for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property, update_wrapper
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

FAST_MATH = {"contract", "reassoc", "nsz"}
"""Sums may be taken in any order; NaN and infinity keep their meaning."""


class Compiled(Generic[P, R]):
    """A function of numbers and arrays that is compiled when it is called for the first time."""

    def __init__(self, function: Callable[P, R]) -> None:
        if not isinstance(function, FunctionType):
            raise TypeError(f"only a plain function can be compiled (got {function!r})")
        self._function: FunctionType = function
        self._stored = True
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it, compiled."""
        try:
            result: R = self.dispatcher(*args, **kwargs)
        except OSError:
            # Compiled, but its machine code could not be stored, on a full disk; nothing was done yet.
            self._forget()
            result = self.dispatcher(*args, **kwargs)
        return result

    @cached_property
    def dispatcher(self) -> Any:
        """Numba's function, which other compiled functions call."""
        # Its coloured errors come with colorama, which writes to the terminal when the program ends.
        os.environ.setdefault("NUMBA_DISABLE_ERROR_MESSAGE_HIGHLIGHTING", "1")
        import numba  # noqa: PLC0415

        options: dict[str, Any] = {"fastmath": FAST_MATH, "nogil": True, "error_model": "numpy"}
        plain = self._among_dispatchers()
        if not self._stored:
            return numba.njit(**options)(plain)
        try:
            return numba.njit(cache=True, **options)(plain)
        except RuntimeError:  # neither the package's directory nor the user's cache can be written
            return numba.njit(**options)(plain)

    def _forget(self) -> None:
        """Compile anew, and keep nothing; the functions that it calls, too."""
        self._stored = False
        self.__dict__.pop("dispatcher", None)
        for called in self._called().values():
            called._forget()

    def _called(self) -> dict[str, Compiled[..., Any]]:
        """Compiled functions that it calls, by name."""
        named = {name: self._function.__globals__.get(name) for name in self._function.__code__.co_names}
        return {name: each for name, each in named.items() if isinstance(each, Compiled)}

    def _among_dispatchers(self) -> FunctionType:
        """The function, and around it the compiled functions as Numba knows them: it can call no others."""
        function = self._function
        called = {name: each.dispatcher for name, each in self._called().items()}
        if not called:
            return function
        there = FunctionType(
            function.__code__, function.__globals__ | called, function.__name__, function.__defaults__
        )
        there.__qualname__, there.__module__ = function.__qualname__, function.__module__
        return there


def compiled(function: Callable[P, R]) -> Compiled[P, R]:
    """Compile a function of numbers and arrays, on its first call."""
    return Compiled(function)
