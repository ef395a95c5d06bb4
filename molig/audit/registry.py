"""The checks by name; further ones can be registered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, NoReturn

from molig.audit.findings import Outcome
from molig.errors import InputError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from molig.audit.subject import AuditSubject

ENTRY_POINTS = "molig.audit_checks"
"""Group of entry points by which other packages bring checks: modules that call `register`."""

CheckFunction = Callable[["AuditSubject"], Outcome]

_BUILT_IN = (
    "identical_attribution",
    "input_columns",
    "dead_units",
    "baseline",
    "saturation",
    "integration",
    "size_shortcut",
    "long_range",
    "shortcut_fragments",
    "randomisation",
    "stability",
    "domain",
    "activity_cliffs",
)


@dataclass(frozen=True)
class Check:
    """A check that an audit can make.

    Parameters
    ----------
    name : str
        Its name in commands and findings.
    title : str
        Its heading in reports.
    question : str
        What it asks of the model, in one sentence.
    run : callable
        Takes an `AuditSubject`, returns an `Outcome`; raises `NotApplicable` where it cannot be made.
    """

    name: str
    title: str
    question: str
    run: CheckFunction


_checks: dict[str, Check] = {}
# What loading each entry point came to, "" where it went well: a module that broke off half way would
# complain of its own half at the second import.
_loaded: dict[EntryPoint, str] = {}


def register(name: str, *, title: str, question: str) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a check.

    Parameters
    ----------
    name : str
        A new name, in lower case with hyphens.
    title, question : str
        As for `Check`.

    Returns
    -------
    callable
        Decorator that leaves the function as it is.

    Raises
    ------
    UsageError
        If another function has the name already.

    Examples
    --------
    >>> from molig.audit import Outcome, register
    >>> from molig.audit.registry import unregister
    >>> @register("no-tasks", title="Tasks", question="Does the model have tasks?")
    ... def no_tasks(subject):
    ...     return Outcome(measured={"tasks": len(subject.model.tasks)})
    >>> unregister("no-tasks")
    """

    def add(function: CheckFunction) -> CheckFunction:
        known = _checks.get(name)
        if known is not None and known.run is not function:
            raise UsageError(f"a check called {name!r} is registered already")
        _checks[name] = Check(name, title, question, function)
        return function

    return add


def unregister(name: str) -> None:
    """Forget a check; one that is not known is no error."""
    _checks.pop(name, None)


def available_checks() -> dict[str, Check]:
    """All checks in the order of reports; an entry point that cannot be loaded is a check that fails."""
    for module in _BUILT_IN:
        import_module(f"molig.audit.checks.{module}")
    broken = [check for point in entry_points(group=ENTRY_POINTS) if (check := _load(point))]
    own = [name.replace("_", "-") for name in _BUILT_IN]
    names = [name for name in own if name in _checks] + [name for name in _checks if name not in own]
    checks = {name: _checks[name] for name in names}
    for check in broken:
        # It may be called like a check that is there.
        name = check.name if check.name not in checks else f"{check.name}-not-loaded"
        checks[name] = replace(check, name=name)
    return checks


def _load(point: EntryPoint) -> Check | None:
    """Load the checks of another package; if that fails, return a check that says so."""
    if point not in _loaded:
        try:
            point.load()
            _loaded[point] = ""
        except Exception as err:
            # Whatever is wrong with another package, the other checks are made.
            _loaded[point] = f"{type(err).__name__}: {err}"
    reason = _loaded[point]
    if not reason:
        return None

    def fail(subject: AuditSubject) -> NoReturn:
        raise InputError(
            f"{point.value}, which brings further checks, cannot be loaded ({reason}); mend or uninstall it"
        )

    return Check(point.name, point.name, f"What would the checks of {point.value} find?", fail)


def choose_checks(only: Iterable[str] = (), skip: Iterable[str] = ()) -> list[Check]:
    """Choose checks by name."""
    known, only, skip = available_checks(), list(only), list(skip)
    for name in [*only, *skip]:
        if name not in known:
            raise UnknownNameError("check", name, known)
    chosen = [c for c in known.values() if (not only or c.name in only) and c.name not in skip]
    if not chosen:
        raise UsageError("no check is left to make: --only and --skip name the same checks")
    return chosen
