"""Modules that are imported when something of them is used: no command waits for what it does not need."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


class _Deferred(ModuleType):
    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def deferred(name: str) -> Any:
    """Stand-in for a module, which is imported at the first look at an attribute.

    Examples
    --------
    >>> deferred("math").sqrt(4.0)
    2.0
    """
    return _Deferred(name)
