"""Every public name is documented, with every parameter."""

import inspect
import re
from enum import Enum
from importlib import import_module
from types import GenericAlias

import pytest
from pydantic import BaseModel

ROOMS = [
    "molig",
    *(
        f"molig.{room}"
        for room in (
            "tables",
            "stats",
            "datasets",
            "molecules",
            "features",
            "network",
            "secant",
            "model",
            "foreign",
            "training",
            "depiction",
            "attribution",
            "screening",
            "series",
            "evaluation",
            "benchmark",
            "report",
            "audit",
            "serve",
        )
    ),
]
PUBLIC = [(room, name) for room in ROOMS for name in import_module(room).__all__ if not name.startswith("__")]


def takes_parameters_of_its_own(thing) -> bool:
    """Functions and ordinary classes; enums, errors and sections of a model file are made of fields.

    Nobody makes a protocol, and names of types have no parameters.
    """
    if isinstance(thing, GenericAlias):
        return False
    if inspect.isclass(thing):
        return not issubclass(thing, Enum | BaseModel | BaseException) and not is_protocol(thing)
    return callable(thing)


def is_protocol(thing) -> bool:
    return getattr(thing, "_is_protocol", False)


@pytest.mark.parametrize(("room", "name"), PUBLIC)
def test_public_name_is_documented(room, name):
    thing = getattr(import_module(room), name)
    text = inspect.getdoc(thing) or ""
    assert text or not callable(thing), f"{room}.{name} has no docstring"
    if takes_parameters_of_its_own(thing) and "; see `" not in text:
        parameters = [p for p in inspect.signature(thing).parameters if not p.startswith("_")]
        missing = [p for p in parameters if not re.search(rf"\b{p}\b", text)]
        assert not missing, f"{room}.{name} does not say what these are: {missing}"


@pytest.mark.parametrize("room", ROOMS)
def test_room_says_what_it_is_for(room):
    assert (import_module(room).__doc__ or "").strip()
